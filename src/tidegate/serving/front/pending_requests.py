"""Requests that wait for their answer, and for how long they have waited. Times are epoch microseconds."""

import time
from collections.abc import Callable

from tidegate.serving.contract.invocation import Note
from tidegate.serving.front.connection import Connection, Request

IN_FLIGHT = "InFlightLatency"
"""Once a second, of each request that has waited for longer than ``LONG``: of a model that never answers there is no
other measurement until its time is up. A stream waits until its first part."""
LONG = 1_000_000
OLDEST_STAMP = 3600 * 1_000_000
"""An older stamp is taken for nonsense."""


class Waiting:
    """``note`` takes what is measured."""

    def __init__(self, note: Callable[[int, Note], None]) -> None:
        self._note = note
        self._requests: dict[Connection, Request] = {}

    def begin(self, connection: Connection, request: Request) -> None:
        self._requests[connection] = request

    def end(self, connection: Connection, request: Request) -> None:
        """Its answer came, or begins to come, or will not come any more."""
        if self._requests.get(connection) is request:
            del self._requests[connection]

    def leave(self, connection: Connection) -> None:
        """The client is gone. One that loses its patience must not hide for how long it waited."""
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
    """From when on a call's latency is counted; what a client took to send a request is not in it."""
    return stamped if request.at_once else request.complete


def stamp(header: bytes | None, arrived: int) -> int:
    """When the proxy had the request; without a believable stamp, when we had its first byte."""
    if header is None or not header.isdigit() or len(header) > 20:
        return arrived
    stamped = int(header)
    return stamped if arrived - OLDEST_STAMP < stamped <= arrived else arrived
