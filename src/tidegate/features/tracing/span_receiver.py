"""The controller's socket for spans of workers. Workers run code of models, so nothing of a datagram is believed
before it was checked."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.spans import MAX_TEXT, Span, SpanBatch, SpanEvent
from tidegate.domain.trace_context import check_state

MOST_BYTES = 256 * 1024
MOST_AT_ONCE = 4
"""Datagrams that are read before the event loop gets its turn."""
MOST_A_SECOND = 1000
"""Spans that are read in a second; workers drop the rest. Clients may ask for traces of all of their requests, which
must not take the controller's time from the guards of rollouts."""
MOST_SPANS = 512
BYTES_OF_ONE = 512
"""A larger datagram counts for as many spans as it could have: to read it takes as long."""
MOST_EVENTS = 64
MOST_ATTRIBUTES = 32
MOST_LOST = 1_000_000
_LATEST = 2**63 - 1
_TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}", re.ASCII)
_ID = re.compile(r"(?!0{16})[0-9a-f]{16}", re.ASCII)


class SpanReceiver:
    """``take`` gets the spans, ``lose`` the number of those that a worker dropped, or that are not credible."""

    def __init__(self, path: Path, take: Callable[[Sequence[Span]], None], lose: Callable[[int], None]) -> None:
        self._path = path
        self._take = take
        self._lose = lose
        self._socket: socket.socket | None = None
        self._left = MOST_A_SECOND
        self._timer: asyncio.TimerHandle | None = None
        """Fires when more may be read; None: none is awaited."""

    def open(self) -> None:
        """Raises OSError."""
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(self._path))
        self._path.chmod(0o600)
        asyncio.get_running_loop().add_reader(self._socket, self.read)

    def read(self) -> None:
        """Take what is there, as far as there is time for it."""
        loop = asyncio.get_running_loop()
        for _ in range(MOST_AT_ONCE):
            if self._socket is None or self._left <= 0:
                break
            try:
                data = self._socket.recv(MOST_BYTES)
            except OSError:
                break
            self._left -= self._receive(data)
        if self._timer is None and self._left < MOST_A_SECOND:
            self._timer = loop.call_later(1.0, self._resume, loop)
        if self._socket is not None and self._left <= 0:
            loop.remove_reader(self._socket)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        with contextlib.suppress(OSError):
            for _ in range(2 * MOST_AT_ONCE):  # what workers sent when they ended
                self._receive(self._socket.recv(MOST_BYTES))
        self._socket.close()
        self._socket = None
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _resume(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, exhausted, self._left = None, self._left <= 0, MOST_A_SECOND
        if exhausted and self._socket is not None:
            loop.add_reader(self._socket, self.read)

    def _receive(self, data: bytes) -> int:
        """Returns how much of a second's spans it counts for."""
        try:
            batch = msgspec.msgpack.decode(data, type=prepare_type(SpanBatch))
        except (msgspec.DecodeError, RecursionError):
            self._lose(1)
            return MOST_SPANS // 8
        good = [span for span in batch.spans[:MOST_SPANS] if is_credible(span)]
        self._lose(len(batch.spans) - len(good) + min(max(0, batch.lost), MOST_LOST))
        self._take(good)
        return max(1 + len(batch.spans), len(data) // BYTES_OF_ONE)


def is_credible(span: Span) -> bool:
    """Whether the span is one that a worker may have made, within all limits."""
    context = [] if span.link is None else [span.link]
    return (
        _TRACE.fullmatch(span.trace_id) is not None
        and all(_ID.fullmatch(id) is not None for id in (span.span_id, span.parent) if id is not None)
        and all(_TRACE.fullmatch(one.trace_id) and _ID.fullmatch(one.span_id) for one in context)
        and 0 <= span.start <= span.end <= _LATEST
        and len(span.name) <= MAX_TEXT
        and len(span.error or "") <= MAX_TEXT
        and check_state(span.state) == span.state
        and len(span.events) <= MOST_EVENTS
        and all(map(_is_credible_event, span.events))
        and _are_credible(span.attributes)
    )


def _is_credible_event(event: SpanEvent) -> bool:
    return 0 <= event.at <= _LATEST and len(event.name) <= MAX_TEXT and _are_credible(event.attributes)


def _are_credible(attributes: object) -> bool:
    assert isinstance(attributes, dict)
    return len(attributes) <= MOST_ATTRIBUTES and all(
        len(name) <= MAX_TEXT
        and (len(value) <= MAX_TEXT if isinstance(value, str) else -_LATEST <= value <= _LATEST)
        for name, value in attributes.items()
    )
