"""Files that can be replaced on a full disk, and the recorder that writes them when it can."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.small_disk import small_disk
from tidegate.host.preallocated import BLOCK, PreallocatedFiles
from tidegate.proxy import recorder
from tidegate.proxy.recorder import StateRecorder, WriteFailed


def content(files: PreallocatedFiles, name: str) -> bytes:
    return files.read(name).rstrip(b"\n")


def test_a_file_is_what_was_written_last(tmp_path: Path) -> None:
    files = PreallocatedFiles(tmp_path / "made")
    for size in (1, 10, BLOCK, 3 * BLOCK, 0, 5, 100 * BLOCK, 7):
        files.write("a", b"x" * size)
        assert content(files, "a") == b"x" * size
    assert sorted(os.listdir(files.folder)) == ["a", "a.spare"]


@given(sizes=st.lists(st.integers(0, 3 * BLOCK), min_size=1, max_size=8))
def test_a_crash_at_any_point_leaves_the_old_content_or_the_new(
    sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each step of a write in turn fails, as a crash before it would."""
    steps = ("open", "pwrite", "link", "replace")
    files = PreallocatedFiles(tmp_path_factory.mktemp("crash"))
    files.write("a", b"0")
    last = b"0"
    for turn, size in enumerate(sizes):
        new = bytes([turn + 49]) * size
        with pytest.MonkeyPatch.context() as patch:
            step = steps[turn % len(steps)]
            patch.setattr(os, step, _crash)
            try:
                files.write("a", new)
            except _Crash:
                assert content(files, "a") in (last, new)
        files.write("a", new)
        last = new
        assert content(files, "a") == new


def test_a_crash_in_mid_swap_loses_no_space_that_was_set_aside(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        files = PreallocatedFiles(disk.folder)
        files.write("a", b"1")
        files.write("a", b"2")
        (disk.folder / "a.spare").rename(disk.folder / "a.old")
        disk.fill()
        files.write("a", b"3")
        files.write("a", b"4")
        assert content(files, "a") == b"4"


class _Crash(BaseException):
    pass


def _crash(*args: object, **options: object) -> None:
    raise _Crash


def test_a_full_disk_takes_what_fits_the_space_set_aside(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        files = PreallocatedFiles(disk.folder)
        files.write("a", b"first")
        disk.fill()
        for turn in range(10):
            files.write("a", b"%d" % turn * (BLOCK // 2))
            assert content(files, "a") == b"%d" % turn * (BLOCK // 2)
        with pytest.raises(OSError, match="No space left on device"):
            files.write("a", b"x" * (10 * BLOCK))
        assert content(files, "a") == b"9" * (BLOCK // 2)
        disk.free()
        files.write("a", b"x" * (10 * BLOCK))
        assert content(files, "a") == b"x" * (10 * BLOCK)


def test_a_full_disk_takes_what_grew_just_before_it_was_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        files = PreallocatedFiles(disk.folder)
        files.write("a", b"x")
        files.write("a", b"y" * (4 * BLOCK))
        disk.fill()
        for letter in (b"b", b"c", b"d"):
            files.write("a", letter * (4 * BLOCK))
            assert content(files, "a") == letter * (4 * BLOCK)


def test_without_hard_links_a_write_works_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    files = PreallocatedFiles(tmp_path)
    for text in (b"1", b"2", b"3"):
        files.write("a", text)
        assert content(files, "a") == text


class Disk(PreallocatedFiles):
    """Fails while ``error`` is set."""

    error = 0
    writes = 0

    def write(self, name: str, data: bytes) -> None:
        self.writes += 1
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        super().write(name, data)


async def test_what_could_not_be_written_is_written_later_and_only_the_newest(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    found = StateRecorder(disk)

    await found.record("a", b"1")
    disk.error = errno.ENOSPC
    await found.record("a", b"2")
    await found.record("a", b"3")
    await found.record("b", b"4")
    assert str(found.trouble).endswith("No space left on device; free space there or repair the disk")
    with pytest.raises(WriteFailed, match="c cannot be written"):
        await found.write_all({"c": b"5"})
    disk.error = disk.writes = 0
    await found.retry()
    assert (found.trouble, disk.writes) == (None, 2)
    assert (content(disk, "a"), content(disk, "b")) == (b"3", b"4")
    await found.retry()
    await found.record("a", b"3")
    assert disk.writes == 2


async def test_one_hanging_write_delays_no_other_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "WRITE_TIMEOUT", 0.01)
    over = threading.Event()

    class Hanging(Disk):
        def write(self, name: str, data: bytes) -> None:
            over.wait(300)
            super().write(name, data)

    disk = Hanging(tmp_path)
    found = StateRecorder(disk)

    for text in (b"1", b"2", b"3"):
        await found.record("a", text)
        assert "does not respond" in str(found.trouble)
    with pytest.raises(WriteFailed):
        await found.write_all({"b": b"4"})
    assert disk.writes == 0
    over.set()
    async with asyncio.timeout(300):
        while found.trouble is not None:
            await found.retry()
            await asyncio.sleep(0)
    assert content(disk, "a") == b"3"
