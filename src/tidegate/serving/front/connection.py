"""HTTP/1.1 on one connection: parses requests, serves one at a time, and answers in order.

An asyncio protocol on top of httptools instead of a web framework, since a few microseconds per request are small
beside a prediction. It enforces the limits (head, body, time), so that ``serve`` gets complete and valid requests.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, cast

import httptools
import msgspec

from tidegate.serving.contract.body_spool import IN_MEMORY, Spool
from tidegate.serving.contract.memory_release import LARGE
from tidegate.serving.front.header_cache import STAMP, HeaderCache

HEAD_LIMIT = 64 * 1024
"""Bytes of a request's line and headers. The proxy has a lower limit of its own."""
SLOW = 60.0
"""Seconds for a client to send a request, or to read the next part of its response."""
LINGER = 5.0
"""Seconds for which a rejected client may go on sending before the connection is closed."""


class Request(msgspec.Struct, frozen=True):
    """A complete request. Times are epoch microseconds; ``at_once``: all of it arrived with its first byte."""

    method: bytes
    url: bytes
    headers: Sequence[tuple[bytes, bytes]]
    fields: Mapping[bytes, bytes]
    """The headers by name; of a repeated one the last. Shared between requests: do not change."""
    stamp: bytes | None  # the proxy's time stamp, if there is one
    body: bytes
    arrived: int
    complete: int
    at_once: bool
    keep_alive: bool
    plain: bool = False
    """Known to be a prediction asked for in the plain way (``header_cache.RequestHead``); False says nothing."""
    spool: Spool | None = None
    """The body if it is too large for memory; ``body`` is empty then."""


class Refusal(NamedTuple):
    """The error for a request that is not parsed further; the connection closes after it."""

    status: int
    error: str
    message: str


class Service(Protocol):
    """Serves the requests of connections."""

    connections: "set[Connection]"
    max_body: int
    heads: HeaderCache

    def serve(self, connection: "Connection", request: Request) -> None:
        """Answer with ``connection.reply``, now or later."""
        ...

    def spool(self) -> Spool:
        """A file for a large body. Raises OSError."""
        ...

    def refuse(self, refusal: Refusal) -> bytes:
        """The response to a rejected request; the connection closes after it."""
        ...

    def note_large_body(self) -> None:
        """Note that a large request or answer used memory."""
        ...

    def gone(self, connection: "Connection") -> None:
        """The connection is closed; its current request needs no answer."""
        ...


class Connection(asyncio.Protocol):
    """Queues pipelined requests and pauses reading, so that a client can fill one read buffer at most."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._line: deque[Request | Refusal] = deque()
        self._busy = False
        self._pumping = False
        self._refused = False
        self._limit = 0.0
        """Monotonic deadline for the rest of a request, or for a rejected client to stop sending; 0: none."""
        self._stalled = 0.0
        """Monotonic deadline for a client that does not read its responses; 0: it reads."""
        self._room: asyncio.Future[None] | None = None
        self._paused = False
        self._read = 0
        self._now = 0
        self._piece = 0
        self._head_size = 0
        self._body_size = 0
        self._began = 0
        self._arrived = 0
        self._reading = False
        self._in_head = False
        self._version = ""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._spool: Spool | None = None

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._service.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._line.clear()
        self._notify_writable()
        self._service.connections.discard(self)
        self._service.gone(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._read += 1
        self._now = time.time_ns() // 1000
        if not self._reading and data.startswith(b"POST ") and self._serve_cached(data):
            return
        self._piece = len(data)
        if self._in_head or not self._reading:
            self._head_size += self._piece
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # not supported: the request is answered as it is, and the connection closes
        except httptools.HttpParserError as error:
            self._refuse(Refusal(400, "ValidationError", f"The request is not valid HTTP/1.1: {error}"))
        if self._reading:
            if self._in_head and self._head_size > HEAD_LIMIT:
                self._refuse_head()
            elif not self._limit and not self._refused:
                self._limit = time.monotonic() + SLOW
        if not self._refused:
            self._pause()

    def _serve_cached(self, data: bytes) -> bool:
        """Serve a request that arrived in one piece with a cached head, as most do."""
        found = self._service.heads.find(data)
        if found is None:
            return False
        head, stamp, begin = found
        if len(data) - begin != head.length or head.length > self._service.max_body:
            return False
        self._version = "1.1"
        now, body = self._now, data[begin:]
        request = Request(
            b"POST", head.url, head.headers, head.fields, stamp, body, now, now, True, True, head.plain
        )
        if self._busy or self._line or self._stalled or self._pumping:
            self._line.append(request)
            self._pump()
            self._pause()
        else:
            self._busy = True
            self._service.serve(self, request)
        return True

    def pause_writing(self) -> None:
        self._stalled = time.monotonic() + SLOW

    def resume_writing(self) -> None:
        self._stalled = 0.0
        self._notify_writable()
        self._pump()

    # --- the parser's side ---

    def on_message_begin(self) -> None:
        self._reading = self._in_head = True
        self._arrived = self._now
        self._began = self._read
        self._url = b""
        self._headers = []
        self._body, self._spool = [], None

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if max(self._head_size, self._piece) > HEAD_LIMIT:  # a cheap test before the exact one
            size = len(self._url) + sum(len(name) + len(value) for name, value in self._headers)
            if size > HEAD_LIMIT:
                self._refuse_head()
        self._version = self._parser.get_http_version()
        if self._version not in ("1.1", "1.0"):
            self._refuse(Refusal(400, "ValidationError", "The request is not HTTP/1.1."))
        expects = False
        for name, value in self._headers:
            if name == b"content-length" and int(value) > self._service.max_body:
                self._refuse_body()
            elif name == b"expect" and value.lower() == b"100-continue":
                expects = True
        if expects and not self._refused:
            self._parse_rest()

    def on_body(self, part: bytes) -> None:
        if self._refused:
            return
        self._body_size += len(part)
        if self._body_size > self._service.max_body:
            self._refuse_body()
        elif self._body_size > IN_MEMORY:
            self._keep(part)
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        self._reading = False
        if self._body_size >= LARGE:
            self._service.note_large_body()
        self._head_size = self._body_size = 0
        if self._refused:
            return
        self._limit = 0.0
        fields = dict(self._headers)
        spool, self._spool = self._spool, None
        request = Request(
            self._parser.get_method(),
            self._url,
            self._headers,
            fields,
            fields.get(STAMP),
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
            self._arrived,
            self._now,
            self._began == self._read,
            self._parser.should_keep_alive() and self._version == "1.1" and not self._parser.should_upgrade(),
            spool=spool,
        )
        self._body = []
        self._line.append(request)
        self._pump()

    # --- the service's side ---

    def reply(self, response: bytes, close: bool) -> None:
        """Answer the current request."""
        self._busy = False
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(response)
        if len(response) >= LARGE:
            self._service.note_large_body()
        if close:
            self._line.clear()
            self._transport.close()
        elif self._line and not self._pumping:
            self._pump()

    @property
    def chunked(self) -> bool:
        """Whether a streamed response is sent as chunks; otherwise it ends when the connection closes."""
        return self._version != "1.0"

    def start(self, head: bytes) -> None:
        """Begin a streamed response to the current request; ``send`` and, once, ``end`` follow."""
        if self._transport is not None:
            self._transport.write(head)

    def send(self, part: bytes) -> None:
        if self._transport is not None and part:
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part) if self.chunked else part)

    async def room(self) -> bool:
        """Wait until the client has read enough of what was sent. False: it has disconnected."""
        while self._stalled and self._transport is not None:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        return self._transport is not None and not self._transport.is_closing()

    def end(self, close: bool) -> None:
        """End a streamed response."""
        self.reply(b"0\r\n\r\n" if self.chunked else b"", close or not self.chunked)

    @property
    def idle(self) -> bool:
        """Whether no request is in progress or partly read, and nothing is unsent."""
        sent = self._transport is None or self._transport.get_write_buffer_size() == 0
        return sent and not (self._busy or self._reading or self._line or self._refused)

    def peer(self) -> str:
        """IP address of the client; empty on a unix socket, and once the client has left."""
        return str((self._transport.get_extra_info("peername") or ("",))[0]) if self._transport is not None else ""

    def close(self) -> None:
        """Close after sending what is buffered."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def hurry(self, now: float) -> None:
        """Enforce the deadlines. ``now``: the loop's time."""
        if 0 < self._stalled < now or (self._refused and 0 < self._limit < now):
            self.abort()
        elif 0 < self._limit < now:
            self._refuse(Refusal(408, "RequestTimeoutException", f"The request did not arrive within {SLOW:g} s."))

    # --- inside ---

    def _pause(self) -> None:
        if self._line and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _pump(self) -> None:
        """Serve queued requests, in a loop rather than by recursion, since answers may come at once."""
        if self._pumping:
            return
        self._pumping = True
        while self._line and not self._busy and not self._stalled and self._transport is not None:
            request = self._line.popleft()
            self._busy = True
            if isinstance(request, Refusal):
                self._reject(request)
            else:
                self._service.serve(self, request)
        self._pumping = False
        if self._paused and not self._line:
            self._resume()

    def _notify_writable(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _parse_rest(self) -> None:
        if self._transport is not None and not self._busy and not self._line:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _keep(self, part: bytes) -> None:
        """Append to the spool file. A large body may take long, but each part of it has a deadline."""
        try:
            if self._spool is None:
                self._spool = self._service.spool()
                for before in self._body:
                    self._spool.add(before)
                self._body = []
            self._spool.add(part)
        except OSError as error:
            self._refuse(Refusal(500, "InternalFailure", f"The body cannot be kept: {error.strerror}."))
        else:
            self._limit = time.monotonic() + SLOW

    def _refuse_head(self) -> None:
        self._refuse(Refusal(400, "ValidationError", f"The request's headers are larger than {HEAD_LIMIT} bytes."))

    def _refuse_body(self) -> None:
        limit = self._service.max_body
        self._refuse(
            Refusal(413, "ValidationError", f"The request's body is larger than the limit of {limit} bytes.")
        )

    def _refuse(self, refusal: Refusal) -> None:
        """Queue an error behind the requests that came before it."""
        if self._refused:
            return
        self._refused = True
        self._reading = False
        self._limit = 0.0
        self._body, self._spool = [], None
        self._line.append(refusal)
        self._pump()

    def _reject(self, refusal: Refusal) -> None:
        """Answer, then discard what the client still sends: closing at once would reset the connection of a client
        that is still sending, and lose the answer."""
        if self._transport is None or self._transport.is_closing():
            return
        self._limit = time.monotonic() + LINGER
        self._transport.write(self._service.refuse(refusal))
        self._transport.write_eof()
        self._resume()

    def _resume(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
