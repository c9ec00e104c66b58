"""Atomic file replacement, also beside an event loop."""

import asyncio
import errno
import os
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file: readers see the old or the new content, never a part, also after a crash. The folder must
    exist.

    ``durable`` waits for the disk, so that the new content survives a power failure. ``mode`` is subject to the
    umask. Raises OSError, with the old content in place, or with the new one where only the wait failed."""
    new = path.with_name(path.name + ".new")
    try:
        with open(new, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)  # buffered: an error even if a nearly full disk takes a part
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        new.unlink(missing_ok=True)
        raise
    new.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: str | Path) -> None:
    """Wait until the names in a folder are on the disk: a power failure may undo a rename until then. Not where a
    folder may be written and not read, or its file system cannot do that. Raises OSError."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP):
            raise


def write_private(path: Path, data: bytes) -> None:
    """The same in a folder that is made if need be, for this user alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, data)


# --- a file that is written beside an event loop ---


class BackgroundFile:
    """A small file that is written in a thread, always ending with the newest content. If the disk is full or hangs,
    writes are lost and the event loop is not blocked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._wanted = b""
        self._written = b""
        self._writing: asyncio.Future[None] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether the newest content is not on disk yet."""
        return self._wanted != self._written

    def write(self, data: bytes) -> None:
        """Call on an event loop only. During a write, the newest content waits and is written after it."""
        self._wanted = data
        if self._writing is None or self._writing.done():
            self._begin()

    def _begin(self) -> None:
        if self._wanted == self._written:
            return
        data = self._wanted
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, data)
        self._writing.add_done_callback(lambda done: self._end(done, data))

    def _write(self, data: bytes) -> None:
        write_atomically(self.path, data, durable=False)

    def _end(self, done: "asyncio.Future[None]", data: bytes) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # retried with the next content
        self._written = data
        self._begin()
