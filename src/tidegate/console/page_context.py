"""Parts with which the pages of the console, and those of features, are made."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.computed_pages import ComputedPages, ComputePool, StillComputing
from tidegate.console.live_stream import LiveStreams, open_streams
from tidegate.console.waiting_page import show_waiting
from tidegate.domain.access import Access
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.host.shared_parts import SharedParts


@dataclass
class PageContext(SharedParts):
    """Context in which the pages of a server are made. ``environment`` is that of the processes that compute for a
    page; ``warm`` says whether to compute in advance what pages show first."""

    gateway: Gateway
    environment: Mapping[str, str]
    warm: bool = True
    starts: list[Callable[[], None]] = field(default_factory=list)
    """What is to be started on the event loop once the routes have been made."""

    @cached_property
    def streams(self) -> LiveStreams:
        """Streams that all live pages share."""
        return open_streams(self.gateway)

    @cached_property
    def computed(self) -> ComputedPages:
        """Results of all pages that are computed."""
        return ComputedPages(ComputePool(self.environment))

    def make_computed_routes(self, pages: Mapping[str, "ComputedPage"]) -> list[GuardedRoute]:
        """Routes of pages that are computed, by their paths. GET only. A browser that asks for what is not there yet
        gets a page that waits for it."""

        def make(page: ComputedPage) -> Callable[[Request], Awaitable[Response]]:
            async def handle(request: Request) -> Response:
                try:
                    return await page(self, request)
                except StillComputing:
                    return await show_waiting(self.gateway, request)

            return handle

        if self.warm:
            self.starts.append(lambda: self.computed.begin_warming(self.gateway))
        return [GuardedRoute(self.gateway, path, make(page), Access.READ) for path, page in pages.items()]


ComputedPage = Callable[[PageContext, Request], Awaitable[Response]]
