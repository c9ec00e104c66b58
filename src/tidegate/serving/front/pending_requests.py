"""Tracks requests in flight and their age. Times are epoch microseconds."""

import time
from collections.abc import Callable

from tidegate.serving.contract.invocation import Note
from tidegate.serving.front.connection import Connection, Request

IN_FLIGHT = "InFlightLatency"
"""Metric: age of each request that has been in flight for longer than ``LONG``, once a second. A model that never
answers has no other measurement until its requests time out. A stream is in flight until its first part."""
LONG = 1_000_000
OLDEST_STAMP = 3600 * 1_000_000
"""An older stamp is ignored."""


class PendingRequests:
    """The requests of one server. ``note`` gets the measurements."""

    def __init__(self, note: Callable[[int, Note], None]) -> None:
        self._note = note
        self._requests: dict[Connection, Request] = {}
        self.begin: Callable[[Connection, Request], None] = self._requests.__setitem__
        """The connection's request is in flight."""

    def __len__(self) -> int:
        return len(self._requests)

    def end(self, connection: Connection, request: Request) -> None:
        """Forget a request: its answer has begun, or there will be none."""
        if self._requests.get(connection) is request:
            del self._requests[connection]

    def leave(self, connection: Connection) -> None:
        """The client disconnected: measure its request a last time, since a client that gave up has waited, too."""
        if (request := self._requests.pop(connection, None)) is not None:
            self._measure(request, now())

    def measure(self, at: int) -> None:
        for request in self._requests.values():
            self._measure(request, at)

    def _measure(self, request: Request, at: int) -> None:
        age = at - began(request, stamp(request.stamp, request.arrived))
        if age > LONG:
            self._note(at, Note(IN_FLIGHT, age))


def now() -> int:
    return time.time_ns() // 1000


def began(request: Request, stamped: int) -> int:
    """When a call's latency begins: the time that the client took to send the request does not count."""
    return stamped if request.at_once else request.complete


def stamp(header: bytes | None, arrived: int) -> int:
    """When the proxy received the request; without a credible stamp, when its first byte arrived here."""
    if header is None or not header.isdigit() or len(header) > 20:
        return arrived
    stamped = int(header)
    return stamped if arrived - OLDEST_STAMP < stamped <= arrived else arrived
