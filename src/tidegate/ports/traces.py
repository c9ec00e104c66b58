"""Traces of requests that are accepted now and run later."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tidegate.domain.asynchronous import Item
from tidegate.domain.spans import SpanContext


@dataclass(frozen=True)
class BegunTrace:
    """``own``: the span of the acceptance; ``parent``: the client's, if it sent one."""

    own: SpanContext
    parent: SpanContext | None


class RequestTraces(Protocol):
    def begin(self, headers: Mapping[str, str]) -> BegunTrace | None:
        """None: the request is not traced. ``headers``: the client's, by lower-case names."""
        ...

    def end(self, begun: BegunTrace, item: Item, since: datetime) -> None:
        """The request is durable."""
        ...
