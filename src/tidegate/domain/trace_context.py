"""The headers ``traceparent`` and ``tracestate`` of W3C Trace Context, level 2 (https://www.w3.org/TR/trace-context/).

Anybody may send them, so everything is bounded and checked. What is not valid is treated as absent, as the standard
says: a prediction never fails because of them.
"""

import hmac
import re
from collections.abc import Callable

from tidegate.domain.spans import SpanContext

PARENT, STATE = "traceparent", "tracestate"
_LONGEST_PARENT = 256
"""Characters of a traceparent of a later version of the standard; one of version 00 has 55."""
_LONGEST_STATE = 512
"""Characters of a tracestate, which every system has to pass on. A longer one is dropped whole."""
_MOST_MEMBERS = 32
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?", re.ASCII)
_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER = re.compile(rf"({_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]", re.ASCII)


def read_context(parent: str, state: str = "") -> SpanContext | None:
    """The caller's span, by the headers ``traceparent`` and ``tracestate``; None if the former is not valid."""
    found = _PARENT.fullmatch(parent) if len(parent) <= _LONGEST_PARENT else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not (int(trace_id, 16) and int(span_id, 16)):
        return None
    return SpanContext(trace_id, span_id, bool(int(flags, 16) & 1), check_state(state))


def format_parent(context: SpanContext) -> str:
    return f"00-{context.trace_id}-{context.span_id}-{'01' if context.sampled else '00'}"


def check_state(state: str) -> str:
    """The tracestate, if it is a valid one; otherwise empty."""
    if not state or len(state) > _LONGEST_STATE:
        return ""
    members = [member.strip(" \t") for member in state.split(",")]
    members = [member for member in members if member]
    matched = [_MEMBER.fullmatch(member) for member in members]
    keys = {one[1] for one in matched if one is not None}
    return ",".join(members) if len(keys) == len(members) <= _MOST_MEMBERS else ""


class TraceStarts:
    """Decides which traces are recorded: those whose caller's is (parent-based), and of requests without a caller's
    trace a part, chosen by the trace's id. ``draw`` returns 64 random bits."""

    def __init__(self, ratio: float, draw: Callable[[], int]) -> None:
        self.bound = round(ratio * 2**64)
        """A number below it, as the lower half of a trace's id, means that the trace is recorded."""
        self._draw = draw

    def begin(self, parent: SpanContext | None, low: int) -> str | None:
        """The id of the trace; None: it is not recorded. ``low``: 64 random bits, for the lower half of a new id."""
        if parent is not None:
            return parent.trace_id if parent.sampled else None
        return f"{self._draw() | 1:016x}{low:016x}" if low < self.bound else None

    def begin_linked(self, cause: SpanContext | None) -> str | None:
        """The id of a trace of its own that a span of another one led to; None: it is not recorded."""
        if cause is None or not cause.sampled:
            return None
        return f"{self._draw() | 1:016x}{self._draw():016x}"


def hash_id(key: str, id: bytes) -> str:
    """How an id that clients chose is shown: nobody without the key can tell whose it is, or try ids."""
    return hmac.new(key.encode(), id, "sha256").hexdigest()[:32]
