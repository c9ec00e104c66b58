"""A bounded buffer for the parts of one answer, between a connection and its reader."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

HIGH, LOW = 256 * 1024, 64 * 1024
"""Buffered bytes: reading pauses above HIGH and resumes below LOW."""


class FlowControl(Protocol):
    """The connection's side. ``over`` is called once; ``whole``: the answer is complete."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def over(self, whole: bool) -> None: ...


class BodyParts(AsyncIterator[bytes]):
    """The parts, for their reader. ``wrong`` converts an error of the connection to the reader's."""

    def __init__(self, source: FlowControl, wrong: Callable[[Exception], Exception]) -> None:
        self._source = source
        self._wrong = wrong
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._notified = False
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
        self._paused = False  # the connection is free for the next answer
        self._changed.set()
        self._notify(True)

    def fail(self, error: Exception) -> None:
        if not self._ended:
            self._ended = True
            self._error = self._wrong(error)
            self._changed.set()
            self._notify(False)

    # --- the reader's side ---

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
        """Discard the remaining parts."""
        self._ended = True
        self._waiting.clear()
        self._notify(False)

    def _notify(self, whole: bool) -> None:
        if not self._notified:
            self._notified = True
            self._source.over(whole)
