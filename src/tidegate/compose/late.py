"""What the server imports late, so that it starts quickly: the one place of it that does. Commands have theirs in
``cli/commands.py``."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.domain.errors import TidegateError
from tidegate.gateway.browser_pages import accepts_html
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.paths import CONSOLE, LOGIN, NATIVE, WAITING
from tidegate.host.late_import import load
from tidegate.ports.store import Store
from tidegate.service import live_runs

log = logging.getLogger(__name__)

FIRST: Mapping[str, tuple[str, ...]] = {
    CONSOLE: ("GET",),
    f"{CONSOLE}/live": ("GET",),
    f"{CONSOLE}/palette": ("GET",),
    f"{CONSOLE}/endpoints.csv": ("GET",),
    f"{CONSOLE}/endpoints.json": ("GET",),
    f"{CONSOLE}/live/{{name}}": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}/history": ("GET",),
    f"{CONSOLE}/jobs": ("GET",),
    f"{CONSOLE}/jobs/live": ("GET",),
    LOGIN: ("GET", "POST"),
    f"{CONSOLE}/logout": ("POST",),
    f"{CONSOLE}/session": ("GET",),
    f"{CONSOLE}/static/{{path:path}}": ("GET",),
    WAITING: ("GET",),
}
"""Paths of ``first_routes`` with their methods. Both take a sixth of the processor time of a start, and most servers
never show them."""
FURTHER: Mapping[str, tuple[str, ...]] = {
    f"{NATIVE}/plan": ("GET", "POST"),
    f"{NATIVE}/endpoints/{{name}}/labels": ("GET", "POST"),
    f"{NATIVE}/endpoints/{{name}}/labels/terms": ("PUT",),
    f"{NATIVE}/promise": ("POST",),
    f"{NATIVE}/rehearse": ("POST",),
    f"{NATIVE}/simulate": ("POST",),
    f"{CONSOLE}/endpoints/{{name}}/chat": ("GET",),
    **{
        f"{CONSOLE}/endpoints/{{name}}/{page}": ("GET",)
        for page in ("evidence", "drift", "labels", "captures", "shadow", "models")
    },
    **{f"{CONSOLE}/live/{{name}}/{page}": ("GET",) for page in ("evidence", "drift", "labels", "shadow")},
    f"{NATIVE}/endpoints/{{name}}/capture/samples": ("GET",),
    f"{CONSOLE}/audit": ("GET",),
    f"{CONSOLE}/users": ("GET",),
    f"{CONSOLE}/account": ("GET",),
    f"{NATIVE}/endpoints/{{name}}/cost": ("GET",),
    f"{NATIVE}/users": ("GET", "POST"),
    f"{NATIVE}/users/{{user}}": ("DELETE",),
    **{f"{NATIVE}/users/{{user}}/{what}": ("PUT",) for what in ("role", "password", "disabled")},
    f"{NATIVE}/sessions": ("GET", "DELETE"),
    f"{NATIVE}/tokens": ("GET", "POST"),
    f"{NATIVE}/tokens/{{id}}": ("DELETE",),
    f"{NATIVE}/account": ("GET",),
    f"{NATIVE}/account/password": ("PUT",),
    f"{NATIVE}/account/tokens": ("POST",),
    f"{NATIVE}/account/tokens/{{id}}": ("DELETE",),
    f"{NATIVE}/account/sessions": ("DELETE",),
    f"{LOGIN}/provider": ("GET",),
    f"{LOGIN}/callback": ("GET",),
    f"{CONSOLE}/overview": ("GET",),
    f"{CONSOLE}/flowchart": ("GET",),
    f"{CONSOLE}/planner": ("GET",),
    f"{CONSOLE}/planner/spec": ("GET",),
    f"{CONSOLE}/traffic": ("GET",),
    f"{CONSOLE}/architectures": ("GET",),
    f"{CONSOLE}/compute": ("GET",),
    f"{CONSOLE}/rolling": ("GET",),
    f"{CONSOLE}/targets": ("GET",),
    f"{CONSOLE}/challenges": ("GET",),
    f"{CONSOLE}/challenges/{{name}}/live": ("GET",),
    f"{NATIVE}/challenges": ("GET",),
    f"{NATIVE}/challenges/{{name}}": ("GET", "POST"),
    f"{NATIVE}/challenges/{{name}}/stop": ("POST",),
    f"{CONSOLE}/summary": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}/card": ("GET",),
    f"{CONSOLE}/lab": ("GET",),
    f"{CONSOLE}/lab/live": ("GET",),
    f"{NATIVE}/lab": ("GET",),
    f"{NATIVE}/lab/{{step}}": ("POST",),
    f"{CONSOLE}/recommender": ("GET",),
    f"{CONSOLE}/recommender/{{name}}": ("GET",),
    f"{CONSOLE}/recommender/{{name}}/live": ("GET",),
}
"""Paths of ``further_routes`` with their methods: the planner, labels, computations, users and most pages."""

PATIENCE = 0.1
"""Seconds that a browser waits for the import of a page before it gets one that waits for it."""
PAUSE = 0.5
"""Seconds after the first page in which a browser gets what belongs to it, before further pages are imported."""

Handler = Callable[[Request], Awaitable[Response]]
Handlers = dict[tuple[str, str], Handler]


class LateRoutes:
    """Imports the code of routes, in a thread, at the first request for one of them. ``environment``: of the
    processes that compute for a page."""

    def __init__(self, gateway: Gateway, environment: Mapping[str, str]) -> None:
        self._gateway = gateway
        self._environment = environment
        self._streams: Any = None
        """Of all live pages together."""
        self._loading = asyncio.Lock()
        self._first: Handlers = {}
        self._further: Handlers = {}
        self._ahead: asyncio.Task[None] | None = None
        self._importing: asyncio.Task[Handlers] | None = None

    @property
    def routes(self) -> list[Route]:
        first = [self._make_first(path, methods) for path, methods in FIRST.items()]
        return first + [self._make_further(path, methods) for path, methods in FURTHER.items()]

    def _make_first(self, path: str, methods: tuple[str, ...]) -> Route:
        async def handle(request: Request) -> Response:
            return await (await self._find_first())[path, request.method](request)

        return Route(path, handle, methods=list(methods))

    def _make_further(self, path: str, methods: tuple[str, ...]) -> Route:
        shown = path.startswith(CONSOLE)

        async def handle(request: Request) -> Response:
            late = shown and request.method == "GET" and not self._further and accepts_html(request.scope)
            if late and not self._import_failed:
                waiting = (await self._find_first())[WAITING, "GET"]
                if self._importing is None:
                    self._importing = asyncio.ensure_future(self._find_further(shown))
                await asyncio.wait([self._importing], timeout=PATIENCE)
                if not self._importing.done():
                    return await waiting(request)
            return await (await self._find_further(shown))[path, request.method](request)

        return Route(path, handle, methods=list(methods))

    @property
    def _import_failed(self) -> bool:
        """It is then tried with each request, and its error is shown: a page that waits would wait for ever."""
        return self._importing is not None and self._importing.done() and not self._further

    async def load(self) -> None:
        """Import the code of all of them without a request."""
        await self._find_further(shown=False)

    async def _find_first(self) -> Handlers:
        if self._first:  # while further ones are imported, too
            return self._first
        async with self._loading:
            if not self._first:
                make = await asyncio.to_thread(load, "tidegate.compose.first_routes", "first_routes")
                self._first = _by_path(make(self._gateway, await self._open_streams()))
                self._ahead = asyncio.ensure_future(self._load_ahead())
        return self._first

    async def _find_further(self, shown: bool) -> Handlers:
        """``shown``: whether a page of the console was asked for, as which others will be."""
        async with self._loading:
            if not self._further:
                make = await asyncio.to_thread(load, "tidegate.compose.further_routes", "further_routes")
                keeper = await asyncio.to_thread(load, "tidegate.console.live_runs.keeper", "LiveRuns")
                runs, streams = keeper(self._gateway), await self._open_streams()
                self._further = _by_path(make(self._gateway, self._environment, runs, streams, warm=shown))
                runs.start()
        return self._further

    async def _open_streams(self) -> Any:
        """With the lock."""
        if self._streams is None:
            make = await asyncio.to_thread(load, "tidegate.console.live_stream", "open_streams")
            self._streams = make(self._gateway)
        return self._streams

    async def _load_ahead(self) -> None:
        await asyncio.sleep(PAUSE)
        await self._find_further(shown=True)


def _by_path(routes: Iterable[Route]) -> Handlers:
    return {(route.path, method): route.endpoint for route in routes for method in route.methods or ()}


async def go_on_with_live_runs(store: Store, late: LateRoutes) -> None:
    """Load what keeps live runs if an earlier process left one open. The server starts also where that fails."""
    try:
        found = bool(await store.read(live_runs.find_open))
    except TidegateError as error:
        log.warning("it is not known whether a live run is open: %s", error)
        found = True
    if found:
        try:
            await late.load()
        except Exception:
            log.exception("what an earlier process may have left open of live runs is not gone on with")
