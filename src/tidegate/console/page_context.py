"""What the pages of the console, and those of features, are made with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from tidegate.console.live_stream import LiveStreams, open_streams
from tidegate.gateway.dependencies import Gateway

T = TypeVar("T")


@dataclass
class PageContext:
    """One of a server. ``environment``: of the processes that compute for a page; ``warm``: whether to compute ahead
    what pages show first."""

    gateway: Gateway
    environment: Mapping[str, str]
    warm: bool = True
    starts: list[Callable[[], None]] = field(default_factory=list)
    """What is to be started on the event loop once the routes have been made."""
    _shared: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def streams(self) -> LiveStreams:
        """Of all live pages together."""
        return open_streams(self.gateway)

    def share(self, name: str, make: Callable[[], T]) -> T:
        """What several pages have in common, made by the first that asks for it."""
        if name not in self._shared:
            self._shared[name] = make()
        found: T = self._shared[name]
        return found
