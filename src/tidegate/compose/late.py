"""What the server imports late, so that it starts quickly: the one place of it that does. Commands have theirs in
``cli/commands.py``."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.domain.errors import TidegateError
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.paths import CONSOLE, LOGIN, NATIVE
from tidegate.host.late_import import load
from tidegate.ports.store import Store
from tidegate.service import live_runs

log = logging.getLogger(__name__)

PATHS: Mapping[str, tuple[str, ...]] = {
    f"{NATIVE}/plan": ("GET", "POST"),
    f"{NATIVE}/endpoints/{{name}}/labels": ("GET", "POST"),
    f"{NATIVE}/endpoints/{{name}}/labels/terms": ("PUT",),
    f"{NATIVE}/promise": ("POST",),
    f"{NATIVE}/rehearse": ("POST",),
    f"{NATIVE}/simulate": ("POST",),
    CONSOLE: ("GET",),
    f"{CONSOLE}/live": ("GET",),
    f"{CONSOLE}/live/{{name}}": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}/history": ("GET",),
    f"{CONSOLE}/endpoints/{{name}}/chat": ("GET",),
    **{
        f"{CONSOLE}/endpoints/{{name}}/{page}": ("GET",)
        for page in ("evidence", "drift", "labels", "captures", "shadow", "models")
    },
    **{f"{CONSOLE}/live/{{name}}/{page}": ("GET",) for page in ("evidence", "drift", "labels", "shadow")},
    f"{NATIVE}/endpoints/{{name}}/capture/samples": ("GET",),
    f"{CONSOLE}/jobs": ("GET",),
    f"{CONSOLE}/jobs/live": ("GET",),
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
    LOGIN: ("GET", "POST"),
    f"{LOGIN}/provider": ("GET",),
    f"{LOGIN}/callback": ("GET",),
    f"{CONSOLE}/logout": ("POST",),
    f"{CONSOLE}/session": ("GET",),
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
    f"{CONSOLE}/static/{{path:path}}": ("GET",),
}
"""Paths of ``further_routes`` with their methods: the planner, labels, computations, users and pages, which take a
sixth of the processor time of a start and which most servers never show."""

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class LateRoutes:
    """``load`` imports their code without a request."""

    routes: list[Route]
    load: Callable[[], Awaitable[None]]


def late_routes(gateway: Gateway, environment: Mapping[str, str]) -> LateRoutes:
    """Routes whose code is imported, in a thread, at the first request for one of them. ``environment``: of the
    processes that compute for a page."""
    handlers: dict[tuple[str, str], Handler] = {}
    loading = asyncio.Lock()

    async def load_all() -> None:
        async with loading:
            if not handlers:
                make = await asyncio.to_thread(load, "tidegate.compose.further_routes", "further_routes")
                runs = load("tidegate.console.live_runs.keeper", "LiveRuns")(gateway)
                for route in make(gateway, environment, runs):
                    handlers.update({(route.path, verb): route.endpoint for verb in route.methods})
                runs.start()

    def make_route(path: str, methods: tuple[str, ...]) -> Route:
        async def handle(request: Request) -> Response:
            await load_all()
            return await handlers[path, request.method](request)

        return Route(path, handle, methods=list(methods))

    return LateRoutes([make_route(path, methods) for path, methods in PATHS.items()], load_all)


async def go_on_with_live_runs(store: Store, late: LateRoutes) -> None:
    """Load what keeps live runs if an earlier process left one open."""
    try:
        found = await store.run(live_runs.find_open)
    except TidegateError as error:
        log.warning("it is not known whether a live run is open: %s", error)
        await late.load()
        return
    if found:
        await late.load()
