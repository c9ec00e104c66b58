"""Spans of traces, as W3C Trace Context and OpenTelemetry define them: what a prediction or a rollout did, and when.

Whoever measures makes ``Span`` objects; only ``telemetry/exporter.py`` knows OpenTelemetry's own classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

Value = str | int | float | bool
MAX_TEXT = 256
"""Characters of a text in a span; longer ones are cut."""


class SpanKind(StrEnum):
    INTERNAL = "internal"
    SERVER = "server"
    PRODUCER = "producer"
    """What it stands for is done later by somebody else, whose span links to it."""
    CONSUMER = "consumer"


@dataclass(frozen=True)
class SpanContext:
    """Identifies a span. ``trace_id`` has 32 lower-case hexadecimal digits, ``span_id`` 16; neither is all zeros."""

    trace_id: str
    span_id: str
    sampled: bool = True
    state: str = ""
    """The ``tracestate`` of other systems, which is passed on as it is."""


@dataclass(frozen=True)
class SpanEvent:
    name: str
    at: int
    """Nanoseconds since the epoch, as all times of spans."""
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """A finished span. ``end`` is never before ``start``."""

    trace_id: str
    span_id: str
    parent: str | None
    """Id of the parent, of this trace; None: it is the first."""
    name: str
    start: int
    end: int
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Value] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    link: SpanContext | None = None
    """A span of another trace that led to this one."""
    error: str | None = None
    """What went wrong, in a word or two; None: nothing did."""
    state: str = ""
    """The ``tracestate``."""


def derive_id(digits: int, *parts: object) -> str:
    """An id of so many hexadecimal digits that follows from the parts alone."""
    found = sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:digits]
    return found if int(found, 16) else "1".zfill(digits)


def shorten(text: str) -> str:
    """A text that fits a span: without line ends and other control characters, and not too long."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[:MAX_TEXT])
    return shown if len(text) <= MAX_TEXT else shown[:-1] + "…"


@dataclass(frozen=True)
class SpanBatch:
    """Spans that a worker sends together. ``lost`` counts those that it had to drop since the batch before."""

    spans: list[Span]
    lost: int = 0
