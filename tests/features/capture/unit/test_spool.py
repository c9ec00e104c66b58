"""The folder of a replica's captured lines: whole lines, whole files, and what a death leaves."""

import itertools
import os
import resource
import signal
from pathlib import Path

import pytest

from tidegate.features.capture.worker import spool as module
from tidegate.features.capture.worker.spool import CURRENT, LOCK, ROTATE_BYTES, CaptureSpool
from tidegate.rows.capture_paths import layout

HOUR = 3600.0
AT = 1_000_000 * HOUR + 100.0


def spool(folder: Path, *, limit: int = 10**9, seconds: float = 60.0) -> CaptureSpool:
    made = CaptureSpool(folder, limit, seconds)
    made.open()
    return made


def lines_of(made: CaptureSpool) -> list[bytes]:
    return [path.read_bytes() for path in made.finished()]


def test_files_are_finished_by_age_by_size_and_by_the_hour(tmp_path: Path) -> None:
    made = spool(tmp_path / "r")
    made.append(b"a\n", AT)
    made.append(b"b\n", AT + 59)
    made.tick(AT + 59)
    assert lines_of(made) == []
    made.tick(AT + 60)
    assert lines_of(made) == [b"a\nb\n"]
    made.append(b"c\n", AT + HOUR - 110)
    made.append(b"d\n", AT + HOUR - 99)  # the next hour has begun
    big = b"x" * (ROTATE_BYTES - 1) + b"\n"
    made.append(big, AT + HOUR - 98)
    made.append(b"e\n", AT + HOUR - 97)
    made.rotate()
    assert lines_of(made) == [b"a\nb\n", b"c\n", b"d\n" + big, b"e\n"]
    made.close()


def test_a_full_folder_takes_no_more_until_files_are_delivered(tmp_path: Path) -> None:
    made = spool(tmp_path / "r", limit=10)
    made.append(b"12345678\n", AT)
    assert made.room == 1
    made.rotate()
    made.measure()
    assert made.room == 1
    for path in made.finished():
        path.unlink()
    made.measure()
    assert made.room == 10
    made.close()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    made = spool(tmp_path / "capture" / "r")
    made.append(b"a\n", AT)
    made.rotate()
    modes = [made.folder.stat().st_mode & 0o777, *(path.stat().st_mode & 0o777 for path in made.finished())]
    assert modes == [0o700, 0o600]
    made.close()


def test_a_write_that_fails_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk that is full."""
    made = spool(tmp_path / "r")
    made.append(b"whole\n", AT)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            made.append(b"broken\n", AT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    made.append(b"next\n", AT)
    made.rotate()
    assert lines_of(made) == [b"whole\nnext\n"]
    made.close()


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (b"a\nb\n", [b"a\nb\n"]),
        (b"a\nb", [b"a\n"]),
        (b"broken", []),
        (b"", []),
        (b"a\n" + b"x" * 3_000_000, [b"a\n"]),
    ],
)
def test_what_a_dead_replica_left_is_taken_over_without_its_last_half_line(
    tmp_path: Path, left: bytes, kept: list[bytes]
) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    (dead / CURRENT).write_bytes(left)
    (dead / LOCK).touch()
    made = spool(tmp_path / "r")
    made.take_over()
    assert lines_of(made) == kept
    assert not dead.exists()
    made.close()


def test_files_of_a_living_replica_are_its_own(tmp_path: Path) -> None:
    one, two = spool(tmp_path / "1"), spool(tmp_path / "2")
    one.append(b"a\n", AT)
    two.take_over()
    one.rotate()
    assert (lines_of(one), lines_of(two)) == ([b"a\n"], [])
    with pytest.raises(OSError, match="another process has the folder"):
        CaptureSpool(tmp_path / "1", 1, 1).open()
    one.close()
    two.close()
    assert (tmp_path / "1").exists(), "what is not delivered stays for others"
    assert not (tmp_path / "2").exists()


def test_a_process_that_is_killed_while_it_writes_leaves_whole_lines(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        made = spool(tmp_path / "dead")
        for number in range(1000):
            made.append(f"{number}\n".encode(), AT)
        os.pwrite(made._file, b"half a li", made._written)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    made = spool(tmp_path / "r")
    made.take_over()
    assert b"".join(lines_of(made)) == b"".join(f"{number}\n".encode() for number in range(1000))
    assert all(layout(path.name) for path in made.finished())
    made.close()


def test_a_folder_that_another_replica_takes_for_a_dead_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, real = itertools.count(), module._try_lock

    def taken_at_first(folder: Path) -> int | None:
        number = next(tries)
        if number == 3:
            raise FileNotFoundError(folder)
        return None if number < 25 else real(folder)

    monkeypatch.setattr(module, "_try_lock", taken_at_first)
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    made = CaptureSpool(tmp_path / "spool" / "r1", 10**9, 60.0)
    made.open()
    made.append(b"{}\n", 0.0)
    made.rotate()
    assert lines_of(made) == [b"{}\n"]
    made.close()
