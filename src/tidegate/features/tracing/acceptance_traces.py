"""Spans of accepted asynchronous requests. The run of a request comes later, maybe much later, so it has a trace of
its own with a link to the span here, whose context is stored with the request."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from tidegate.domain.asynchronous import Item
from tidegate.domain.spans import Span, SpanContext, SpanKind, Value, shorten
from tidegate.domain.trace_context import PARENT, STATE, TraceStarts, hash_id, read_context
from tidegate.ports.traces import BegunTrace

MOST_A_SECOND = 200
"""Traced requests in a second. Clients may ask for a trace of each of theirs, which must not take the room of others'
spans; what is beyond is not traced, and counted."""


class AcceptanceTraces:
    """``draw`` returns 64 random bits, ``key`` is that of the hash of inference ids, ``offer`` takes spans and never
    blocks, ``lose`` counts those that were not made."""

    def __init__(
        self,
        ratio: float,
        key: str,
        draw: Callable[[], int],
        now: Callable[[], datetime],
        offer: Callable[[Sequence[Span]], None],
        lose: Callable[[int], None],
    ) -> None:
        self._starts = TraceStarts(ratio, draw)
        self._key = key
        self._draw = draw
        self._now = now
        self._offer = offer
        self._lose = lose
        self._second = self._traced = 0

    def begin(self, headers: Mapping[str, str]) -> BegunTrace | None:
        """None: the request is not traced. ``headers``: the client's, by lower-case names."""
        parent = read_context(headers.get(PARENT, ""), headers.get(STATE, ""))
        trace_id = self._starts.begin(parent, self._draw())
        if trace_id is None:
            return None
        second = int(self._now().timestamp())
        if second != self._second:
            self._second, self._traced = second, 0
        self._traced += 1
        if self._traced > MOST_A_SECOND:
            self._lose(1)
            return None
        return BegunTrace(SpanContext(trace_id, f"{self._draw() | 1:016x}"), parent)

    def end(self, begun: BegunTrace, item: Item, since: datetime) -> None:
        """The request is durable."""
        start = _nanoseconds(since)
        attributes: dict[str, Value] = {
            "tidegate.endpoint": shorten(item.endpoint),
            "tidegate.inference_id.hash": hash_id(self._key, item.inference_id.encode("utf-8", "replace")),
            "http.response.status_code": 202,
        }
        parent = begun.parent
        span = Span(
            *(begun.own.trace_id, begun.own.span_id, None if parent is None else parent.span_id, "accept", start),
            max(start, _nanoseconds(self._now())),
            SpanKind.PRODUCER,
            attributes,
            state="" if parent is None else parent.state,
        )
        self._offer([span])


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
