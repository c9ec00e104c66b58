"""The lab on a platform whose controller dies in the middle: what the records ask for is done by the next one."""

import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.integration.documented_commands import environment
from tidegate.features.lessons.lab import ENDPOINT, EXAMPLE, LAB
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.slow

API = "/tidegate/v1/lessons/lab"
SHORT = {"by": "ann", "bake": 5}


def states(client: httpx.Client) -> dict[str, str]:
    """The steps by name; empty while no controller answers: the gateway says 503 then."""
    with suppress(httpx.TransportError):
        answer = client.get(API)
        if answer.status_code == 503:
            return {}
        assert answer.status_code == 200, answer.text
        return {one["name"]: one["state"] for one in answer.json()["steps"]}
    return {}


def wait(client: httpx.Client, name: str, state: str) -> None:
    wait_until(lambda: states(client).get(name) == state, f"{name} {state}", 120)


def do(client: httpx.Client, name: str) -> None:
    wait(client, name, "ready")
    answer = client.post(f"{API}/{name}", json=SHORT)
    assert answer.status_code == 202, answer.text


def run_command(platform: Platform, step: str, *more: str) -> None:
    """The first command that stands beside a step; of options that come twice the last counts."""
    folder = platform.state / "live-runs" / LAB.name / EXAMPLE
    (_, line), *_ = next(one.commands for one in LAB.steps if one.name == step)
    line = line.format(folder=folder, parent=folder.parent)
    words = [*shlex.split(line), *more]
    assert words[0] == "tidegate"
    given = environment(platform.state, platform.port, Path(sys.executable).parent)
    done = subprocess.run(
        [sys.executable, "-m", "tidegate.cli", *words[1:]], env=given, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def restart(platform: Platform) -> None:
    platform.kill_controller()
    platform.start()


def test_a_lab_goes_on_after_each_death_of_the_controller_and_leaves_nothing() -> None:
    with (
        Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "3"}) as platform,
        httpx.Client(base_url=platform.url, timeout=60) as client,
    ):
        do(client, "train")
        restart(platform)
        do(client, "train")
        wait(client, "first", "ready")
        run_command(platform, "first")
        assert states(client)["first"] == "done", client.get(API).text
        run_command(platform, "traffic", "--seconds", "3")
        assert states(client)["traffic"] == "done"
        wait(client, "traffic", "ready")
        do(client, "traffic")
        wait(client, "traffic", "done")
        restart(platform)
        found = client.get(f"/tidegate/v1/endpoints/{ENDPOINT}").json()
        assert found["status"] == "InService"

        def asked_lately() -> bool:
            live = client.get(f"/tidegate/v1/endpoints/{ENDPOINT}/live?seconds=3").json()
            return any(fleet["rate"] > 0 for fleet in live["fleets"])

        wait_until(asked_lately, "the next controller sends the requests that are left", 60)
        do(client, "end")
        restart(platform)
        wait(client, "end", "ahead")
        assert client.get("/tidegate/v1/endpoints").json() == {"endpoints": []}
        assert client.get("/tidegate/v1/alarms").json() == {"alarms": []}
        assert not (platform.state / "live-runs" / "lab").exists()
