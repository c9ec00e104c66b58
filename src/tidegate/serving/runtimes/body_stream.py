"""The parts of one answer between a connection that reads them and whoever takes them, with a bound on what waits."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

HIGH, LOW = 256 * 1024, 64 * 1024
"""Bytes that wait to be taken: reading pauses above the one, and goes on below the other."""


class Source(Protocol):
    """The connection's side. ``over`` is called once: ``whole`` says that the answer came to its end."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def over(self, whole: bool) -> None: ...


class Parts(AsyncIterator[bytes]):
    """``wrong`` makes the error that whoever takes the parts gets from what the connection says went wrong."""

    def __init__(self, source: Source, wrong: Callable[[Exception], Exception]) -> None:
        self._source = source
        self._wrong = wrong
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._told = False
        self._news = asyncio.Event()

    # --- the connection's side ---

    def put(self, part: bytes) -> None:
        self._waiting.append(part)
        self._size += len(part)
        self._news.set()
        if self._size > HIGH and not self._paused:
            self._paused = True
            self._source.pause()

    def end(self) -> None:
        self._ended = True
        self._paused = False  # the connection has another answer to read
        self._news.set()
        self._tell(True)

    def fail(self, error: Exception) -> None:
        if not self._ended:
            self._ended = True
            self._error = self._wrong(error)
            self._news.set()
            self._tell(False)

    # --- the taker's side ---

    async def __anext__(self) -> bytes:
        while not self._waiting and not self._ended:
            self._news.clear()
            await self._news.wait()
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
        """What has not been taken is not wanted."""
        self._ended = True
        self._waiting.clear()
        self._tell(False)

    def _tell(self, whole: bool) -> None:
        if not self._told:
            self._told = True
            self._source.over(whole)
