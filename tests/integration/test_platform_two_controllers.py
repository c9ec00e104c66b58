"""Two controllers on one database: the second is refused in one line, or takes over when the first is gone; one that
was left behind ends by itself and leaves what serves."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = [[0.1, 0.2, 0.3, 0.4]]


def environment(url: str, **more: str) -> dict[str, str]:
    return {"TIDEGATE_DATABASE_URL": url, "TIDEGATE_DRAIN_TIMEOUT": "5", **more}


def answers(scene: Scene) -> bool:
    with contextlib.suppress(ClientError):
        return bool(scene.invoke("e", ROW))
    return False


def controller(platform: Platform) -> subprocess.Popen[bytes]:
    assert platform._controller is not None
    return platform._controller


def test_a_second_controller_on_one_database_is_refused(database_url: str) -> None:
    with Platform(environment=environment(database_url)) as first:
        second = Platform(environment=environment(database_url))
        try:
            with pytest.raises(RuntimeError, match=r"exit code 1(.|\n)*in use by another controller"):
                second.start()
            last = second.log.read_text().strip().splitlines()[-1]
            assert last.startswith(f"tidegate: The database {database_url.split('@')[0].split(':')[0]}")
            assert f"pid {first.controller_pid}, state folder {first.state}" in last
            assert not (second.state / "proxy").exists(), "it started nothing"
        finally:
            second.stop()
        Scene(first).sagemaker.list_endpoints()


def test_a_standby_is_left_in_the_background(empty_postgres_url: str, tmp_path: Path) -> None:
    with Platform(environment=environment(empty_postgres_url)):
        standby = Platform(environment=environment(empty_postgres_url, TIDEGATE_STANDBY="1"))
        command = [sys.executable, "-m", "tidegate.cli", "up", "--detach", "--json", "--port", str(standby.port)]
        done = subprocess.run(
            [*command, "--state", str(standby.state)],
            env={**os.environ, **standby.environment},
            capture_output=True,
            text=True,
            timeout=55,
            check=False,
        )
        try:
            assert done.returncode == 0, done.stderr
            found = json.loads(done.stdout)
            assert found["standby"] is True
            os.kill(found["pid"], signal.SIGTERM)
            wait_until(lambda: not standby.processes(), "it ends while it waits")
        finally:
            standby.stop()


def test_a_standby_follows_one_that_hangs_which_ends_when_it_wakes(
    empty_postgres_url: str, models: tuple[str, str]
) -> None:
    standby = Platform(environment=environment(empty_postgres_url, TIDEGATE_STANDBY="1"))
    with Platform(environment=environment(empty_postgres_url)) as first:
        scene = Scene(first)
        scene.create("e", scene.config(models[0]))
        os.kill(first.controller_pid, signal.SIGSTOP)
        try:
            standby.start()  # and healthy, once the lease has run out
            wait_until(lambda: answers(Scene(standby)), "an instance of its own")
            os.kill(first.controller_pid, signal.SIGCONT)
            assert controller(first).wait(60) == 1
            assert "Another controller has taken over" in first.log.read_text().splitlines()[-1]
            scene.invoke("e", ROW)
        finally:
            standby.stop()


def test_a_controller_is_followed_in_its_place_without_a_wait(empty_postgres_url: str, tmp_path: Path) -> None:
    with Platform(environment=environment(empty_postgres_url)) as platform:
        platform.kill_controller()
        platform.start()
        assert "standing by" not in platform.log.read_text()
        wait_until(lambda: Scene(platform).sagemaker.list_endpoints(), "it answers")
