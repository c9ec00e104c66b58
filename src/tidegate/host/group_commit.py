"""Many small writes at once: those that come while some are under way share the next turn."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_BATCH = 500
"""Writes of one turn."""


class GroupCommit(Generic[T, R]):
    """``perform`` does a list of them and answers each, or raises for all."""

    def __init__(self, perform: Callable[[list[T]], Awaitable[list[R]]]) -> None:
        self._perform = perform
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, one: T) -> R:
        promise: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, promise))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await promise

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            try:
                answers = await self._perform([one for one, _ in batch])
            except BaseException as error:
                for _, promise in batch:
                    if not promise.done():
                        promise.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, promise), answer in zip(batch, answers, strict=True):
                if not promise.done():
                    promise.set_result(answer)
