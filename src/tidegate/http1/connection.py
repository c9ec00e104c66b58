"""One kept connection on httptools, with one request at a time."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol, cast

import httptools

from tidegate.http1.body_stream import BodyStream
from tidegate.http1.messages import ConnectionBroken, HttpReply, LongBody, StreamedReply, Streaming

LARGEST = 1024 * 1024
"""Bytes of a part of a stream: a larger chunk becomes several."""


class Waiter(Protocol):
    """Who gets a response or an error; a future, for instance. Called within the parser: it must not send on this
    connection at once."""

    def done(self) -> bool:
        """Whether nothing is wanted any more."""
        ...

    def set_result(self, result: HttpReply | StreamedReply, /) -> None: ...

    def set_exception(self, exception: Exception, /) -> None: ...


class HttpConnection(asyncio.Protocol):
    """``limit``: bytes of a body that is held whole; ``head_limit``: of the headers. ``keep`` gets the connection
    back after a stream."""

    def __init__(self, limit: int, head_limit: int, keep: Callable[["HttpConnection"], None]) -> None:
        self._limit = limit
        self._head_limit = head_limit
        self._allowed = head_limit
        """The one of the two that ``_size`` is held to."""
        self._keep_after_stream = keep
        self._streaming: Streaming | None = None
        self._stream: BodyStream | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: Waiter | None = None
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
        """In a body without a length, which ends with the connection, as HTTP/1.0 servers send it."""

    @property
    def open(self) -> bool:
        return self._transport is not None and self._keep and not self._transport.is_closing()

    async def send(
        self, request: bytes, body: LongBody | None, streaming: Streaming | None
    ) -> HttpReply | StreamedReply:
        waiting: asyncio.Future[HttpReply | StreamedReply] = asyncio.get_running_loop().create_future()
        self.begin(request, waiting, streaming)
        # Concurrently, since the response may begin before the request was read.
        self._sending = None if body is None else asyncio.create_task(self._send_body(body))
        return await waiting

    def begin(self, request: bytes, waiting: Waiter, streaming: Streaming | None = None) -> None:
        """Send a whole request, or the head of one."""
        assert self._transport is not None
        self._waiting = waiting
        self._begun = False
        self._streaming = streaming
        self._sending = None
        self._transport.write(request)

    async def _send_body(self, body: LongBody) -> None:
        try:
            async with aclosing(body.parts()) as parts:
                async for part in parts:
                    await self._room.wait()
                    if self._transport is None or self._transport.is_closing():
                        return
                    self._transport.write(part)
        except OSError as error:
            self._fail(ConnectionBroken(f"the request's body cannot be read: {error}"))

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
        if self._waiting is None and self._stream is None:
            self.close()  # a response without a request
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionBroken(f"the answer is not valid HTTP: {error}"))
        if self._stream is None and self._size > self._allowed:
            self._refuse()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._room.set()
        ends_with_connection = self._begun and b"content-length" not in self._headers and self._in_plain_body
        # What comes over one that was reset, and not closed, may lack a part.
        if error is None and ends_with_connection and (self._waiting is not None or self._stream is not None):
            self._finish()
        self._fail(
            ConnectionBroken(
                "the connection was closed before an answer", untouched=self._used and not self._begun
            )
        )

    def on_message_begin(self) -> None:
        if self._waiting is None and self._stream is None:
            self.close()  # behind a response, before the next request: it must not be taken for that one's
        self._headers = {}
        self._body = []
        self._size = 0
        self._allowed = self._head_limit
        self._in_plain_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value
        self._size += len(name) + len(value)

    def on_headers_complete(self) -> None:
        self._in_plain_body = b"transfer-encoding" not in self._headers
        if self._size > self._head_limit:
            self._refuse()
            return
        self._size, self._allowed = 0, self._limit
        status = self._parser.get_status_code()
        if self._streaming is None or status < 200 or not (status < 300 or self._streaming.any_status):
            return
        length = self._headers.get(b"content-length")
        if length is not None and int(length) <= self._streaming.whole:
            return
        self._stream = BodyStream(self, self._streaming.wrong)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(StreamedReply(status, self._headers, self._stream))

    def on_body(self, part: bytes) -> None:
        self._body.append(part)
        self._size += len(part)
        if self._stream is not None and (self._in_plain_body or self._size >= LARGEST):
            self._flush()

    def on_chunk_complete(self) -> None:
        if self._stream is not None:
            self._flush()

    def _flush(self) -> None:
        if self._stream is not None and self._body:
            self._stream.put(b"".join(self._body))
            self._body = []
            self._size = 0

    def on_message_complete(self) -> None:
        if self._size > self._limit:
            self._refuse()
        elif self._parser.get_status_code() >= 200:  # 100 Continue is no response
            self._finish()

    def _finish(self) -> None:
        self._in_plain_body = False
        self._used = True
        whole = self._sending is None or self._sending.done()
        self._keep = self._transport is not None and self._parser.should_keep_alive() and whole
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.end()
            return
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(HttpReply(self._parser.get_status_code(), self._headers, b"".join(self._body)))

    def _refuse(self) -> None:
        self._fail(ValueError(f"the answer is larger than the limit of {self._allowed} bytes"))

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.fail(
                ConnectionBroken("the connection was closed") if isinstance(error, ConnectionBroken) else error
            )
        self.close()

    # --- as the source of a stream ---

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def end_stream(self, whole: bool) -> None:
        streaming, self._streaming = self._streaming, None
        self._stream = None
        if whole:
            self.resume()
            self._keep_after_stream(self)
        else:
            self.close()
        if streaming is not None:
            streaming.over()
