"""A person's day with the commands, on a whole platform: up, deploy, look, steer, delete, down."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tidegate.host.platform import free_port, wait_until

PATIENCE = 300
"""Seconds for one command or one change, on a machine with ten times as much to do as it can."""
SPEC = """\
endpoint: fraud
model: {{image: tidegate/xgboost, data: "{data}"}}
instances: 2
rollout: {{strategy: linear, step: 50%, wait: 1h}}
alarms:
  errors: {{metric: Invocation5XXErrors, statistic: Average, above: 2%, period: 1s}}
"""


class Commands:
    """``tidegate`` with a server address and a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))}
        address = f"http://127.0.0.1:{self.port}"
        self._environment = {**kept, "TIDEGATE_URL": address, "TIDEGATE_DRAIN_TIMEOUT": "5", "COLUMNS": "140"}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "tidegate.cli", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
        )

    def words(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def data(self, *arguments: str) -> Any:
        return json.loads(self.words(*arguments, "--json"))

    def error(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 1, done.stdout
        return done.stderr.strip()

    def spec(self, data: str) -> str:
        path = self.folder / "fraud.yaml"
        path.write_text(SPEC.format(data=data))
        return str(path)

    def up(self) -> dict[str, Any]:
        found: dict[str, Any] = self.data("up", "--detach", "--port", str(self.port), "--state", str(self.state))
        return found


def runs(pid: int) -> bool:
    """A process that nobody has reaped yet has ended all the same."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    made = Commands(tmp_path)
    yield made
    made.run("down")


@pytest.mark.e2e
@pytest.mark.timeout(900)  # some twenty processes in a row, each of which imports a lot
def test_a_day_with_the_commands(commands: Commands, models: tuple[str, str]) -> None:
    started = commands.up()
    assert runs(started["pid"])
    held = commands.error("up", "--detach", "--port", str(commands.port), "--state", "elsewhere")
    assert f"another program answers at http://127.0.0.1:{commands.port} (pid {started['pid']}, state" in held

    lines = commands.words("deploy", commands.spec(models[0]), "--wait", "--json").splitlines()
    first = json.loads(lines[0])
    assert first["change"] == "created"
    assert json.loads(lines[-1])["endpoint"]["config"] == first["config"]
    assert commands.data("deploy", commands.spec(models[0]))["change"] == "unchanged"

    told = commands.data("invoke", "fraud", "--body", "1,2,3,4")
    assert (told["status"], told["config"]) == (200, first["config"])
    assert "424: " in commands.error("invoke", "fraud", "--body", "1,x,3,4")
    assert "fraud" in commands.words("status") and "InService" in commands.words("status", "fraud")
    assert [one["name"] for one in commands.data("alarms")["alarms"]] == [f"{first['config']}-errors"]
    assert "ready" in commands.words("logs", "fraud")
    assert "no rollout under way" in commands.error("rollout", "pause", "fraud")

    second = commands.data("deploy", commands.spec(models[1]))
    assert second["change"] == "updated"
    wait_until(
        lambda: commands.data("status", "fraud")["rollout"]["phase"] == "Baking", "baking at 50 %", PATIENCE
    )
    assert commands.data("rollout", "pause", "fraud")["rollout"]["paused"]
    assert "already paused" in commands.error("rollout", "pause", "fraud")
    assert commands.data("rollout", "resume", "fraud")["rollout"]["paused"] is None
    commands.words("rollout", "abort", "fraud")
    wait_until(lambda: commands.data("status", "fraud")["rollout"] is None, "turned back", PATIENCE)
    status = commands.data("status", "fraud")
    assert (status["config"], status["last"]["cause"]) == (first["config"], "Aborted")

    commands.words("rollout", "retry", "fraud")
    wait_until(lambda: commands.data("status", "fraud")["rollout"]["phase"] == "Baking", "baking again", PATIENCE)
    commands.words("rollout", "promote", "fraud", "--full")
    commands.words("rollout", "watch", "fraud")
    assert commands.data("status", "fraud")["config"] == second["config"]

    assert commands.data("delete", "fraud", "--wait") == {"name": "fraud", "status": "Deleted"}
    assert "no endpoints yet" in commands.words("status")
    assert commands.data("down") == {"status": "stopped", "pid": started["pid"]}
    assert not runs(started["pid"])
    assert commands.data("down") == {"status": "not running"}


@pytest.mark.e2e
def test_waiting_for_a_deploy_fails_with_the_reason_when_it_does_not_come_up(
    commands: Commands, tmp_path: Path
) -> None:
    commands.up()
    broken = tmp_path / "model.ubj"
    broken.write_bytes(b"this is no model")
    said = commands.error("deploy", commands.spec(broken.as_uri()), "--wait")
    assert said.startswith("tidegate: ") and "model.ubj" in said
    assert len(said.splitlines()) == 1


@pytest.mark.e2e
def test_a_server_is_stopped_by_its_state_folder(commands: Commands, tmp_path: Path) -> None:
    started = commands.up()
    assert commands.data("down", "--state", str(tmp_path / "other")) == {"status": "not running"}
    assert runs(started["pid"])
    assert commands.data("down", "--state", str(commands.state)) == {"status": "stopped", "pid": started["pid"]}
    assert not runs(started["pid"])
    assert "nothing runs" in commands.words("down", "--state", str(commands.state))


@pytest.mark.e2e
def test_a_port_that_another_program_holds_is_refused_before_anything_starts(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", commands.port)):
        said = commands.error("up", "--detach", "--port", str(commands.port), "--state", str(commands.state))
    assert said.startswith(f"tidegate: another program answers at http://127.0.0.1:{commands.port}: stop it")
    assert len(said.splitlines()) == 1
    assert not commands.state.exists()


@pytest.mark.e2e
def test_another_server_that_comes_up_on_the_port_is_not_taken_for_the_one_started(commands: Commands) -> None:
    """Both are started before either listens."""
    arguments = ("up", "--detach", "--port", str(commands.port), "--state")
    folders = [str(commands.folder / name) for name in ("one", "two")]
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda folder: commands.run(*arguments, folder), folders))
    try:
        assert sorted(done.returncode for done in ended) == [0, 1], [done.stderr for done in ended]
    finally:
        for folder in folders:
            commands.run("down", "--state", folder)


@pytest.mark.e2e
def test_a_start_that_fails_says_why_in_one_line(commands: Commands) -> None:
    commands.up()
    other = str(free_port())
    said = commands.error("up", "--detach", "--port", other, "--state", str(commands.state))
    assert said.startswith(f"tidegate: state folder {commands.state} is in use by another tidegate")
    assert len(said.splitlines()) == 1


UNDO_SPEC = """\
endpoint: fraud
model: {{image: tidegate/xgboost, data: "{data}"}}
rollout: {{strategy: canary, size: 50%, wait: 1h}}
instances: 2
"""


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.parametrize("lost", ["overwritten", "deleted", "with the machine"])
def test_undo_serves_an_earlier_version_whose_file_is_lost(
    commands: Commands, models: tuple[str, str], tmp_path: Path, lost: str
) -> None:
    first, second = (Path(url.removeprefix("file://")) for url in models)
    file, spec = tmp_path / "model.tar.gz", tmp_path / "spec.yaml"
    spec.write_text(UNDO_SPEC.format(data=file.as_uri()))

    def deploy(model: Path) -> str:
        file.write_bytes(model.read_bytes())
        commands.words("deploy", str(spec))
        if commands.data("status", "fraud")["status"] == "Updating":
            commands.words("rollout", "promote", "fraud", "--full")
        commands.words("rollout", "watch", "fraud")
        return str(commands.data("invoke", "fraud", "--body", "1,2,3,4")["body"])

    commands.up()
    before, after = deploy(first), deploy(second)
    assert before != after
    wait_until(
        lambda: all(one["artifacts_kept"] for one in commands.data("rollout", "history", "fraud")["versions"]),
        "model data of both versions is kept",
        PATIENCE,
    )
    if lost == "deleted":
        file.unlink()
    if lost == "with the machine":
        commands.words(
            "server", "backup", str(tmp_path / "all.backup"), "--models", "--state", str(commands.state)
        )
    commands.words("down")
    if lost == "with the machine":
        shutil.rmtree(commands.state)
        assert "parts of model data" in commands.words(
            "server", "restore", str(tmp_path / "all.backup"), "--state", str(commands.state)
        )
    commands.up()  # the history and what was kept outlive a restart

    assert "goes back" in commands.words("rollout", "undo", "fraud", "--wait")
    assert commands.data("invoke", "fraud", "--body", "1,2,3,4")["body"] == before
    states = [one["state"] for one in commands.data("rollout", "history", "fraud")["versions"]]
    assert states == ["Serving", "Undone", "Replaced"]
