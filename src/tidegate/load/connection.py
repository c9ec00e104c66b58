"""One keep-alive HTTP/1.1 connection on httptools, one request at a time; answers go to the owner by callback."""

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

VARIANT = b"x-amzn-invoked-production-variant"
CONFIG = b"x-tidegate-config"
_MAX_SNIPPET = 300
"""Bytes of a failed answer's body that are kept for its reason."""


@dataclass
class AnswerSummary:
    status: str = ""
    variant: str = ""
    config: str = ""
    snippet: bytes = b""


class _ConnectionOwner(Protocol):
    def on_answer(self, connection: "LoadConnection", answer: AnswerSummary, keep: bool) -> None: ...

    def on_broken(self, connection: "LoadConnection", reason: str) -> None:
        """The connection is gone, with or without a request on it."""
        ...


class LoadConnection(asyncio.Protocol):
    """``intended`` is when the current request was due, on ``time.perf_counter``; None while idle."""

    def __init__(self, owner: _ConnectionOwner) -> None:
        self.intended: float | None = None
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._answer = AnswerSummary()
        self._transport: asyncio.Transport | None = None
        self._answers = 0
        self._reason: str | None = None

    def send(self, request: bytes, intended: float) -> None:
        assert self._transport is not None
        self.intended = intended
        self._answer = AnswerSummary()
        self._transport.write(request)

    def close(self, reason: str = "") -> None:
        self._reason = self._reason or reason or None
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
        why = self._reason or (str(error) if error else "closed by the server before the answer was whole")
        self._owner.on_broken(self, f"{why} (request {self._answers + 1} on its connection)")

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
        if self._answer.status >= "300" and len(self._answer.snippet) < _MAX_SNIPPET:
            self._answer.snippet = (self._answer.snippet + body)[:_MAX_SNIPPET]

    def on_message_complete(self) -> None:
        if self._answer.status.startswith("1"):
            self._answer = AnswerSummary()
            return
        self._answers += 1
        self._owner.on_answer(self, self._answer, bool(self._parser.should_keep_alive()))
