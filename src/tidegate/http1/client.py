"""A client of one server: a few kept connections, one request on each at a time."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from tidegate.http1.connection import HttpConnection, Waiter
from tidegate.http1.exchange import Exchange, Take, TakeAny
from tidegate.http1.messages import (
    ConnectionBroken,
    HttpReply,
    LongBody,
    StreamedReply,
    Streaming,
    Unreachable,
    format_head,
)

if TYPE_CHECKING:
    import ssl

KEPT = 64
"""Idle connections that are kept."""
CONNECT_TIMEOUT = 2.0
"""Seconds."""
HEAD_LIMIT = 256 * 1024
"""Bytes of a response's headers."""

PeerCheck = Callable[[asyncio.BaseTransport], bool]


class Tls(NamedTuple):
    """TLS to a server whose certificate has to be that of ``name``."""

    context: "ssl.SSLContext"
    name: str


class HttpClient:
    """Times out only while it connects: limit a request with ``asyncio.timeout``, which breaks its connection."""

    def __init__(
        self,
        address: str | int | tuple[str, int],
        limit: int,
        check: PeerCheck | None = None,
        *,
        head_limit: int = HEAD_LIMIT,
        kept: int = KEPT,
        connect_timeout: float = CONNECT_TIMEOUT,
        tls: Tls | None = None,
    ) -> None:
        """``address``: a unix socket's path, a port on loopback, or an IP address with a port. ``limit``: bytes of a
        body that is held whole. ``head_limit``: bytes of the headers. ``check``: whether the right process listens,
        asked for each new connection. ``tls``: of a server at an IP address."""
        self._address = address
        self._limit = limit
        self._head_limit = head_limit
        self._check = check
        self._kept = kept
        self._connect_timeout = connect_timeout
        self._tls = tls
        self._idle: list[HttpConnection] = []
        self._connecting: set[asyncio.Task[HttpConnection]] = set()

    async def request(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        host: bytes = b"localhost",
    ) -> HttpReply:
        """Raises ConnectionBroken or, for a response above a limit, ValueError. A kept connection that the server had
        closed meanwhile is replaced, once."""
        reply = await self.send(format_head(method, path, headers, len(body), host) + body, None, None)
        assert isinstance(reply, HttpReply)
        return reply

    async def stream(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | LongBody,
        streaming: Streaming,
        host: bytes = b"localhost",
    ) -> HttpReply | StreamedReply:
        """Like ``request``; a response that is streamed is returned with its head."""
        if isinstance(body, LongBody):
            return await self.send(format_head(method, path, headers, body.size, host), body, streaming)
        return await self.send(format_head(method, path, headers, len(body), host) + body, None, streaming)

    def ask_again(self, request: bytes) -> "asyncio.Future[HttpReply] | None":
        """Send a request (``format_head``) on a kept connection, without a task of its own; None: there is none. The
        future fails with ConnectionBroken, also if the server had closed the connection meanwhile, or ValueError."""
        connection = self._idle.pop() if self._idle else None
        if connection is None or not connection.open:
            return None
        reply: asyncio.Future[HttpReply] = asyncio.get_running_loop().create_future()
        connection.begin(request, cast(Waiter, reply))

        def done(reply: "asyncio.Future[HttpReply]") -> None:
            if reply.cancelled() or reply.exception() is not None:
                connection.close()
            else:
                self._keep(connection)

        reply.add_done_callback(done)
        return reply

    def ask(self, request: bytes, take: Take) -> Exchange:
        """Send a whole request and return at once, for callers to whom a task for each is too dear. ``take`` gets
        what ``request`` would return or raise; there is no limit in time."""
        return self.ask_streaming(request, cast("TakeAny", take), None)

    def ask_streaming(self, request: bytes, take: TakeAny, streaming: Streaming | None) -> Exchange:
        """Like ``ask``; ``take`` gets what ``stream`` would return or raise."""
        exchange = Exchange(request, take, self._keep, streaming)
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                exchange.begin(connection, self._ask_anew)
                return exchange
        self._ask_anew(exchange)
        return exchange

    def _ask_anew(self, exchange: Exchange) -> None:
        """Ask on a new connection."""
        task = asyncio.create_task(self._connect())
        self._connecting.add(task)
        task.add_done_callback(partial(self._begin, exchange))

    def _begin(self, exchange: Exchange, task: "asyncio.Task[HttpConnection]") -> None:
        self._connecting.discard(task)
        if task.cancelled():
            exchange.set_exception(ConnectionBroken("the client is closed"))
        elif (error := task.exception()) is not None:
            exchange.set_exception(error if isinstance(error, Exception) else ConnectionBroken(str(error)))
        elif exchange.done():
            self._keep(task.result())
        elif task.result().open:
            exchange.begin(task.result(), None)
        else:
            exchange.set_exception(ConnectionBroken("the connection was closed before an answer"))

    def close(self) -> None:
        for task in list(self._connecting):
            task.cancel()
        while self._idle:
            self._idle.pop().close()

    async def send(
        self, request: bytes, body: LongBody | None, streaming: Streaming | None
    ) -> HttpReply | StreamedReply:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                try:
                    return await self._send_on(connection, request, body, streaming)
                except ConnectionBroken as broken:
                    if not broken.untouched:
                        raise
                    break
        return await self._send_on(await self._connect(), request, body, streaming)

    async def _send_on(
        self, connection: HttpConnection, request: bytes, body: LongBody | None, streaming: Streaming | None
    ) -> HttpReply | StreamedReply:
        try:
            reply = await connection.send(request, body, streaming)
        except BaseException:
            connection.close()
            raise
        if isinstance(reply, HttpReply):
            self._keep(connection)
        return reply

    def _keep(self, connection: HttpConnection) -> None:
        if connection.open and len(self._idle) < self._kept:
            self._idle.append(connection)
        else:
            connection.close()

    async def _connect(self) -> HttpConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                if isinstance(self._address, str):
                    transport, connection = await loop.create_unix_connection(self._make, self._address)
                else:
                    host, port = ("127.0.0.1", self._address) if isinstance(self._address, int) else self._address
                    context, name = self._tls or (None, None)
                    transport, connection = await loop.create_connection(
                        self._make, host, port, ssl=context, server_hostname=name
                    )
            foreign = self._check is not None and not self._check(transport)
        except (OSError, TimeoutError) as error:
            raise Unreachable(self._address, self._explain(error)) from None
        if foreign:
            transport.abort()
            raise ConnectionBroken(f"another process listens on {self._address}")
        return connection

    def _explain(self, error: OSError) -> str:
        """Explain why there is no connection, without the address."""
        if isinstance(error, ConnectionRefusedError):
            return "connection refused"
        return str(error) or f"no connection within {self._connect_timeout:g} s"

    def _make(self) -> HttpConnection:
        return HttpConnection(self._limit, self._head_limit, self._keep)
