"""The body of one response between the connection that reads it and its consumer, with a bound on what waits."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

HIGH, LOW = 256 * 1024, 64 * 1024
"""Bytes that wait for the consumer: reading pauses above the one, and resumes below the other."""


class _StreamSource(Protocol):
    """The connection. ``end_stream`` is called once; ``whole`` says that the response came to its end."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def end_stream(self, whole: bool) -> None: ...


class BodyStream(AsyncIterator[bytes]):
    """``wrong`` makes the error that the consumer gets from the connection's error."""

    def __init__(self, source: _StreamSource, wrong: Callable[[Exception], Exception]) -> None:
        self._source = source
        self._wrong = wrong
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._source_ended = False
        self._changed = asyncio.Event()

    # --- the connection's side ---

    def put(self, part: bytes) -> None:
        self._waiting.append(part)
        self._size += len(part)
        self._changed.set()
        if self._size > HIGH and not self._paused:
            self._paused = True
            self._source.pause()

    def end(self) -> None:
        self._ended = True
        self._paused = False  # the connection has another response to read
        self._changed.set()
        self._end_source(True)

    def fail(self, error: Exception) -> None:
        if not self._ended:
            self._ended = True
            self._error = self._wrong(error)
            self._changed.set()
            self._end_source(False)

    # --- the consumer's side ---

    @property
    def waiting(self) -> int:
        """Bytes that wait for the consumer."""
        return self._size

    async def __anext__(self) -> bytes:
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if self._waiting:
            part = self._waiting.popleft()
            self._size -= len(part)
            if self._paused and self._size < LOW:
                self._paused = False
                self._source.resume()
            return part
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Drops what was not consumed."""
        self.drop()

    def drop(self) -> None:
        """The same, at once."""
        self._ended = True
        self._waiting.clear()
        self._end_source(False)

    def _end_source(self, whole: bool) -> None:
        if not self._source_ended:
            self._source_ended = True
            self._source.end_stream(whole)
