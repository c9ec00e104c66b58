"""Runs a model that answers whole requests in threads.

A request waits in a bounded queue, then has one thread to itself until its last byte. A thread cannot be stopped:
when a request times out its client gets an error, and the thread stays occupied until the model returns. Once all
threads are past their time the engine is unhealthy, and the replica is replaced.
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
    GONE,
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
from tidegate.serving.contract.signature import ModelSignature, find_signature
from tidegate.serving.scoring.batching import model_failure

MOST_WAITING = 256
"""Requests that may wait for a thread; more are rejected."""
STREAM_LIMIT = 480.0
"""Seconds for a whole stream (SageMaker's limit), slow readers included."""


class AnswerStream(NamedTuple):
    """A streamed answer. ``parts`` is iterated in the thread of its request, and closed if it can be."""

    content_type: str
    parts: Iterator[bytes]
    headers: tuple[tuple[bytes, bytes], ...] = ()


@runtime_checkable
class Handler(Protocol):
    """A model in this process that answers whole requests, one at a time in each of ``threads`` threads."""

    threads: int

    def answer(self, call: Call) -> Answer | AnswerStream:
        """Answer a request. Raises ModelFailed; any other exception becomes a 500 with its type and message."""
        ...


class ThreadEngine:
    """The engine around a handler. ``timeout``: seconds for a request, queueing included, and for each further part
    of a stream."""

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
        """Whether any thread is idle or within its time."""
        return self._stuck < self._handler.threads

    @property
    def signature(self) -> ModelSignature | None:
        return find_signature(self._handler)

    def submit(self, call: Call, done: Done) -> None:
        if not self.healthy:
            done(TimedOut(self._container))
        elif len(self._queue) >= MOST_WAITING:
            message = f"{MOST_WAITING} requests wait for the model already; try again."
            done(Rejected(503, "ServiceUnavailable", message))
        else:
            work = _Work(call, done)
            work.timer = self._loop.call_later(self._timeout, self._time_out, work)
            call.on_abandon(partial(self._abandon, work))
            self._queue.append(work)
            self._dispatch()

    async def close(self) -> None:
        while self._queue:
            work = self._queue.popleft()
            work.finish(GONE)
        for _ in range(self._handler.threads):
            self._jobs.put(None)

    # --- on the event loop ---

    def _dispatch(self) -> None:
        while self._idle and self._queue:
            work = self._queue.popleft()
            work.running = True
            self._idle -= 1
            self._jobs.put(work)

    def _time_out(self, work: "_Work") -> None:
        if work.running:
            self._mark_stuck(work)
        else:
            self._queue.remove(work)
        work.finish(TimedOut(self._container))

    def _mark_stuck(self, work: "_Work") -> None:
        if not work.stuck:
            work.stuck = True
            self._stuck += 1

    def _abandon(self, work: "_Work") -> None:
        """The client disconnected: drop a waiting request, close a stream; a running function has to return."""
        if not work.running and work in self._queue:
            self._queue.remove(work)
            work.finish(GONE)
        elif work.parts is not None:
            work.parts.close()

    def _start_stream(self, work: "_Work", stream: Stream, parts: "_Parts") -> None:
        work.parts = parts
        parts.begin()
        if work.call.abandoned or work.finished:
            parts.close()
        work.finish(GONE if work.call.abandoned else stream)

    def _finish(self, work: "_Work", outcome: Outcome) -> None:
        """The thread is free again: finish its request and start the next one."""
        if work.stuck:
            self._stuck -= 1
        self._idle += 1
        work.finish(outcome)
        self._dispatch()

    # --- in the threads ---

    def _run(self) -> None:
        while (work := self._jobs.get()) is not None:
            self._call_on_loop(self._finish, work, self._answer(work))
            del work  # a large body is not kept until the next one comes

    def _answer(self, work: "_Work") -> Outcome:
        try:
            result = self._handler.answer(work.call)
            if not isinstance(result, AnswerStream):
                return result
            return self._stream(work, result)
        except BaseException as error:  # sys.exit in a request ends the request
            return self._failure(error)

    def _stream(self, work: "_Work", streamed: AnswerStream) -> Outcome:
        """Produce parts on demand. The first one comes before the response begins, so that a model that fails at once
        fails with its status."""
        source = streamed.parts
        try:
            first = _pull(source)
            mark_stuck = partial(self._mark_stuck, work)
            parts = _Parts(self._loop, first, self._timeout, mark_stuck, self._container)
            self._call_on_loop(
                self._start_stream, work, Stream(streamed.content_type, parts, streamed.headers), parts
            )
            while first is not None and (asked := parts.asks.get()) is not None:
                part: bytes | ModelFailed | None
                try:
                    part = _pull(source)
                except BaseException as error:
                    part = self._failure(error)
                self._call_on_loop(_resolve, asked, part)
                if not isinstance(part, bytes):
                    break
        finally:
            with suppress(AttributeError):
                source.close()  # type: ignore[attr-defined]
        return GONE  # ignored: the request has its outcome already

    def _failure(self, error: BaseException) -> ModelFailed:
        if isinstance(error, Exception):
            failure = model_failure(error)
        else:
            traceback.print_exception(error)
            failure = ModelFailed(500, f"{type(error).__name__}: {error}")
        failure.container = self._container
        return failure

    def _call_on_loop(self, what: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(what, *arguments)


class _Work:
    """One request, from its submission until its thread is free."""

    def __init__(self, call: Call, done: Done) -> None:
        self.call = call
        self.timer: asyncio.TimerHandle | None = None
        self.parts: _Parts | None = None
        self.running = False
        self.stuck = False
        self._done: Done | None = done

    @property
    def finished(self) -> bool:
        return self._done is None

    def finish(self, outcome: Outcome) -> None:
        """Report an outcome; later ones are ignored."""
        if self.timer is not None:
            self.timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done(outcome)


class _Parts(AsyncIterator[bytes]):
    """The event loop's side of a stream, which requests each part from the thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        first: bytes | None,
        timeout: float,
        mark_stuck: Callable[[], None],
        container: str,
    ) -> None:
        self.asks: SimpleQueue[asyncio.Future[bytes | None] | None] = SimpleQueue()
        self._loop = loop
        self._first = first
        self._timeout = timeout
        self._mark_stuck = mark_stuck
        self._failure = TimedOut(container)
        self._over = first is None
        self._failed = False
        self._limit: asyncio.TimerHandle | None = None
        self._asked: asyncio.Future[bytes | None] | None = None

    def begin(self) -> None:
        self._limit = self._loop.call_later(STREAM_LIMIT, self._time_out)

    async def __anext__(self) -> bytes:
        """Raises ModelFailed if the model fails or times out."""
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
        """Make the thread close the source, once it has returned from the current part."""
        self._first = None
        if self._limit is not None:
            self._limit.cancel()
        if not self._over:
            self._over = True
            self.asks.put(None)

    async def _ask(self) -> bytes | None:
        asked: asyncio.Future[bytes | None] = self._loop.create_future()
        self._asked = asked
        timer = self._loop.call_later(self._timeout, self._time_out)
        self.asks.put(asked)
        try:
            return await asked
        except BaseException:
            self.close()
            raise
        finally:
            self._asked = None
            timer.cancel()

    def _time_out(self) -> None:
        self._failed = not self._over
        if self._asked is not None and not self._asked.done():
            self._mark_stuck()
            self._asked.set_exception(self._failure)
        self.close()


def _pull(source: Iterator[bytes]) -> bytes | None:
    """The next part; None at the end."""
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
