"""Delivers streamed answers within time limits, to clients that may be slow or disconnect."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple

from tidegate.serving.contract.body_spool import IN_MEMORY
from tidegate.serving.contract.invocation import Answer, ModelFailed, Stream, TimedOut, close_parts
from tidegate.serving.front.connection import Connection
from tidegate.serving.front.response_formats import ResponseFormat
from tidegate.serving.scoring.batching import model_failure


class StreamLimits(NamedTuple):
    """``part``, ``whole``: seconds for the next part and for the whole stream. ``size``: most bytes of an answer that
    is joined for a client that accepts no streams."""

    part: float
    whole: float
    size: int


class StreamEnd(NamedTuple):
    """How a stream ended: the model's status for the statistics, and epoch microseconds of the first part.
    ``whole``: the client got all of it."""

    status: int
    first: int | None
    whole: bool = False
    message: str = ""
    """Of the model's failure."""


class StreamDelivery:
    """Delivers one stream to one client. ``close``: whether the connection closes after the response; ``started``:
    called once, at the model's first part; ``read``: called with each part after it was sent, and the epoch
    microseconds at which it came."""

    def __init__(
        self,
        stream: Stream,
        connection: Connection,
        fmt: ResponseFormat,
        limits: StreamLimits,
        close: Callable[[], bool],
        started: Callable[[], None],
        *,
        read: Callable[[bytes, int], None] | None = None,
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._format = fmt
        self._limits = limits
        self._close = close
        self._started = started
        self._read = read
        self._task: asyncio.Task[StreamEnd] | None = None
        self._first: int | None = None
        self._begun = False
        """Whether a part of the response was sent."""
        self._running = False
        self._leaving = False
        self._cut = False

    def begin(self, ended: Callable[[StreamEnd], None]) -> None:
        """Start, and call ``ended`` once at the end."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(lambda task: ended(task.result()))

    def leave(self) -> None:
        """Stop, because the client disconnected."""
        self._leaving = True
        if self._running and self._task is not None:  # cancelled before it runs, a task would not close the parts
            self._task.cancel()

    def cut(self) -> None:
        """Stop with an error, because the server is shutting down."""
        self._cut = True
        self.leave()

    async def _run(self) -> StreamEnd:
        self._running = True
        try:
            if self._leaving:
                raise asyncio.CancelledError
            parts = self._iterate()
            return await (self._pass_on(parts) if self._format.parts else self._gather(parts))
        except asyncio.CancelledError:
            if not self._cut:
                return StreamEnd(200, self._first)
            return self._fail(ModelFailed(0, "The instance was taken out of service before the stream ended."))
        except ModelFailed as error:
            return self._fail(error)
        except Exception as error:
            return self._fail(model_failure(error))
        finally:
            self._running = False
            await close_parts(self._stream.parts)

    async def _pass_on(self, parts: AsyncIterator[bytes], gathered: Iterable[bytes] = ()) -> StreamEnd:
        connection, fmt = self._connection, self._format
        for part in gathered:
            self._begin_response()
            connection.send(fmt.part(part))
        async for part in parts:
            self._begin_response()
            connection.send(fmt.part(part))
            if not await connection.room():
                return StreamEnd(200, self._first)
        self._begin_response()
        connection.end(self._close())
        return StreamEnd(200, self._first, True)

    async def _gather(self, parts: AsyncIterator[bytes]) -> StreamEnd:
        """Join the parts for a client that accepts no streams, unless they are too large for memory."""
        gathered, size = [], 0
        async for part in parts:
            gathered.append(part)
            size += len(part)
            if size > self._limits.size:
                raise ModelFailed(0, f"The answer is larger than the limit of {self._limits.size} bytes.")
            if size > IN_MEMORY:
                return await self._pass_on(parts, gathered)
        answer = Answer(b"".join(gathered), self._stream.content_type, self._stream.headers)
        self._connection.reply(self._format.whole(answer, self._close()), self._close())
        return StreamEnd(200, self._first, True)

    async def _iterate(self) -> AsyncIterator[bytes]:
        """Iterate over the parts that are not empty, within the limits. Raises TimedOut."""
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
                if self._limits.part < left:  # compare limits, not times: a timer may fire a little early
                    raise TimedOut from None
                raise TimedOut(message=f"The answer took longer than {self._limits.whole:g} s in all.") from None
            if part is None:
                return
            if part:
                at = 0 if self._read is None and self._first is not None else _now()
                if self._first is None:
                    self._first = at
                    self._started()
                yield part
                if self._read is not None:
                    self._read(part, at)

    def _begin_response(self) -> None:
        if self._begun:
            return
        self._begun = True
        self._first = self._first or _now()
        close = self._close() or not self._connection.chunked
        self._connection.start(self._format.start(self._stream, self._connection.chunked, close))

    def _fail(self, error: ModelFailed) -> StreamEnd:
        """Send an error: an ordinary response if nothing was sent, else what the format has for it."""
        connection, fmt = self._connection, self._format
        if not self._begun:
            connection.reply(fmt.whole(error, self._close()), self._close())
        elif (last := fmt.broken(self._stream, error)) is not None:
            connection.send(last)
            connection.end(self._close())
        else:
            connection.abort()
        return StreamEnd(error.status, self._first, message=error.message)


def _now() -> int:
    return time.time_ns() // 1000
