"""One keep-alive HTTP/1.1 client connection on httptools: a request at a time, the answer handed to its owner."""

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

VARIANT = b"x-amzn-invoked-production-variant"
CONFIG = b"x-tidegate-config"
_SNIPPET = 300
"""Bytes of a bad answer's body that are kept to tell why."""


@dataclass
class Answer:
    status: str = ""
    variant: str = ""
    config: str = ""
    snippet: bytes = b""


class Owner(Protocol):
    def answered(self, connection: "Connection", answer: Answer, keep: bool) -> None: ...

    def broken(self, connection: "Connection", reason: str) -> None:
        """The connection is gone, with or without a request on it."""
        ...


class Connection(asyncio.Protocol):
    """``intended`` is when the request in hand was due, on ``time.perf_counter``; None while idle."""

    def __init__(self, owner: Owner) -> None:
        self.intended: float | None = None
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._answer = Answer()
        self._transport: asyncio.Transport | None = None
        self._served = 0
        self._broken: str | None = None

    def send(self, request: bytes, intended: float) -> None:
        assert self._transport is not None
        self.intended = intended
        self._answer = Answer()
        self._transport.write(request)

    def close(self, reason: str = "") -> None:
        self._broken = self._broken or reason or None
        if self._transport is not None:
            self._transport.abort()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.close(f"not HTTP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        why = self._broken or (str(error) if error else "closed by the server before the answer was whole")
        self._owner.broken(self, f"{why} (request {self._served + 1} on its connection)")

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == VARIANT:
            self._answer.variant = value.decode("latin-1")
        elif lower == CONFIG:
            self._answer.config = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._answer.status = str(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        if self._answer.status >= "300" and len(self._answer.snippet) < _SNIPPET:
            self._answer.snippet = (self._answer.snippet + body)[:_SNIPPET]

    def on_message_complete(self) -> None:
        if self._answer.status.startswith("1"):
            self._answer = Answer()
            return
        self._served += 1
        self._owner.answered(self, self._answer, bool(self._parser.should_keep_alive()))
