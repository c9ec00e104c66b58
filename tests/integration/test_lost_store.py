"""The store has lost what the running fleets are recorded in: nothing is stopped before a person decides."""

import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.integration.test_local_restart import workers
from tests.integration.test_platform_damaged_database import up
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e


def answered_by(platform: Platform, endpoint: str) -> str | None:
    """The config whose model answered; None where nothing did."""
    url, headers = f"{platform.url}/endpoints/{endpoint}/invocations", {"Content-Type": "text/csv"}
    answer = httpx.post(url, content=b"0.1,0.2,0.3,0.4", headers=headers, timeout=30)
    return answer.headers.get("x-tidegate-config") if answer.status_code == 200 else None


def files(platform: Platform) -> list[Path]:
    return list(platform.state.glob("tidegate.db*"))


def put_back(platform: Platform, kept: Path) -> None:
    for file in files(platform):
        file.unlink()
    for file in kept.iterdir():
        shutil.copy(file, platform.state)


def delete_log(platform: Platform, _: Path) -> None:
    (platform.state / "tidegate.db-wal").unlink()


def delete_all(platform: Platform, _: Path) -> None:
    for file in files(platform):
        file.unlink()


def exchange(platform: Platform, older: Path) -> None:
    delete_all(platform, older)
    shutil.copy(older, platform.state / "tidegate.db")


LOSSES: dict[str, Callable[[Platform, Path], None]] = {
    "the log is deleted": delete_log,
    "all of it is deleted": delete_all,
    "an older copy is in its place": exchange,
}


def test_a_loss_is_said_and_what_serves_serves_on_until_a_person_decides(
    models: tuple[str, str], tmp_path: Path
) -> None:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        scene = Scene(platform)
        older, kept = tmp_path / "older.db", tmp_path / "kept"
        first = scene.config(models[0])
        with sqlite3.connect(platform.state / "tidegate.db") as now, sqlite3.connect(older) as copy:
            now.backup(copy)
        scene.create("fraud", first)
        before = workers(platform)
        platform.kill_controller()
        kept.mkdir()
        for file in files(platform):
            shutil.copy(file, kept)
        for name, lose in LOSSES.items():
            put_back(platform, kept)
            lose(platform, older)
            refused = up(platform)
            assert refused.returncode == 1, name
            assert refused.stderr.count("\n") == 1 and "has lost changes" in refused.stderr, (name, refused.stderr)
            assert "tidegate server restore FILE --force" in refused.stderr and "committed.json" in refused.stderr
            assert answered_by(platform, "fraud") == first, name
            assert workers(platform) == before, name
        put_back(platform, kept)
        platform.start()
        assert scene.describe("fraud")["EndpointStatus"] == "InService"
        assert workers(platform) == before
        controller = platform._controller
        assert controller is not None
        controller.send_signal(signal.SIGHUP)
        controller.wait(60)
        delete_all(platform, older)
        (platform.state / "committed.json").unlink()  # a person decides
        platform.start()
        wait_until(lambda: not before & workers(platform), "the workers without a record are ended")
        assert answered_by(platform, "fraud") is None
        log = platform.log.read_text()
        assert "endpoint fraud has routes and no record" in log
        assert "has no record; stopping it" in log
        second = scene.config(models[1])
        scene.create("fraud", second)
        assert {answered_by(platform, "fraud") for _ in range(20)} == {second}
        assert platform.stop(keep=True) == []
