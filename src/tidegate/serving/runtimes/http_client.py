"""HTTP/1.1 to a program on this machine: a few kept connections, one request on each at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast

import httptools

from tidegate.serving.contract.body_spool import IN_MEMORY, Spool
from tidegate.serving.runtimes.body_stream import Parts

_KEPT = 64
"""Idle connections that are kept."""
CONNECT_TIMEOUT = 2.0
LARGEST = 1024 * 1024
"""Bytes of a part: a larger chunk becomes several."""
MANY = IN_MEMORY + 1
"""Bytes that an answer without a length is taken to have."""


Check = Callable[[asyncio.BaseTransport], bool]


class Broken(Exception):
    """No whole answer came. ``untouched``: the connection had been kept, and closed before a byte came back."""

    def __init__(self, message: str, untouched: bool = False) -> None:
        super().__init__(message)
        self.untouched = untouched


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[bytes, bytes]
    """Names in lower case; of a repeated one the last."""
    body: bytes


@dataclass(frozen=True)
class PartReply:
    """A good answer without a length, or a large one: its body comes in parts, one for each chunk. ``parts`` must be
    closed."""

    headers: dict[bytes, bytes]
    parts: AsyncIterator[bytes]


class Wishes(NamedTuple):
    """For an answer that may come in parts. ``wrong`` makes the error that a broken one raises while it is taken;
    ``over`` is called once when nothing of it is to come any more."""

    wrong: Callable[[Exception], Exception]
    over: Callable[[], None]


class Client:
    """``address`` is a unix socket's path or a loopback port."""

    def __init__(self, address: str | int, limit: int, check: "Check | None" = None) -> None:
        """``check``: whether it is the right one that listens there, asked for each new connection."""
        self._address = address
        self._limit = limit
        self._check = check
        self._idle: list[_Connection] = []

    async def ask(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        host: bytes = b"localhost",
    ) -> Reply:
        """Raises Broken or, for an answer above the limit, ValueError. A kept connection that the program had
        closed meanwhile is replaced, once."""
        reply = await self._ask(_head(method, path, headers, len(body), host) + body, None, None)
        assert isinstance(reply, Reply)
        return reply

    async def ask_parts(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], body: bytes | Spool, wishes: Wishes
    ) -> Reply | PartReply:
        """Like ``ask``; a good answer that comes in parts is returned with its head."""
        head = _head(method, path, headers, len(body))
        if isinstance(body, Spool):
            return await self._ask(head, body, wishes)
        return await self._ask(head + body, None, wishes)

    async def _ask(self, request: bytes, spool: Spool | None, wishes: Wishes | None) -> Reply | PartReply:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                try:
                    return await self._on(connection, request, spool, wishes)
                except Broken as broken:
                    if not broken.untouched:
                        raise
                    break
        return await self._on(await self._connect(), request, spool, wishes)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _on(
        self, connection: "_Connection", request: bytes, spool: Spool | None, wishes: Wishes | None
    ) -> Reply | PartReply:
        try:
            reply = await connection.ask(request, spool, wishes)
        except BaseException:
            connection.close()
            raise
        if isinstance(reply, Reply):
            self._keep(connection)
        return reply

    def _keep(self, connection: "_Connection") -> None:
        if connection.open and len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        make = self._make
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                if isinstance(self._address, str):
                    transport, connection = await loop.create_unix_connection(make, self._address)
                else:
                    transport, connection = await loop.create_connection(make, "127.0.0.1", self._address)
            foreign = self._check is not None and not self._check(transport)
        except (OSError, TimeoutError) as error:
            raise Broken(f"cannot connect to {self._address}: {error}") from None
        if foreign:
            transport.abort()
            raise Broken(f"another process listens on {self._address}")
        return connection

    def _make(self) -> "_Connection":
        return _Connection(self._limit, self._keep)


def _head(
    method: str, path: str, headers: Iterable[tuple[bytes, bytes]], size: int, host: bytes = b"localhost"
) -> bytes:
    head = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method.encode(), path.encode("latin-1"), host)]
    head.append(b"content-length: %d\r\n" % size)
    head += [b"%b: %b\r\n" % header for header in headers]
    return b"".join((*head, b"\r\n"))


class _Connection(asyncio.Protocol):
    """``keep`` gets the connection back after an answer in parts."""

    def __init__(self, limit: int, keep: Callable[["_Connection"], None]) -> None:
        self._limit = limit
        self._keep_me = keep
        self._wishes: Wishes | None = None
        self._parts: Parts | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Reply | PartReply] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._used = False
        self._sending: asyncio.Task[None] | None = None
        """What is left of a large request."""
        self._room = asyncio.Event()
        self._room.set()
        self._begun = False
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._keep = True
        self._in_plain_body = False
        """In a body that has no length and ends with the connection, as HTTP/1.0 programs send it."""

    @property
    def open(self) -> bool:
        return self._transport is not None and self._keep and not self._transport.is_closing()

    async def ask(self, request: bytes, spool: Spool | None, wishes: Wishes | None) -> Reply | PartReply:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._begun = False
        self._wishes = wishes
        self._transport.write(request)
        # Beside the answer, which may begin before the request was taken.
        self._sending = None if spool is None else asyncio.create_task(self._send(spool))
        reply = await self._waiting
        self._used = True
        return reply

    async def _send(self, spool: Spool) -> None:
        for part in spool.parts():
            await self._room.wait()
            if self._transport is None or self._transport.is_closing():
                return
            self._transport.write(part)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        if self._waiting is None and self._parts is None:
            self.close()  # nobody asked
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Broken(f"the answer is not valid HTTP: {error}"))
        if self._size > self._limit:
            self._refuse()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._room.set()
        ends_with_connection = self._begun and b"content-length" not in self._headers and self._in_plain_body
        if ends_with_connection and (self._waiting is not None or self._parts is not None):
            self._finish()
        self._fail(Broken("the connection was closed before an answer", untouched=self._used and not self._begun))

    def on_message_begin(self) -> None:
        self._headers = {}
        self._body = []
        self._size = 0
        self._in_plain_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value
        self._size += len(name) + len(value)

    def on_headers_complete(self) -> None:
        self._in_plain_body = b"transfer-encoding" not in self._headers
        self._size = 0  # the limit is the body's: one of exactly that size is none too large
        good = 200 <= self._parser.get_status_code() < 300
        if self._wishes is None or not good or int(self._headers.get(b"content-length", MANY)) <= IN_MEMORY:
            return
        self._parts = Parts(self, self._wishes.wrong)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(PartReply(self._headers, self._parts))

    def on_body(self, part: bytes) -> None:
        self._body.append(part)
        self._size += len(part)
        if self._parts is not None and (self._in_plain_body or self._size >= LARGEST):
            self._pass_on()

    def on_chunk_complete(self) -> None:
        if self._parts is not None:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._parts is not None and self._body:
            self._parts.put(b"".join(self._body))
            self._body = []
            self._size = 0

    def on_message_complete(self) -> None:
        if self._size > self._limit:
            self._refuse()
        elif self._parser.get_status_code() >= 200:  # 100 Continue is no answer
            self._finish()

    def _finish(self) -> None:
        self._in_plain_body = False
        whole = self._sending is None or self._sending.done()
        self._keep = self._transport is not None and self._parser.should_keep_alive() and whole
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.end()
            return
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(Reply(self._parser.get_status_code(), self._headers, b"".join(self._body)))

    def _refuse(self) -> None:
        self._fail(ValueError(f"the answer is larger than the limit of {self._limit} bytes"))

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.fail(Broken("the connection was closed") if isinstance(error, Broken) else error)
        self.close()

    # --- as the source of parts ---

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def over(self, whole: bool) -> None:
        wishes, self._wishes = self._wishes, None
        self._parts = None
        if whole:
            self.resume()
            self._keep_me(self)
        else:
            self.close()
        if wishes is not None:
            wishes.over()
