"""Where sockets lie, and how those that are gone come back."""

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.host import unix_sockets
from tidegate.host.state_folder import StateFolder
from tidegate.host.unix_sockets import WatchedSockets, can_hold_sockets, has_no_listener, keep_bound


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        yield Path(name)


def sockets(state: Path) -> Path:
    folder = StateFolder.take(state)
    try:
        return folder.sockets
    finally:
        folder.release()


def test_sockets_lie_in_the_state_folder(short: Path) -> None:
    assert sockets(short / "state") == short / "state" / "run"


@pytest.mark.parametrize("name", ["x" * 70, "my models", "mod\u00e8les"])
def test_a_path_that_no_socket_can_have_is_not_used(
    short: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (short / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(short / "tmp"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert sockets(short / name).parent == short / "tmp"
    (short / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "run"))
    assert sockets(short / name).parent == short / "run"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "not there"))
    assert sockets(short / name).parent == short / "tmp"


def test_what_an_earlier_version_left_is_taken_away_once_nobody_listens(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    folder = StateFolder.take(short / "state")
    former = folder._candidates()[-1]
    former.mkdir(mode=0o700)
    assert folder.former_sockets == (former,)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(former / "r-1.sock"))
    listening.listen()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(former / "r-2.sock"))
    folder.release()
    assert [path.name for path in former.iterdir()] == ["r-1.sock"]
    listening.close()
    folder = StateFolder.take(short / "state")
    folder.release()
    assert not former.exists()


def test_a_folder_of_somebody_elses_is_not_used(short: Path) -> None:
    (short / "link").symlink_to(short)
    assert not can_hold_sockets(short / "link")
    assert not can_hold_sockets(short / "no" / "such")
    if os.getuid() == 0:
        (short / "theirs").mkdir()
        os.chown(short / "theirs", 12345, 12345)
        assert not can_hold_sockets(short / "theirs")


def test_who_listens_may_make_its_socket_anew(short: Path) -> None:
    path, presence = short / "s", WatchedSockets()
    first = socket.socket(socket.AF_UNIX)
    first.bind(str(path))
    first.listen()
    presence.remember(path)
    assert presence.lost() == []
    path.rename(short / "kept")  # its inode is not given to another
    assert presence.lost() == [path]
    with socket.socket(socket.AF_UNIX) as second:
        second.bind(str(path))
        assert presence.lost() == [path], "nobody listens yet"
        second.listen()
        assert presence.lost() == []
    assert has_no_listener(path)
    first.close()


@pytest.mark.parametrize("what", ["the socket", "the folder", "another in its place"])
async def test_a_socket_that_is_gone_is_made_anew(short: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix_sockets, "LOOK_EVERY", 0.01)
    path = short / "run" / "s"
    path.parent.mkdir(mode=0o700)

    made: list[asyncio.Server] = []

    async def listen() -> None:
        made.append(await asyncio.start_unix_server(lambda reader, writer: writer.close(), str(path)))

    await listen()
    keeping = asyncio.create_task(keep_bound(path, listen))
    if what == "the folder":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    if what.startswith("another"):
        path.touch()
    deadline = time.monotonic() + 40
    while has_no_listener(path):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert len(made) == 2
    keeping.cancel()
    for server in made:
        server.close()


async def test_no_socket_is_made_where_others_could_put_theirs(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_sockets, "LOOK_EVERY", 0.01)
    path = short / "s"
    short.chmod(0o777)

    async def listen() -> None:
        raise AssertionError("it listens")

    keeping = asyncio.create_task(keep_bound(path, listen))
    await asyncio.sleep(0.1)
    keeping.cancel()
    assert not path.exists()
