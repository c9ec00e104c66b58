"""A file that is written beside an event loop."""

import asyncio
from pathlib import Path

from tidegate.host.atomic_write import write_atomically


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
