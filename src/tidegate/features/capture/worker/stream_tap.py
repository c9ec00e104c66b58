"""Keeps a copy of a streamed answer while its parts go to the client, up to a bound."""

from collections.abc import AsyncIterator, Callable

from tidegate.serving.contract.invocation import close_parts


class StreamTap:
    """The parts of a stream, unchanged and none of them delayed. ``reserve``: asks for room for so many bytes more,
    and says whether there is some; ``release`` gives it back. Without room nothing more is kept of this stream."""

    def __init__(
        self, parts: AsyncIterator[bytes], reserve: Callable[[int], bool], release: Callable[[int], None]
    ) -> None:
        self._parts, self._reserve, self._release = parts, reserve, release
        self._kept: list[bytes] = []
        self._size = 0
        self.over = False
        """Whether there was no room for it."""

    def __aiter__(self) -> "StreamTap":
        return self

    async def __anext__(self) -> bytes:
        part = await anext(self._parts)
        if not self.over:
            if self._reserve(len(part)):
                self._kept.append(part)
                self._size += len(part)
            else:
                self.over = True
                self.take()
        return part

    def take(self) -> bytes:
        """Return the copy and release its memory."""
        whole = b"".join(self._kept)
        self._release(self._size)
        self._kept, self._size = [], 0
        return whole

    async def aclose(self) -> None:
        await close_parts(self._parts)
