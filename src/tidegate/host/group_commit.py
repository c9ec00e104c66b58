"""Group commit: writes that arrive during a flush join the next batch.

Clients that wait for their answers send the next requests when a batch was answered, a little after one another. The
first of them alone would begin a batch, and the others wait for the next: so, after a batch of several, the next one
waits a moment for as many.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Generic, TypeVar, cast

from tidegate.domain.errors import TidegateError

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

Done = Callable[[R | None, BaseException | None], None]
"""Gets the result of a write, or what it raised; must not raise."""

MAX_BATCH = 500
"""Writes per batch."""


class GroupCommit(Generic[T, R]):
    """``perform`` executes a batch and returns one result per write, or raises, with nothing kept. A TidegateError is
    everybody's; after another exception, which may be one write's own, each is executed alone."""

    def __init__(self, perform: Callable[[list[T]], Awaitable[list[R]]], gather: float = 0.0) -> None:
        """``gather``: seconds that a batch waits at most for as many writes as there were lately. A write that
        comes alone waits for none."""
        self._perform = perform
        self._gather = gather
        self._waiting: list[tuple[T, Done[R]]] = []
        self._task: asyncio.Task[None] | None = None
        self._expected = 0
        """Writes that were answered by the last batch, or waited when it ended."""
        self._ended = float("-inf")
        self._enough: asyncio.Future[None] | None = None

    async def do(self, one: T) -> R:
        promise: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.submit(one, partial(_resolve, promise))
        return await promise

    def submit(self, one: T, done: "Done[R]") -> None:
        """Like ``do``, for callers to whom a task or a future for each write is too dear."""
        self._waiting.append((one, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        elif self._enough is not None and len(self._waiting) >= self._expected and not self._enough.done():
            self._enough.set_result(None)

    async def _work(self) -> None:
        while self._waiting:
            await self._wait_for_more()
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            try:
                await self._answer(batch)
            except BaseException as error:  # cancelled
                _fail(batch, error)
                raise
            finally:
                self._expected = min(MAX_BATCH, len(batch) + len(self._waiting))
                self._ended = time.monotonic()

    async def _answer(self, batch: Sequence[tuple[T, "Done[R]"]]) -> None:
        try:
            answers = await self._perform([one for one, _ in batch])
        except Exception as error:
            if isinstance(error, TidegateError) or len(batch) == 1:
                _fail(batch, error)
                return
            for alone in batch:
                await self._answer([alone])
            return
        for (_, done), answer in zip(batch, answers, strict=True):
            _tell(done, answer, None)

    async def _wait_for_more(self) -> None:
        """Wait for as many writes as are expected, if there were several a moment ago."""
        if self._expected <= max(1, len(self._waiting)) or time.monotonic() - self._ended > self._gather:
            return
        self._enough = asyncio.get_running_loop().create_future()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._gather):
                await self._enough
        self._enough = None


def _fail(batch: Iterable[tuple[T, "Done[R]"]], error: BaseException) -> None:
    for _, done in batch:
        _tell(done, None, error)


def _tell(done: "Done[R]", result: R | None, error: BaseException | None) -> None:
    try:
        done(result, error)
    except Exception:  # one caller's: the others of the batch, and those that wait, have theirs to come
        log.exception("the end of a write could not be taken")


def _resolve(promise: "asyncio.Future[R]", result: R | None, error: BaseException | None) -> None:
    if promise.done():
        return
    if error is not None:
        promise.set_exception(error)
    else:
        promise.set_result(cast(R, result))
