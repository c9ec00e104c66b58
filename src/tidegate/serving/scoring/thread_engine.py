"""Runs a model that answers whole requests, in threads beside the event loop.

A request waits in a short queue, has one thread to itself from its first byte to its last, and gets its answer or
its error alone. A thread cannot be stopped: when a request has had its time, its client is told and the thread is
left to come back; once none has come back, the engine says that it is unhealthy and the replica is replaced.
"""

import asyncio
import threading
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple, Protocol, runtime_checkable

from tidegate.serving.contract.invocation import (
    PRIMARY,
    Answer,
    Call,
    Done,
    ModelFailed,
    Outcome,
    Rejected,
    Stream,
    TimedOut,
)
from tidegate.serving.scoring.batching import failed

ROOM = 256
"""Requests that may wait for a thread; more are refused at once."""
STREAM_LIMIT = 480.0
"""Seconds that a stream may take as a whole (SageMaker's limit), slow readers included."""
_GONE = Rejected(499, "ClientGone", "The client went away.")


class Streamed(NamedTuple):
    """An answer in parts. ``parts`` is pulled in the thread of its request, and closed if it can be."""

    content_type: str
    parts: Iterator[bytes]
    headers: tuple[tuple[bytes, bytes], ...] = ()


@runtime_checkable
class Handler(Protocol):
    """A model in this process that answers one whole request at a time, in each of ``threads`` threads."""

    threads: int

    def answer(self, call: Call) -> Answer | Streamed:
        """Raises ModelFailed; anything else that it raises becomes a 500 with the type and the message."""
        ...


class Handling:
    """The engine around a handler. ``timeout``: seconds for a request, its wait included, and for each further
    part of a stream."""

    def __init__(
        self, handler: Handler, loop: asyncio.AbstractEventLoop, timeout: float, container: str = PRIMARY
    ) -> None:
        self._handler = handler
        self._loop = loop
        self._timeout = timeout
        self._container = container
        self._queue: deque[_Work] = deque()
        self._jobs: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = handler.threads
        self._stuck = 0
        for number in range(handler.threads):
            threading.Thread(target=self._run, name=f"model-{number}", daemon=True).start()

    @property
    def healthy(self) -> bool:
        """Whether any thread is at rest or within its time."""
        return self._stuck < self._handler.threads

    def submit(self, call: Call, done: Done) -> None:
        if not self.healthy:
            done(TimedOut(self._container))
        elif len(self._queue) >= ROOM:
            message = f"{ROOM} requests wait for the model already; try again."
            done(Rejected(503, "ServiceUnavailable", message))
        else:
            work = _Work(call, done)
            work.timer = self._loop.call_later(self._timeout, self._late, work)
            call.on_abandon(partial(self._left, work))
            self._queue.append(work)
            self._next()

    async def close(self) -> None:
        while self._queue:
            work = self._queue.popleft()
            work.settle(_GONE)
        for _ in range(self._handler.threads):
            self._jobs.put(None)

    # --- on the event loop ---

    def _next(self) -> None:
        while self._idle and self._queue:
            work = self._queue.popleft()
            work.running = True
            self._idle -= 1
            self._jobs.put(work)

    def _late(self, work: "_Work") -> None:
        if work.running:
            self._sticks(work)
        else:
            self._queue.remove(work)
        work.settle(TimedOut(self._container))

    def _sticks(self, work: "_Work") -> None:
        if not work.stuck:
            work.stuck = True
            self._stuck += 1

    def _left(self, work: "_Work") -> None:
        """Its client is gone: what waits is dropped, a stream is closed, a function has to come to its end."""
        if not work.running and work in self._queue:
            self._queue.remove(work)
            work.settle(_GONE)
        elif work.parts is not None:
            work.parts.close()

    def _opened(self, work: "_Work", stream: Stream, parts: "_Parts") -> None:
        work.parts = parts
        parts.begin()
        if work.call.abandoned or work.settled:
            parts.close()
        work.settle(_GONE if work.call.abandoned else stream)

    def _finished(self, work: "_Work", outcome: Outcome) -> None:
        """Its thread is free again."""
        if work.stuck:
            self._stuck -= 1
        self._idle += 1
        work.settle(outcome)
        self._next()

    # --- in the threads ---

    def _run(self) -> None:
        while (work := self._jobs.get()) is not None:
            self._tell(self._finished, work, self._answer(work))
            del work  # a large body is not kept until the next one comes

    def _answer(self, work: "_Work") -> Outcome:
        try:
            result = self._handler.answer(work.call)
            if not isinstance(result, Streamed):
                return result
            return self._stream(work, result)
        except BaseException as error:  # sys.exit in a request ends the request
            return self._failure(error)

    def _stream(self, work: "_Work", streamed: Streamed) -> Outcome:
        """Pulls one part whenever one is asked for. The first comes before the answer begins, so that a model that
        fails at once fails with its status."""
        source = streamed.parts
        try:
            first = _pull(source)
            sticks = partial(self._sticks, work)
            parts = _Parts(self._loop, first, self._timeout, sticks, self._container)
            self._tell(self._opened, work, Stream(streamed.content_type, parts, streamed.headers), parts)
            while first is not None and (asked := parts.asks.get()) is not None:
                part: bytes | ModelFailed | None
                try:
                    part = _pull(source)
                except BaseException as error:
                    part = self._failure(error)
                self._tell(_resolve, asked, part)
                if not isinstance(part, bytes):
                    break
        finally:
            with suppress(AttributeError):
                source.close()  # type: ignore[attr-defined]
        return _GONE  # it has its outcome already

    def _failure(self, error: BaseException) -> ModelFailed:
        if isinstance(error, Exception):
            failure = failed(error)
        else:
            traceback.print_exception(error)
            failure = ModelFailed(500, f"{type(error).__name__}: {error}")
        failure.container = self._container
        return failure

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(what, *arguments)


class _Work:
    """One request between its submission and the return of its thread."""

    def __init__(self, call: Call, done: Done) -> None:
        self.call = call
        self.timer: asyncio.TimerHandle | None = None
        self.parts: _Parts | None = None
        self.running = False
        self.stuck = False
        self._done: Done | None = done

    @property
    def settled(self) -> bool:
        return self._done is None

    def settle(self, outcome: Outcome) -> None:
        """Tells the first outcome, and no other."""
        if self.timer is not None:
            self.timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done(outcome)


class _Parts(AsyncIterator[bytes]):
    """The event loop's end of a stream: each part is asked for when it is wanted."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        first: bytes | None,
        timeout: float,
        sticks: Callable[[], None],
        container: str,
    ) -> None:
        self.asks: SimpleQueue[asyncio.Future[bytes | None] | None] = SimpleQueue()
        self._loop = loop
        self._first = first
        self._timeout = timeout
        self._sticks = sticks
        self._failure = TimedOut(container)
        self._over = first is None
        self._failed = False
        self._limit: asyncio.TimerHandle | None = None
        self._asked: asyncio.Future[bytes | None] | None = None

    def begin(self) -> None:
        self._limit = self._loop.call_later(STREAM_LIMIT, self._late)

    async def __anext__(self) -> bytes:
        """Raises ModelFailed when the model fails or does not go on."""
        if self._failed:
            raise self._failure
        part, self._first = self._first, None
        if part is None and not self._over:
            part = await self._ask()
        if part is None:
            self.close()
            raise StopAsyncIteration
        return part

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """The thread closes the source, when it comes back from the part that it is at."""
        self._first = None
        if self._limit is not None:
            self._limit.cancel()
        if not self._over:
            self._over = True
            self.asks.put(None)

    async def _ask(self) -> bytes | None:
        asked: asyncio.Future[bytes | None] = self._loop.create_future()
        self._asked = asked
        timer = self._loop.call_later(self._timeout, self._late)
        self.asks.put(asked)
        try:
            return await asked
        except BaseException:
            self.close()
            raise
        finally:
            self._asked = None
            timer.cancel()

    def _late(self) -> None:
        self._failed = not self._over
        if self._asked is not None and not self._asked.done():
            self._sticks()
            self._asked.set_exception(self._failure)
        self.close()


def _pull(source: Iterator[bytes]) -> bytes | None:
    """The next part, None at the end."""
    part = next(source, None)
    if not isinstance(part, bytes | None):
        raise TypeError(f"a part of a stream is a {type(part).__name__}, not bytes")
    return part


def _resolve(asked: "asyncio.Future[bytes | None]", part: bytes | ModelFailed | None) -> None:
    if asked.done():
        return
    if isinstance(part, ModelFailed):
        asked.set_exception(part)
    else:
        asked.set_result(part)
