"""Requests as they are sent, and responses as callers get them."""

from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tidegate.http1.body_stream import BodyStream


class ConnectionBroken(Exception):
    """No whole response arrived. ``untouched``: the connection had been kept, and closed before a byte came back."""

    def __init__(self, message: str, untouched: bool = False) -> None:
        super().__init__(message)
        self.untouched = untouched


class Unreachable(ConnectionBroken):
    """No connection could be made. ``reason`` does not name the address."""

    def __init__(self, address: str | int | tuple[str, int], reason: str) -> None:
        super().__init__(f"cannot connect to {address}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class LongBody:
    """A request's body that is read while it is sent. ``parts`` may raise OSError, which breaks the connection."""

    size: int
    parts: Callable[[], AsyncGenerator[bytes, None]]
    """From the beginning, each time."""


@dataclass(frozen=True)
class HttpReply:
    status: int
    headers: dict[bytes, bytes]
    """Names in lower case; of a repeated one the last."""
    body: bytes


@dataclass(frozen=True)
class StreamedReply:
    """A response whose body is handed over as it arrives, a part for each chunk. ``parts`` must be closed."""

    status: int
    headers: dict[bytes, bytes]
    parts: BodyStream


class Streaming(NamedTuple):
    """Which responses are streamed, and what their readers get."""

    whole: int
    """A body of a known length of at most this many bytes is held whole."""
    wrong: Callable[[Exception], Exception]
    """Makes the error that a stream raises when its connection breaks."""
    over: Callable[[], None] = lambda: None
    """Called once, when nothing more of the stream will come."""
    any_status: bool = False
    """Stream responses with a status other than 2xx, too."""


def format_head(
    method: str, path: str, headers: Iterable[tuple[bytes, bytes]], size: int, host: bytes = b"localhost"
) -> bytes:
    """The head of a request with a body of ``size`` bytes."""
    head = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method.encode(), path.encode("latin-1"), host)]
    head.append(b"content-length: %d\r\n" % size)
    head += [b"%b: %b\r\n" % header for header in headers]
    return b"".join((*head, b"\r\n"))
