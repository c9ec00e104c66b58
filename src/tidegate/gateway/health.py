"""Health check: the store answers, the proxy runs, and changes can be saved."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tidegate.gateway.dependencies import Gateway

TIMEOUT = 2.0
"""Timeout in seconds for the store, the proxy and the disk, each."""
PROBE_EVERY = 5.0
PROBE_FILE = ".write-probe"
PROBE_SIZE = 8 * 1024
"""Bytes; the size of SQLite's smallest transaction on disk."""


@dataclass(frozen=True)
class PlatformHealth:
    """``ok``; ``degraded`` if tidegate serves but cannot save changes or control a target; ``unavailable``."""

    status: Literal["ok", "degraded", "unavailable"]
    reason: str = ""


async def check_health(gateway: Gateway) -> PlatformHealth:
    try:
        async with asyncio.timeout(TIMEOUT):
            await gateway.context.store.run(lambda tx: tx.journal(limit=1, bodies=False))
    except Exception as error:
        return PlatformHealth("unavailable", f"the store does not answer: {error or type(error).__name__}")
    try:
        async with asyncio.timeout(TIMEOUT):
            if not await gateway.proxy_up():
                return PlatformHealth("unavailable", "the proxy is not up")
    except TimeoutError:
        return PlatformHealth("unavailable", "the proxy does not answer")
    reason = gateway.trouble() or await gateway.unwritable()
    return PlatformHealth("degraded", reason) if reason else PlatformHealth("ok")


def write_probe(folder: Path) -> None:
    """Write and remove a small file. Raises OSError if nothing can be saved."""
    path = folder / PROBE_FILE
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = PROBE_SIZE
        while left:
            left -= os.write(handle, b"\0" * left)
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):
            path.unlink()


@dataclass
class WriteProbe:
    """Checks whether the state folder can be written, at most every few seconds and never on the event loop."""

    folder: Path
    write: Callable[[Path], None] = write_probe
    every: float = PROBE_EVERY
    timeout: float = TIMEOUT
    _running: "asyncio.Task[str | None] | None" = None
    _due: float = field(default=float("-inf"))

    async def __call__(self) -> str | None:
        """Why the folder cannot be written; None if it can."""
        loop = asyncio.get_running_loop()
        if self._running is None or (self._running.done() and loop.time() >= self._due):
            self._due = loop.time() + self.every
            self._running = loop.create_task(self._try())
        await asyncio.wait({self._running}, timeout=self.timeout)
        if not self._running.done():
            return f"the state folder {self.folder} cannot be written: the disk does not respond"
        return self._running.result()

    async def _try(self) -> str | None:
        try:
            await asyncio.to_thread(self.write, self.folder)
        except OSError as error:
            return f"the state folder {self.folder} cannot be written: {error.strerror or error}"
        return None
