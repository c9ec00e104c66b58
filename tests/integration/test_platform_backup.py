"""A platform that is backed up while it serves, restored over a newer life of it, and moved to PostgreSQL."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e
ROW = [[0.1, 0.2, 0.3, 0.4]]


def run(platform: Platform, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tidegate.cli", *words, "--state", str(platform.state)]
    environment = {**os.environ, **platform.environment, **more}
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, env=environment)


def data(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answer(scene: Scene, endpoint: str) -> str | None:
    try:
        return str(scene.invoke(endpoint, ROW)["Body"].read())
    except ClientError:
        return None


def post_label(platform: Platform, id: str) -> None:
    posted = {"labels": [{"id": id, "label": 1}]}
    httpx.post(f"{platform.url}/tidegate/v1/endpoints/e/labels", json=posted).raise_for_status()


def labels(platform: Platform) -> int:
    """Labels that are kept, none of whose predictions is known."""
    found = httpx.get(f"{platform.url}/tidegate/v1/endpoints/e/labels").json()
    return int(found.get("labels", {}).get("unknown id", 0))


def ends_by_itself(platform: Platform) -> None:
    assert platform._controller is not None
    platform._controller.wait(60)


def test_a_restored_platform_serves_what_it_served_then(
    models: tuple[str, str], empty_postgres_url: str, tmp_path: Path
) -> None:
    file = str(tmp_path / "all.backup")
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        scene = Scene(platform)
        scene.create("e", scene.config(models[0]))
        old = answer(scene, "e")
        post_label(platform, "then")
        saved = data(run(platform, "server", "backup", file, "--metrics", "--json"))["rows"]
        # The release record is the sixth, once its loop has signed it.
        assert saved["records"] in (5, 6) and saved["labels"] > 0
        post_label(platform, "since")

        scene.update("e", scene.config(models[1]))
        scene.settled("e")
        scene.create("later", scene.config(models[1]))
        new = answer(scene, "e")
        assert new not in (old, None)

        refused = run(platform, "server", "restore", file)
        assert refused.returncode == 1
        assert "a controller runs on" in refused.stderr and refused.stderr.count("\n") == 1
        done = data(run(platform, "server", "restore", file, "--force", "--json"))
        assert done["rows"]["records"] == saved["records"]
        ends_by_itself(platform)
        assert answer(scene, "e") == new, "what serves was left alone"
        platform.start()
        wait_until(lambda: answer(scene, "e") == old, "the version of then")
        wait_until(lambda: labels(platform) == 1, "the label of then")
        assert [e["EndpointName"] for e in scene.sagemaker.list_endpoints()["Endpoints"]] == ["e"]
        assert {answer(scene, "e") for _ in range(20)} == {old}

        scene.update("e", scene.config(models[1]))
        scene.settled("e")
        assert {answer(scene, "e") for _ in range(20)} == {new}, "and not a fleet of the lost life"

        assert platform.stop(keep=True) == []
        data(run(platform, "server", "backup", file, "--json"))
        platform.environment = {**platform.environment, "TIDEGATE_DATABASE_URL": empty_postgres_url}
        assert data(run(platform, "server", "restore", file, "--json"))["rows"]["journal"] > 3
        platform.start()
        wait_until(lambda: answer(scene, "e") == new, "it is moved")
        assert scene.describe("e")["EndpointStatus"] == "InService"


def test_a_damaged_database_is_replaced_by_a_backup(models: tuple[str, str], tmp_path: Path) -> None:
    file = str(tmp_path / "all.backup")
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        scene = Scene(platform)
        scene.create("e", scene.config(models[0]))
        saved = data(run(platform, "server", "backup", file, "--json"))["rows"]
        platform.kill_controller()
        database = platform.state / "tidegate.db"
        for path in platform.state.glob("tidegate.db-*"):
            path.unlink()
        database.write_bytes(b"these are notes, not a database\n" * 1000)
        refused = run(platform, "server", "restore", file)
        assert refused.returncode == 1
        assert "nothing was restored yet" in refused.stderr
        done = run(platform, "server", "restore", file, "--force")
        assert done.returncode == 0, done.stderr
        assert f"kept as {database}.damaged" in done.stderr
        assert f"{saved['records']} records" in done.stdout and "tidegate up" in done.stdout
        assert Path(f"{database}.damaged").read_bytes().startswith(b"these are notes")
        platform.start()
        assert scene.describe("e")["EndpointStatus"] == "InService"
        assert answer(scene, "e") is not None
