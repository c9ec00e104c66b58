"""Routes of the console and of features' pages, whose code is imported with the first request for one of them: most
servers never show most pages."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.domain.access import Access, Means
from tidegate.domain.errors import NotFound, TidegateError
from tidegate.gateway.browser_pages import accepts_html
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE, WAITING
from tidegate.host.features import describe_switched_off, features, load_reference
from tidegate.ports.store import Store

log = logging.getLogger(__name__)

PATIENCE = 0.1
"""Seconds that a browser waits for the import of a page before it gets one that waits for it."""
PAUSE = 0.5
"""Seconds after the first page in which a browser gets what belongs to it, before further pages are imported."""

Paths = Mapping[str, tuple[str, ...]]
Handler = Callable[[Request], Awaitable[Response]]
Handlers = dict[tuple[str, str], Handler]

FIRST: Paths = {
    CONSOLE: ("GET",),
    f"{CONSOLE}/live": ("GET",),
    f"{CONSOLE}/palette": ("GET",),
    f"{CONSOLE}/new": ("GET",),
    f"{CONSOLE}/endpoints.csv": ("GET",),
    f"{CONSOLE}/endpoints.json": ("GET",),
    f"{CONSOLE}/live/{{name}}": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}/history": ("GET",),
    f"{CONSOLE}/static/{{path:path}}": ("GET",),
    WAITING: ("GET",),
}
"""What a browser asks for first."""
FURTHER: Paths = {
    f"{CONSOLE}/endpoints/{{name}}/chat": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}/card": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}/metrics": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}/metrics.csv": ("GET",),
    f"{CONSOLE}/summary": ("GET",),
}


@dataclass
class PageGroup:
    """Pages that are imported together. ``make`` names a function of the page context that returns their routes."""

    make: str
    paths: Paths
    feature: str = ""
    first: bool = False
    """Whether nobody waits for them with another page."""
    handlers: Handlers = field(default_factory=dict)
    importing: "asyncio.Task[Handlers] | None" = None

    @property
    def failed(self) -> bool:
        """The import is then tried with each request, and its error shown: a page that waits would wait for ever."""
        return self.importing is not None and self.importing.done() and not self.handlers


def page_groups() -> list[PageGroup]:
    """The pages of the core, then those of the features that are on."""
    found = [
        PageGroup("tidegate.console.core_pages:first_routes", FIRST, first=True),
        PageGroup("tidegate.console.core_pages:further_routes", FURTHER),
    ]
    own = [one for one in features() if one.feature.pages]
    return found + [
        PageGroup(one.resolve(one.feature.page_routes), one.feature.pages, one.feature.name) for one in own
    ]


class LateRoutes:
    """Imports the code of pages, in a thread, at the first request for one of their group. ``environment``: of the
    processes that compute for a page."""

    def __init__(self, gateway: Gateway, environment: Mapping[str, str]) -> None:
        self._gateway = gateway
        self._environment = environment
        self._context: Any = None
        self._loading = asyncio.Lock()
        self.groups = page_groups()
        self._ahead: asyncio.Task[None] | None = None

    @property
    def routes(self) -> list[Route]:
        """One for each path. Paths of a feature that is off say so."""
        found = [
            self._make_route(group, path, methods)
            for group in self.groups
            for path, methods in group.paths.items()
        ]
        for one in features().switched_off:
            for path, methods in one.feature.pages.items():
                found.append(_refuse_switched_off(self._gateway, one.feature.name, path, methods))
        return found

    def _make_route(self, group: PageGroup, path: str, methods: tuple[str, ...]) -> Route:
        shown = path.startswith(CONSOLE)

        async def handle(request: Request) -> Response:
            late = shown and request.method == "GET" and not group.handlers and not group.first
            known = request.state.caller.means is not Means.NONE  # others are sent to the login, which never waits
            if late and known and not group.failed and accepts_html(request.scope):
                waiting = (await self._find(self.groups[0], shown))[WAITING, "GET"]
                if group.importing is None:
                    group.importing = asyncio.ensure_future(self._find(group, shown))
                await asyncio.wait([group.importing], timeout=PATIENCE)
                if not group.importing.done():
                    return await waiting(request)
            handlers = await self._find(group, shown)
            if shown and self._ahead is None:
                self._ahead = asyncio.ensure_future(self._load_ahead())
            return await handlers[path, request.method](request)

        return Route(path, handle, methods=list(methods))

    async def _find(self, group: PageGroup, shown: bool = False) -> Handlers:
        """``shown``: whether a page of the console was asked for, after which others will be."""
        if group.handlers:
            return group.handlers
        async with self._loading:
            if not group.handlers:
                if self._context is None:
                    make_context = await asyncio.to_thread(
                        load_reference, "tidegate.console.page_context:PageContext"
                    )
                    self._context = make_context(self._gateway, self._environment)
                self._context.warm = shown
                make = await asyncio.to_thread(load_reference, group.make)
                group.handlers = _group_by_path(make(self._context))
                while self._context.starts:
                    self._context.starts.pop(0)()
        return group.handlers

    async def load(self, feature: str) -> None:
        """Import the pages of a feature without a request."""
        for group in self.groups:
            if group.feature == feature:
                await self._find(group)

    async def _load_ahead(self) -> None:
        await asyncio.sleep(PAUSE)
        for group in self.groups:
            try:
                await self._find(group, shown=True)
            except Exception:
                log.exception("the pages of %s cannot be imported", group.feature or "the core")


def _group_by_path(routes: Iterable[Route]) -> Handlers:
    return {(route.path, method): route.endpoint for route in routes for method in route.methods or ()}


def _refuse_switched_off(gateway: Gateway, name: str, path: str, methods: tuple[str, ...]) -> Route:
    """Which features are on is for those to know who may read."""

    async def handle(request: Request) -> Response:
        raise NotFound(describe_switched_off(name))

    return GuardedRoute(gateway, path, handle, Access.READ, methods)


async def resume_pages(store: Store, late: LateRoutes) -> None:
    """Load the pages of features that an earlier process left something open of. The server starts also if that
    fails."""
    for one, has_open in features().hooks("resume"):
        name = one.feature.name
        try:
            found = await store.read(has_open)
        except TidegateError as error:
            log.warning("it is not known whether the feature %s has something open: %s", name, error)
            found = True
        try:
            if found:
                await late.load(name)
        except Exception:
            log.exception("the feature %s cannot continue what an earlier process left open", name)
