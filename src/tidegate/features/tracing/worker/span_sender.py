"""Hands finished spans to the controller, which exports them: in datagrams on a unix socket, which never block.

A worker needs no library for it, and none of the secrets that a collector asks for. What cannot be sent is dropped
and counted: a controller that is away, hangs or is slow costs a prediction nothing.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import msgspec

from tidegate.domain.spans import Span, SpanBatch

FLUSH_AT = 64
"""Spans that are sent without waiting for more; some 25 KB."""
FLUSH_AFTER = 0.5
"""Seconds that a span waits for others."""
MOST_BYTES = 128 * 1024
"""Bytes of a datagram; the kernel's limit is 200 KB unless it was lowered."""


class SpanSender:
    """``path``: the controller's socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._spans: list[Span] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lost = 0
        """Spans that were dropped since the last datagram that was taken."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def add(self, spans: Sequence[Span]) -> None:
        self._spans.extend(spans)
        if len(self._spans) >= FLUSH_AT:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self.flush)

    def lose(self, count: int) -> None:
        """Count spans that were not even made."""
        self._lost += count

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        spans, self._spans = self._spans, []
        if not spans and not self._lost:
            return
        data = msgspec.msgpack.encode(SpanBatch(spans, self._lost))
        if len(data) > MOST_BYTES:
            self._lost += len(spans)
            return
        try:
            self._socket.sendto(data, self._path)
        except OSError:  # full, or nobody is there
            self._lost += len(spans)
        else:
            self._lost = 0

    def close(self) -> None:
        self.flush()
        with contextlib.suppress(OSError):
            self._socket.close()
