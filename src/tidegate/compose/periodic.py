"""Loops of the controller: work that is done again and again until it stops."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from tidegate.host.aligned_pauses import BEGIN, align

log = logging.getLogger("tidegate")

COLLECT_AFTER = BEGIN
"""How far into a second the one before is collected: workers have closed it by then."""


async def every(seconds: float, work: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    """Run ``work`` again and again with a pause between, at most so long; what it raises is logged."""
    while not stopping.is_set():
        try:
            await work()
        except Exception as error:
            log.error("%s", error, exc_info=not isinstance(error, OSError))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(align(seconds)):
                await stopping.wait()


async def every_second(
    work: Callable[[], Awaitable[None]], stopping: asyncio.Event, after: float = COLLECT_AFTER
) -> None:
    """Run ``work`` shortly after each second of the clock begins."""
    while not stopping.is_set():
        pause = 1.0 - time.time() % 1.0 + after
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stopping.wait()
        if not stopping.is_set():
            try:
                await work()
            except Exception:
                log.exception("a second's work failed; it goes on with the next")
