"""Writes what is in force to disk: at once where the disk takes it, otherwise as soon as it does again.

Nothing that has to take effect waits for this. A full, read-only or hanging disk must not keep traffic on a version
that fails.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tidegate.domain.errors import Transient

log = logging.getLogger(__name__)

WRITE_TIMEOUT = 2.0
"""Seconds for one write; the usual one takes less than a millisecond."""


class StateFiles(Protocol):
    """``PreallocatedFiles``, or something that fails as a test wants it to."""

    @property
    def folder(self) -> Path: ...
    def write(self, name: str, data: bytes) -> None: ...
    def read(self, name: str) -> bytes: ...
    def remove(self, name: str) -> None: ...


class WriteFailed(Transient):
    """A file that has to be on disk first could not be written."""


class StateRecorder:
    """Writes happen in a thread, one at a time and the newest content last. One caller at a time."""

    def __init__(self, files: StateFiles) -> None:
        self._files = files
        self._wanted: dict[str, bytes] = {}
        self._written: dict[str, bytes] = {}
        self._writing: asyncio.Future[None] | None = None
        self.trouble: str | None = None
        """Why the files are behind what is in force; None while they are not."""

    async def record(self, name: str, data: bytes) -> None:
        """Write a file now or, with ``trouble`` set, at a later ``retry``. Never fails."""
        self._wanted[name] = data
        await self.retry()

    async def retry(self) -> None:
        """Write what is not on disk yet."""
        for name, data in list(self._wanted.items()):
            if self._written.get(name) == data:
                continue
            try:
                await self._write(name, data, wait=False)
            except OSError as error:
                self._report(name, error)
                return
        if self.trouble is not None:
            log.info("%s is written again: what is in force is on disk", self._files.folder)
            self.trouble = None

    async def write_all(self, files: Mapping[str, bytes]) -> None:
        """Write files that HAProxy is about to read. Raises NotWritten unless all of them are on disk."""
        for name, data in files.items():
            try:
                await self._write(name, data, wait=True)
            except OSError as error:
                raise WriteFailed(self._message(name, error)) from None

    def forget(self, name: str) -> None:
        """Remove a file."""
        self._wanted.pop(name, None)
        self._written.pop(name, None)
        self._files.remove(name)

    async def _write(self, name: str, data: bytes, *, wait: bool) -> None:
        """Raises OSError, also when the disk does not answer in time: ``wait`` gives a write that hangs a chance to
        end, and no other is begun before it has."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=WRITE_TIMEOUT if wait else 0)
            if not self._writing.done():
                raise OSError(errno.ETIMEDOUT, "the disk does not answer")
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._files.write, name, data))
        self._writing.add_done_callback(_consume)
        await asyncio.wait({self._writing}, timeout=WRITE_TIMEOUT)
        if not self._writing.done():
            raise OSError(errno.ETIMEDOUT, "the disk does not answer")
        self._writing.result()
        self._written[name] = data

    def _report(self, name: str, error: OSError) -> None:
        if self.trouble is None:
            log.error(
                "%s. HAProxy does as it should all the same; a restart of it and of the controller would go back to "
                "what the file says. Trying again until it is written",
                self._message(name, error),
            )
        self.trouble = self._message(name, error)

    def _message(self, name: str, error: OSError) -> str:
        reason = error.strerror or os.strerror(error.errno or errno.EIO)
        return f"{self._files.folder / name} cannot be written: {reason}; free space there or mend the disk"


def _consume(done: "asyncio.Future[None]") -> None:
    """Take the error of a write that nobody waited for."""
    if not done.cancelled():
        done.exception()
