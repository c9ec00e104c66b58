"""An engine that works on no more than so many calls at a time; others wait for their turn, in order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import NamedTuple

from tidegate.serving.contract.invocation import (
    Call,
    Done,
    ModelEngine,
    Outcome,
    ProbedEngine,
    Rejected,
    Stream,
    close_parts,
)
from tidegate.serving.contract.signature import ModelSignature, find_signature


class _Waiting(NamedTuple):
    call: Call
    done: Done
    until: asyncio.TimerHandle


class Bounded:
    """``seconds``: how long a call waits before it is throttled. A stream is worked on until its end."""

    def __init__(self, engine: ModelEngine, most: int, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._most = most
        self._seconds = seconds
        self._loop = loop
        self._busy = 0
        self._waiting: deque[_Waiting] = deque()

    @property
    def signature(self) -> ModelSignature | None:
        return find_signature(self._engine)

    def submit(self, call: Call, done: Done) -> None:
        if self._busy < self._most:
            self._start(call, done)
            return
        until = self._loop.call_later(self._seconds, self._throttle, call)
        self._waiting.append(_Waiting(call, done, until))

    @property
    def healthy(self) -> bool:
        return self._engine.healthy

    async def finish_checks(self) -> None:
        if isinstance(self._engine, ProbedEngine):
            await self._engine.finish_checks()

    async def close(self) -> None:
        await self._engine.close()

    def _start(self, call: Call, done: Done) -> None:
        self._busy += 1
        self._engine.submit(call, partial(self._finish, done))

    def _finish(self, done: Done, outcome: Outcome) -> None:
        if isinstance(outcome, Stream):
            outcome = outcome._replace(parts=_CountedParts(outcome.parts, self._end))
        else:
            self._end()
        done(outcome)

    def _end(self) -> None:
        self._busy -= 1
        while self._waiting and self._busy < self._most:
            call, done, until = self._waiting.popleft()
            until.cancel()
            if call.abandoned:
                done(_throttled())  # nobody reads it
            else:
                self._start(call, done)

    def _throttle(self, call: Call) -> None:
        late = next(one for one in self._waiting if one.call is call)
        self._waiting.remove(late)
        late.done(_throttled())


class _CountedParts:
    """``ended`` is called once: at the stream's end, its failure, or when nobody wants the rest."""

    def __init__(self, parts: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        self._parts = parts
        self._ended: Callable[[], None] | None = ended

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._parts)
        except BaseException:
            self._end()
            raise

    async def aclose(self) -> None:
        self._end()
        await close_parts(self._parts)

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()


def _throttled() -> Rejected:
    message = "Rate exceeded: the instance works on as many requests as it may; try again."
    return Rejected(429, "ThrottlingException", message)
