"""A small file that is written beside the event loop: the newest content in the end, and nobody is held up."""

import asyncio
import threading
from pathlib import Path

import pytest

from tidegate.host import background_file
from tidegate.host.atomic_write import write_atomically
from tidegate.host.background_file import BackgroundFile


async def settled(file: BackgroundFile) -> None:
    while file.is_behind:
        await asyncio.sleep(0.001)


async def test_the_newest_content_is_written_in_the_end(tmp_path: Path) -> None:
    file = BackgroundFile(tmp_path / "file")
    for number in range(50):
        file.write(b"%d" % number)
    await settled(file)
    assert (tmp_path / "file").read_bytes() == b"49"


async def test_a_disk_that_fails_raises_nothing_and_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "missing"

    file = BackgroundFile(folder / "file")
    file.write(b"lost")
    while file._writing is None or not file._writing.done():
        await asyncio.sleep(0.001)
    folder.mkdir()
    await asyncio.sleep(0)
    file.write(b"kept")
    await settled(file)
    assert (folder / "file").read_bytes() == b"kept"


async def test_a_disk_that_hangs_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave, original, calls = threading.Event(), write_atomically, []

    def hang(path: Path, data: bytes, **options: bool) -> None:
        calls.append(data)
        leave.wait(60)
        original(path, data, durable=False)

    monkeypatch.setattr(background_file, "write_atomically", hang)

    file = BackgroundFile(tmp_path / "file")
    for number in range(20):
        file.write(b"%d" % number)
        await asyncio.sleep(0)
    assert len(calls) <= 1
    leave.set()
    await settled(file)
    assert calls == [b"0", b"19"]
    assert (tmp_path / "file").read_bytes() == b"19"
