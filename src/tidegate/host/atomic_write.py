"""Files that are there whole or as they were before, whichever process crashes."""

import asyncio
import os
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """A reader, or a crash, sees the old content or the new, never a part. Its folder must exist.

    ``durable`` waits for the disk, so that a power failure does not lose the file either. ``mode`` is subject to the
    umask. Raises OSError, with the old content in place."""
    new = path.with_name(path.name + ".new")
    try:
        with open(new, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)  # all of it or an error: a nearly full disk takes a part
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        new.unlink(missing_ok=True)
        raise
    new.replace(path)


class BackgroundFile:
    """A small file that is written beside the event loop, the newest content last. A disk that is full or hangs loses
    what was to be written, and holds up nobody."""

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
        """Only on an event loop. What comes while a write is under way is written after it."""
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
            return  # the next content tries again
        self._written = data
        self._begin()
