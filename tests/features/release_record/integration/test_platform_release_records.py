"""Releases of a whole platform: approved by a second person, recorded, and verified where the platform is not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scene import Scene
from tidegate.cli.client import ApiClient, ServerError
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = pytest.mark.e2e
SECRET = "a-long-enough-secret"
STAND_IN = "test/stand-in"
CANARY = {"strategy": "canary", "size": "50%", "wait": "2s"}


def tidegate(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command, in an environment that names no server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))}
    command = [sys.executable, "-m", "tidegate.cli", *words]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False)


def kept_record(server: ApiClient, endpoint: str, version: int) -> dict[str, Any]:
    def find() -> dict[str, Any] | None:
        try:
            return server.release_record(endpoint, version)
        except ServerError as error:
            assert error.status in (400, 404), error
            return None

    return wait_until(find, f"record of version {version} of {endpoint}")


def verify(url: str, environment: dict[str, str], name: str, folder: Path, key: str) -> "tuple[str, Path]":
    """What verifying it says in a process without access to the platform, and the file."""
    exported = tidegate("rollout", "record", "export", name, TIDEGATE_URL=url, **environment)
    assert exported.returncode == 0, exported.stderr
    file = folder / f"{name}.json"
    file.write_text(exported.stdout)
    nowhere = "http://127.0.0.1:9"
    done = tidegate("rollout", "record", "verify", str(file), "--key", key, TIDEGATE_URL=nowhere)
    assert done.returncode == 0, done.stderr
    return done.stdout, file


def test_a_version_that_evidence_rolls_back_has_a_record_that_recomputes(
    platform: Platform, scene: Scene, models: tuple[str, str], tmp_path: Path
) -> None:
    wish: dict[str, Any] = {
        "endpoint": "failing",
        "model": {"data": models[0]},
        "rollout": {"strategy": "canary", "size": "50%", "wait": "5s"},
        "evidence": {"minimum": 60, "compare": ["errors"]},
    }
    bad = {"image": STAND_IN, "environment": {"FAIL_EVERY": "3"}}
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        with pytest.raises(ServerError, match="approval: nobody signs in to this server"):
            server.deploy({**wish, "approval": {"role": "operator"}}, "ann", override=False, supersede=False)
        server.deploy(wish, "ann", override=False, supersede=False)
        scene.settled("failing")
        path, csv = "/endpoints/failing/invocations", {"Content-Type": "text/csv"}
        with LoadGenerator(platform.url, path, [b"0.9,0.2,0.3,0.4"], csv, 80.0, connections=8):
            server.deploy({**wish, "model": bad}, "ann", override=False, supersede=False)
            scene.settled("failing")
        record = kept_record(server, "failing", 2)["record"]
        key = server.release_key()
    assert (record["outcome"], record["requested_by"]) == ("RolledBack", "ann")
    assert record["evidence"]["verdict"]["finding"] == "fail" and record["evidence"]["blocks"]
    assert record["models"][0]["data_digest"] is None
    markdown, file = verify(platform.url, {}, "failing", tmp_path, key)
    assert "evidence: fail: errors of variant AllTraffic" in markdown and "the same follows from its" in markdown
    page = tmp_path / "release.html"
    assert tidegate("rollout", "record", "verify", str(file), "--html", str(page)).returncode == 0
    assert "RolledBack" in page.read_text()
    file.write_text(file.read_text().replace('"RolledBack"', '"Serving"'))
    forged = tidegate("rollout", "record", "verify", str(file))
    assert forged.returncode == 1 and "it was changed" in forged.stderr


@pytest.fixture(scope="module")
def signed(models: tuple[str, str]) -> Iterator[Platform]:
    keys = ",".join(f"{name}:{SECRET}" for name in ("ANN", "BOB", "EVE"))
    environment = {
        "TIDEGATE_ACCESS_KEYS": keys,
        "TIDEGATE_KEY_ROLES": "EVE=operator",
        "TIDEGATE_FILE_ROOTS": str(Path(models[0].removeprefix("file://")).parent),
    }
    with Platform(environment=environment) as platform:
        yield platform


def test_a_release_waits_for_a_second_person_also_across_kills_of_the_controller(
    signed: Platform, models: tuple[str, str], tmp_path: Path
) -> None:
    def door(name: str) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": SECRET}

    def call(name: str) -> ApiClient:
        return ApiClient({"TIDEGATE_URL": signed.url, **door(name)})

    def is_held() -> bool:
        rollout = call("ANN").endpoint("fraud")["rollout"]
        return bool(rollout) and any(
            one["type"] == "HeldForApproval" and one["status"] for one in rollout["conditions"]
        )

    scene = Scene(signed, keys=("ANN", SECRET))
    wish = {"endpoint": "fraud", "model": {"data": models[0]}, "rollout": CANARY}
    call("ANN").deploy(wish, "", override=False, supersede=False)
    scene.settled("fraud")
    wish |= {"model": {"data": models[1]}, "approval": {"role": "admin", "not": "author"}}
    call("ANN").deploy(wish, "", override=False, supersede=False)
    wait_until(is_held, "the rollout to wait for its approval")
    signed.kill_controller()
    signed.start()
    wait_until(is_held, "the rollout to wait on after a kill")
    own = tidegate("rollout", "promote", "fraud", TIDEGATE_URL=signed.url, **door("ANN"))
    assert own.returncode == 1
    assert "was asked for by ANN: another admin has to approve it" in own.stderr and own.stderr.count("\n") == 1
    with pytest.raises(ServerError, match="somebody with the role admin") as refused:
        call("EVE").rollout("fraud", "promote", "eve")
    assert refused.value.status == 403
    assert is_held()
    call("BOB").rollout("fraud", "promote", "bob", reason="read the evidence")
    signed.kill_controller()
    signed.start()
    scene.settled("fraud")
    with call("EVE") as server:
        record, key = kept_record(server, "fraud", 2)["record"], server.release_key()
        again = kept_record(server, "fraud", 2)["record"]
    assert record == again
    assert (record["outcome"], record["requested_by"]) == ("Serving", "ANN")
    assert record["approval"]["required_role"] == "admin" and record["approval"]["by"] == "bob (BOB)"
    assert record["spec"]["approval"] == {"role": "admin"}
    assert record["models"][0]["artifact_digest"].startswith("sha256-")
    assert any("read the evidence" in one["message"] for one in record["events"])
    markdown, _ = verify(signed.url, door("EVE"), "fraud", tmp_path, key)
    assert "given by bob (BOB) at" in markdown
    assert json.loads(
        tidegate("rollout", "record", "key", "--json", TIDEGATE_URL=signed.url, **door("BOB")).stdout
    ) == {"public_key": key}
