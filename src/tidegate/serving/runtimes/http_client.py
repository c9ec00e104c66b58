"""HTTP/1.1 client for a program on this machine: a few pooled connections, with one request at a time on each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast

import httptools

from tidegate.serving.contract.body_spool import IN_MEMORY, Spool
from tidegate.serving.runtimes.body_stream import BodyParts

_KEPT = 64
"""Most idle connections in the pool."""
CONNECT_TIMEOUT = 2.0
LARGEST = 1024 * 1024
"""Most bytes of a part: a larger chunk becomes several."""
MANY = IN_MEMORY + 1
"""Assumed bytes of an answer without a length."""


Check = Callable[[asyncio.BaseTransport], bool]


class ConnectionBroken(Exception):
    """The answer is incomplete. ``untouched``: a pooled connection was closed before the first byte of the answer."""

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
    """A successful answer without a length, or a large one: its body comes in parts, one per chunk. ``parts`` must be
    closed."""

    headers: dict[bytes, bytes]
    parts: AsyncIterator[bytes]


class StreamHooks(NamedTuple):
    """Hooks for an answer in parts. ``wrong`` converts an error of the connection to the reader's; ``over`` is called
    once at its end."""

    wrong: Callable[[Exception], Exception]
    over: Callable[[], None]


class Client:
    """A client for one server. ``address`` is a unix socket's path or a loopback port."""

    def __init__(self, address: str | int, limit: int, check: "Check | None" = None) -> None:
        """``check``: whether the right process listens there, called for each new connection."""
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
        """Send a request. Raises ConnectionBroken or, for an answer above the limit, ValueError. A pooled connection
        that the program has closed meanwhile is replaced, once."""
        reply = await self._ask(_head(method, path, headers, len(body), host) + body, None, None)
        assert isinstance(reply, Reply)
        return reply

    async def ask_parts(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | Spool,
        hooks: StreamHooks,
    ) -> Reply | PartReply:
        """Like ``ask``; a successful answer in parts is returned at its head."""
        head = _head(method, path, headers, len(body))
        if isinstance(body, Spool):
            return await self._ask(head, body, hooks)
        return await self._ask(head + body, None, hooks)

    async def _ask(self, request: bytes, spool: Spool | None, hooks: StreamHooks | None) -> Reply | PartReply:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                try:
                    return await self._on(connection, request, spool, hooks)
                except ConnectionBroken as broken:
                    if not broken.untouched:
                        raise
                    break
        return await self._on(await self._connect(), request, spool, hooks)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _on(
        self, connection: "_Connection", request: bytes, spool: Spool | None, hooks: StreamHooks | None
    ) -> Reply | PartReply:
        try:
            reply = await connection.ask(request, spool, hooks)
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
            raise ConnectionBroken(f"cannot connect to {self._address}: {error}") from None
        if foreign:
            transport.abort()
            raise ConnectionBroken(f"another process listens on {self._address}")
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
    """One connection. ``keep`` returns it to the pool after an answer in parts."""

    def __init__(self, limit: int, keep: Callable[["_Connection"], None]) -> None:
        self._limit = limit
        self._keep_me = keep
        self._wishes: StreamHooks | None = None
        self._parts: BodyParts | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Reply | PartReply] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._used = False
        self._sending: asyncio.Task[None] | None = None
        """Sends the rest of a large request."""
        self._room = asyncio.Event()
        self._room.set()
        self._begun = False
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._keep = True
        self._in_plain_body = False
        """Within a body without length that ends when the connection closes, as HTTP/1.0 programs send it."""

    @property
    def open(self) -> bool:
        return self._transport is not None and self._keep and not self._transport.is_closing()

    async def ask(self, request: bytes, spool: Spool | None, hooks: StreamHooks | None) -> Reply | PartReply:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._begun = False
        self._wishes = hooks
        self._transport.write(request)
        # Concurrently with the answer, which may begin before the request was sent.
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
            self.close()  # there was no request
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionBroken(f"the answer is not valid HTTP: {error}"))
        if self._size > self._limit:
            self._refuse()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._room.set()
        ends_with_connection = self._begun and b"content-length" not in self._headers and self._in_plain_body
        if ends_with_connection and (self._waiting is not None or self._parts is not None):
            self._finish()
        self._fail(
            ConnectionBroken(
                "the connection was closed before an answer", untouched=self._used and not self._begun
            )
        )

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
        self._size = 0  # the limit applies to the body, without its head
        good = 200 <= self._parser.get_status_code() < 300
        if self._wishes is None or not good or int(self._headers.get(b"content-length", MANY)) <= IN_MEMORY:
            return
        self._parts = BodyParts(self, self._wishes.wrong)
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
            parts.fail(
                ConnectionBroken("the connection was closed") if isinstance(error, ConnectionBroken) else error
            )
        self.close()

    # --- flow control of parts ---

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def over(self, whole: bool) -> None:
        hooks, self._wishes = self._wishes, None
        self._parts = None
        if whole:
            self.resume()
            self._keep_me(self)
        else:
            self.close()
        if hooks is not None:
            hooks.over()
