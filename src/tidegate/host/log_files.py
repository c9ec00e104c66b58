"""Log files that a process writes to: the last lines, and cutting one that grows too large."""

import contextlib
import os
import stat
from pathlib import Path

LARGEST = 32 * 1024 * 1024
"""Bytes at which a log is cut."""
CUT_TO = 4 * 1024 * 1024
"""Bytes of its end that are then kept beside it."""
_BLOCK = 256 * 1024
"""Bytes read from the end of a file at the most."""
_OWN = 4096
"""Bytes read from the end of a process's own log."""


def read_end(path: Path, lines: int) -> list[str]:
    """The last lines of a log, with those of the part that was cut off if it takes them."""
    found = _last(path, lines)
    if len(found) < lines and cut_off_part(path).exists():
        found = _last(cut_off_part(path), lines - len(found)) + found
    return found


def read_own_end(lines: int) -> list[str]:
    """The last lines of this process's log; none where its output does not go to a file."""
    try:
        if not stat.S_ISREG(os.fstat(2).st_mode):
            return []
        with open("/proc/self/fd/2", "rb") as log:
            log.seek(max(0, os.fstat(2).st_size - _OWN))
            return log.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []


def cut(path: Path) -> None:
    """Keeps a log below its size while a process writes to it. The process has the file open for appending, so
    after the cut it writes on at the beginning; a line that comes in between is lost."""
    try:
        size = path.stat().st_size
        if size <= LARGEST:
            return
        with contextlib.suppress(OSError), path.open("rb") as file:  # on a full disk room is made all the same
            file.seek(size - CUT_TO)
            cut_off_part(path).write_bytes(file.read(CUT_TO))
        os.truncate(path, 0)
    except FileNotFoundError:
        pass


def cut_off_part(path: Path) -> Path:
    """The file that holds what was cut off a log last."""
    return path.with_name(path.name + ".old")


def _last(path: Path, lines: int) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _BLOCK))
        return file.read().decode(errors="replace").splitlines()[-lines:]
