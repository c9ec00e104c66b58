"""The folder in which a replica collects captured lines until their files are delivered.

``current`` grows by whole lines. A file that is large or old enough gets the name that it is delivered under.
A lock tells whether a folder's replica is alive; what a dead one left is taken over by any other of its variant, less
the line that it was writing.
"""

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path
from uuid import uuid4

from tidegate.rows.capture_paths import HOUR, file_name, layout

CURRENT, LOCK = "current", "lock"
ROTATE_BYTES = 16 * 1024 * 1024
_READ_BACK = 1024 * 1024
_PATIENCE, _PAUSE = 10.0, 0.02
"""Seconds in which the folder is made and locked, and between two tries: another replica that starts may take the new
folder for one that a dead replica left, and is about to remove it."""


class CaptureSpool:
    """Used by one thread, but for ``finished`` and ``size``, which any may read. Times are epoch seconds."""

    def __init__(self, folder: Path, limit: int, seconds: float) -> None:
        """``limit``: most bytes of the folder; ``seconds``: age at which a file is finished."""
        self.folder = folder
        self.size = 0
        """Bytes in the folder. Delivery subtracts nothing: it is measured anew by ``measure``."""
        self._limit = limit
        self._seconds = seconds
        self._lock = -1
        self._file = -1
        self._written = 0
        """Bytes of whole lines in the current file; what lies beyond them was not written completely."""
        self._began = 0.0

    def open(self) -> None:
        """Raises OSError."""
        until = time.monotonic() + _PATIENCE
        while (handle := self._make_and_lock()) is None:
            if time.monotonic() > until:
                raise OSError(errno.EBUSY, "another process has the folder")
            time.sleep(_PAUSE)
        self._lock = handle
        self.measure()

    def _make_and_lock(self) -> int | None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return _try_lock(self.folder)
        except FileNotFoundError:  # it was removed after it was made
            return None

    @property
    def room(self) -> int:
        """Bytes that may still be written."""
        return max(0, self._limit - self.size)

    def append(self, lines: bytes, at: float) -> None:
        """Write whole lines. Raises OSError, with nothing written."""
        if self._file >= 0 and self._is_due(at):
            self.rotate()
        if self._file < 0:
            self._file = os.open(
                self.folder / CURRENT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
            )
            self._began, self._written = at, 0
        done = 0
        while done < len(lines):
            done += os.pwrite(self._file, lines[done:], self._written + done)
        self._written += done
        self.size += done

    def tick(self, at: float) -> None:
        """Finish the current file if it is old enough. Raises OSError."""
        if self._file >= 0 and self._is_due(at):
            self.rotate()

    def rotate(self) -> None:
        """Finish the current file. Raises OSError; it is then tried again."""
        if self._file < 0:
            return
        os.ftruncate(self._file, self._written)
        os.fsync(self._file)
        (self.folder / CURRENT).rename(self.folder / file_name(self._began, str(uuid4())))
        os.close(self._file)
        self._file = -1

    def finished(self) -> list[Path]:
        """Files to be delivered, oldest first."""
        return _finished(self.folder)

    def measure(self) -> None:
        """Look how much there is: files have been delivered, and others may have been taken over."""
        self.size = self._written * (self._file >= 0) + sum(_size(path) for path in self.finished())

    def take_over(self) -> None:
        """Take the files of replicas of this variant that are dead. What cannot be taken now is left for later."""
        for folder in sorted(self.folder.parent.iterdir()) if self.folder.parent.is_dir() else []:
            if folder != self.folder and folder.is_dir():
                with contextlib.suppress(OSError):
                    _take_over(folder, self.folder)

    def close(self) -> None:
        """Remove the folder if everything was delivered."""
        if self._lock < 0:
            return
        if not self.finished() and not (self.folder / CURRENT).exists():
            with contextlib.suppress(OSError):
                (self.folder / LOCK).unlink()
                self.folder.rmdir()
        os.close(self._lock)
        self._lock = -1

    def _is_due(self, at: float) -> bool:
        old = at - self._began >= self._seconds or at // HOUR != self._began // HOUR
        return old or self._written >= ROTATE_BYTES


def count_lines(path: Path) -> int:
    """Raises OSError."""
    with path.open("rb") as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(_READ_BACK), b""))


def _try_lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None if another process has it, or has just removed it."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(folder / LOCK)):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _take_over(folder: Path, into: Path) -> None:
    handle = _try_lock(folder)
    if handle is None:
        return
    try:
        _repair(folder)
        for path in _finished(folder):
            path.rename(into / path.name)
        (folder / LOCK).unlink()
        folder.rmdir()
    finally:
        os.close(handle)


def _repair(folder: Path) -> None:
    """Finish the file that a dead replica was writing, without the last line if that has no end."""
    path = folder / CURRENT
    if not path.exists():
        return
    whole = _whole_lines(path)
    if not whole:
        path.unlink()
        return
    began = path.stat().st_mtime
    os.truncate(path, whole)
    path.rename(folder / file_name(began, str(uuid4())))


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line break."""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        while at:
            start = max(0, at - _READ_BACK)
            file.seek(start)
            found = file.read(at - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            at = start
    return 0


def _finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if layout(path.name) is not None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
