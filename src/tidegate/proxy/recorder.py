"""Records the state in force on disk: immediately, or as soon as the disk accepts writes again.

Nothing that has to take effect waits for this: a full, read-only or hanging disk must not keep traffic on a failing
version.
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
"""Timeout of one write in seconds; it usually takes less than a millisecond."""


class StateFiles(Protocol):
    """``PreallocatedFiles``, or a test's replacement that fails on demand."""

    @property
    def folder(self) -> Path: ...
    def write(self, name: str, data: bytes) -> None: ...
    def read(self, name: str) -> bytes: ...
    def remove(self, name: str) -> None: ...


class WriteFailed(Transient):
    """A file that must be on disk first could not be written."""


class StateRecorder:
    """Writes in a thread, one file at a time, the newest content last. Serves one caller at a time."""

    def __init__(self, files: StateFiles) -> None:
        self._files = files
        self._wanted: dict[str, bytes] = {}
        self._written: dict[str, bytes] = {}
        self._writing: asyncio.Future[None] | None = None
        self.trouble: str | None = None
        """Why the files are outdated; None if they are not."""

    async def record(self, name: str, data: bytes) -> None:
        """Write a file now or, with ``trouble`` set, at a later ``retry``. Never raises."""
        self._wanted[name] = data
        await self.retry()

    async def retry(self) -> None:
        """Write whatever is not on disk yet."""
        for name, data in list(self._wanted.items()):
            if self._written.get(name) == data:
                continue
            try:
                await self._write(name, data, wait=False)
            except OSError as error:
                self._report(name, error)
                return
        if self.trouble is not None:
            log.info("%s: the state in force is on disk again", self._files.folder)
            self.trouble = None

    async def write_all(self, files: Mapping[str, bytes]) -> None:
        """Write files that HAProxy is about to read. Raises WriteFailed unless all are on disk."""
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
        """Write a file of the state. Raises OSError, also if the disk does not respond in time. ``wait``: give a
        hanging write time to end; no other write starts before it has."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=WRITE_TIMEOUT if wait else 0)
            if not self._writing.done():
                raise OSError(errno.ETIMEDOUT, "the disk does not respond")
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._files.write, name, data))
        self._writing.add_done_callback(_consume)
        await asyncio.wait({self._writing}, timeout=WRITE_TIMEOUT)
        if not self._writing.done():
            raise OSError(errno.ETIMEDOUT, "the disk does not respond")
        self._writing.result()
        self._written[name] = data

    def _report(self, name: str, error: OSError) -> None:
        if self.trouble is None:
            log.error(
                "%s. HAProxy is not affected, but a restart of it and of the controller would restore the "
                "outdated file. Retrying until it is written",
                self._message(name, error),
            )
        self.trouble = self._message(name, error)

    def _message(self, name: str, error: OSError) -> str:
        reason = error.strerror or os.strerror(error.errno or errno.EIO)
        return f"{self._files.folder / name} cannot be written: {reason}; free space there or repair the disk"


def _consume(done: "asyncio.Future[None]") -> None:
    """Retrieve the error of a write that nobody awaits."""
    if not done.cancelled():
        done.exception()
