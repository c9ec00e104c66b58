"""HTTP/1.1 to the proxy's socket: kept connections, one request on each at a time, bodies in pieces.

A thousand small requests a second are to cost less than the instance that answers them, which a general client does
not; and a body of a gigabyte must never be in memory. So this knows no more of HTTP than the proxy speaks.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

from tidegate.dispatcher.files import CHUNK, Body

KEPT = 200
"""Idle connections that are kept."""
CONNECT_TIMEOUT = 5.0
LIMIT = 256 * 1024
"""Bytes that are read ahead, and the most that a head may have."""

BROKEN = (OSError, EOFError, ValueError, LookupError, asyncio.LimitOverrunError)
"""What a connection raises that ends, and the reading of what is no HTTP."""


class Broken(Exception):
    """No whole answer came."""


class Unreachable(Broken):
    """There is nobody to ask."""


@dataclass(frozen=True)
class Head:
    status: int
    headers: dict[str, str]
    """Names in lower case; of a repeated one the last."""


class Lines:
    """``socket`` is a unix socket's path."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._idle: list[Line] = []

    async def ask(self, head: bytes, body: Body) -> "Line":
        """Sends the request and returns the connection with the answer's head read: it must be given back. A kept
        connection that was closed meanwhile is replaced, once."""
        while self._idle:
            line = self._idle.pop()
            if not line.closed:
                try:
                    return await line.ask(head, body)
                except Broken:
                    if not line.untouched:
                        raise
                    break
        return await (await self._connect()).ask(head, body)

    def give_back(self, line: "Line") -> None:
        if line.reusable and len(self._idle) < KEPT:
            self._idle.append(line)
        else:
            line.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> "Line":
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return Line(*await asyncio.open_unix_connection(self._socket, limit=LIMIT))
        except (OSError, TimeoutError) as error:
            raise Unreachable(str(error) or type(error).__name__) from None


class Line:
    """One connection."""

    head: Head

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.reusable = False
        """The answer was read to its end, and the next request may follow."""
        self.untouched = False
        """The connection ended before a byte of an answer came."""

    @property
    def closed(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        self._writer.transport.abort()

    async def ask(self, head: bytes, body: Body) -> Self:
        self.reusable = False
        try:
            await self._send(head, body)
            self.head = await self._read_head()
        except BROKEN as error:
            self.untouched = isinstance(error, OSError) or (
                isinstance(error, asyncio.IncompleteReadError) and not error.partial
            )
            self.close()
            raise Broken(str(error) or type(error).__name__) from None
        except BaseException:
            self.close()
            raise
        return self

    async def _send(self, head: bytes, body: Body) -> None:
        if isinstance(body, bytes):
            self._writer.write(head + body)
            return
        try:
            self._writer.write(head)
            with body.open("rb") as file:
                while part := await asyncio.to_thread(file.read, CHUNK):
                    self._writer.write(part)
                    await self._writer.drain()
        except ConnectionError:
            return  # an answer may be there already: that there is no instance, that this is too much

    async def _read_head(self) -> Head:
        while True:
            text = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = text[:-4].split("\r\n")
            status = int(first.split(" ", 2)[1])
            if status >= 200:
                fields = (line.partition(":") for line in lines)
                return Head(status, {name.lower(): value.strip() for name, _, value in fields})

    async def parts(self) -> AsyncIterator[bytes]:
        """The answer's body. Raises Broken where it ends too early."""
        headers = self.head.headers
        keeps = headers.get("connection", "").lower() != "close"
        try:
            if headers.get("transfer-encoding", "").lower() == "chunked":
                async for part in self._chunks():
                    yield part
            elif "content-length" in headers:
                async for part in self._exactly(int(headers["content-length"])):
                    yield part
            else:
                keeps = False
                while part := await self._reader.read(CHUNK):
                    yield part
        except BROKEN as error:
            raise Broken(str(error) or type(error).__name__) from None
        self.reusable = keeps

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            part = await self._reader.read(min(size, CHUNK))
            if not part:
                raise EOFError(f"{size} bytes of the answer are missing")
            size -= len(part)
            yield part

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            async for part in self._exactly(size):
                yield part
            await self._reader.readexactly(2)
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass
