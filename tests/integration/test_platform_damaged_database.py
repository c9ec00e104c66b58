"""A controller that cannot start on its database says why at once, and ends nothing that serves."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = [[0.1, 0.2, 0.3, 0.4]]


def zero_a_page(path: Path) -> None:
    """Of the records: the table's root."""
    with sqlite3.connect(path) as connection:
        root, size = connection.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'records'"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\0" * size)


def write_anew(path: Path) -> None:
    path.write_bytes(b"these are notes, not a database\n" * 1000)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def execute(*statements: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            for statement in statements:
                connection.execute(statement)

    return run


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a page of zeros": (zero_a_page, "tidegate server restore FILE --force"),
    "cut short": (truncate, "tidegate server restore FILE --force"),
    "another file": (write_anew, "file is not a database; restore it"),
    "a table gone": (execute("DROP TABLE journal"), "table journal has no"),
    "a record that is no JSON": (
        execute("UPDATE records SET body = '{' WHERE kind = 'endpoint'"),
        "'e' cannot be read",
    ),
    "a newer schema": (execute("UPDATE tidegate_schema SET version_num = '9999'"), "newer tidegate (schema 9999"),
}


def up(platform: Platform, *program: str) -> "subprocess.CompletedProcess[str]":
    program = program or ("-m", "tidegate.cli")
    command = [sys.executable, *program, "up", "--detach", "--port", str(platform.port)]
    return subprocess.run(
        [*command, "--state", str(platform.state)], capture_output=True, text=True, timeout=55, check=False
    )


def test_damage_is_named_at_once_and_what_serves_serves_on(models: tuple[str, str], tmp_path: Path) -> None:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        scene = Scene(platform)
        scene.create("e", scene.config(models[0]))
        platform.kill_controller()
        database, good = platform.state / "tidegate.db", tmp_path / "good.db"
        with sqlite3.connect(database) as connection, sqlite3.connect(good) as copy:
            connection.backup(copy)
        workers = {p.pid for p in platform.processes()}

        for name, (damage, says) in DAMAGE.items():
            for old in platform.state.glob("tidegate.db*"):
                old.unlink()
            shutil.copy(good, database)
            damage(database)
            refused = up(platform)
            assert refused.returncode == 1, name
            assert refused.stderr.count("\n") == 1, (name, refused.stderr)
            assert says in refused.stderr, name
            scene.invoke("e", ROW)
            assert {p.pid for p in platform.processes()} == workers, name

        for old in platform.state.glob("tidegate.db*"):
            old.unlink()
        shutil.copy(good, database)
        platform.start()
        assert scene.describe("e")["EndpointStatus"] == "InService"
        wait_until(lambda: workers <= {p.pid for p in platform.processes()}, "what served was adopted")


NEVER_READY = """
from tidegate.cli import app, platform
platform.START_TIMEOUT = 5.0
platform.ApiClient.serving = lambda client: None
app.main()
"""


def test_a_start_that_is_given_up_leaves_what_served_before(models: tuple[str, str]) -> None:
    """It takes too long, or its terminal sends Ctrl-C."""
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        scene = Scene(platform)
        scene.create("e", scene.config(models[0]))
        platform.kill_controller()
        workers = {p.pid for p in platform.processes()}
        late = up(platform, "-c", NEVER_READY)
        assert (late.returncode, "not ready within" in late.stderr) == (1, True), late.stderr
        wait_until(lambda: {p.pid for p in platform.processes()} <= workers, "the start has ended")
        scene.invoke("e", ROW)
        assert {p.pid for p in platform.processes()} == workers
        platform.start()
