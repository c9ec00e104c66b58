"""Answers that come in parts: their time limits, and how they reach a client that may be slow or leave."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple

from tidegate.serving.contract.body_spool import IN_MEMORY
from tidegate.serving.contract.invocation import Answer, ModelFailed, Stream, TimedOut, let_go
from tidegate.serving.front.connection import Connection
from tidegate.serving.front.response_formats import Manner
from tidegate.serving.scoring.batching import failed


class Limits(NamedTuple):
    """Seconds for the wait for a part and for the whole stream; bytes of an answer that is gathered, of one that is
    too large for that any number."""

    part: float
    whole: float
    size: int


class Ended(NamedTuple):
    """How a stream came out: the model's status as it is counted, and epoch microseconds of the first part."""

    status: int
    first: int | None


class Delivery:
    """One stream on its way to one client. ``close`` says whether the connection ends with the answer; ``started`` is
    called once, when the first part has come from the model."""

    def __init__(
        self,
        stream: Stream,
        connection: Connection,
        manner: Manner,
        limits: Limits,
        close: Callable[[], bool],
        started: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._manner = manner
        self._limits = limits
        self._close = close
        self._started = started
        self._task: asyncio.Task[Ended] | None = None
        self._first: int | None = None
        self._begun = False
        """Whether a part of the response is sent."""
        self._running = False
        self._leaving = False
        self._cut = False

    def begin(self, ended: Callable[[Ended], None]) -> None:
        """Calls ``ended`` once, when nothing more is sent."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(lambda task: ended(task.result()))

    def leave(self) -> None:
        """The client is gone."""
        self._leaving = True
        if self._running and self._task is not None:  # one that never ran would not let go of its parts
            self._task.cancel()

    def cut(self) -> None:
        """The server goes away: ends the stream, and says so."""
        self._cut = True
        self.leave()

    async def _run(self) -> Ended:
        self._running = True
        try:
            if self._leaving:
                raise asyncio.CancelledError
            parts = self._timed()
            return await (self._pass_on(parts) if self._manner.parts else self._gather(parts))
        except asyncio.CancelledError:
            if not self._cut:
                return Ended(200, self._first)
            return self._fail(ModelFailed(0, "The instance was taken out of service before the stream ended."))
        except ModelFailed as error:
            return self._fail(error)
        except Exception as error:
            return self._fail(failed(error))
        finally:
            self._running = False
            await let_go(self._stream.parts)

    async def _pass_on(self, parts: AsyncIterator[bytes], gathered: Iterable[bytes] = ()) -> Ended:
        connection, manner = self._connection, self._manner
        for part in gathered:
            self._begin_response()
            connection.send(manner.part(part))
        async for part in parts:
            self._begin_response()
            connection.send(manner.part(part))
            if not await connection.room():
                return Ended(200, self._first)
        self._begin_response()
        connection.end(self._close())
        return Ended(200, self._first)

    async def _gather(self, parts: AsyncIterator[bytes]) -> Ended:
        """For a client that takes whole answers, unless this one is too large to be held."""
        gathered, size = [], 0
        async for part in parts:
            gathered.append(part)
            size += len(part)
            if size > self._limits.size:
                raise ModelFailed(0, f"The answer is larger than the limit of {self._limits.size} bytes.")
            if size > IN_MEMORY:
                return await self._pass_on(parts, gathered)
        answer = Answer(b"".join(gathered), self._stream.content_type, self._stream.headers)
        self._connection.reply(self._manner.whole(answer, self._close()), self._close())
        return Ended(200, self._first)

    async def _timed(self) -> AsyncIterator[bytes]:
        """The parts that are not empty. Raises TimedOut."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._limits.whole
        while True:
            left = deadline - clock()
            wait = asyncio.timeout(min(self._limits.part, left))
            try:
                async with wait:
                    part = await anext(self._stream.parts, None)
            except TimeoutError:
                if not wait.expired():
                    raise
                if self._limits.part < left:  # not by the clock: a timer may be a little early
                    raise TimedOut from None
                raise TimedOut(message=f"The answer took longer than {self._limits.whole:g} s in all.") from None
            if part is None:
                return
            if part:
                if self._first is None:
                    self._first = _now()
                    self._started()
                yield part

    def _begin_response(self) -> None:
        if self._begun:
            return
        self._begun = True
        self._first = self._first or _now()
        close = self._close() or not self._connection.chunked
        self._connection.start(self._manner.start(self._stream, self._connection.chunked, close))

    def _fail(self, error: ModelFailed) -> Ended:
        """An ordinary error while nothing was sent; afterwards whatever the manner has to say it."""
        connection, manner = self._connection, self._manner
        if not self._begun:
            connection.reply(manner.whole(error, self._close()), self._close())
        elif (last := manner.broken(self._stream, error)) is not None:
            connection.send(last)
            connection.end(self._close())
        else:
            connection.abort()
        return Ended(error.status, self._first)


def _now() -> int:
    return time.time_ns() // 1000
