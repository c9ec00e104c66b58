"""Entry point of API requests: the controller's ASGI application.

Every request passes ``MIDDLEWARE`` in order. The router then dispatches it to tidegate's own API (see ``native.py``),
``/healthz`` or ``/metrics``; everything else goes to AWS's protocols (see ``wire/dispatch.py``).
"""

from collections.abc import Sequence
from dataclasses import asdict

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.domain.access import Access, Caller, Means
from tidegate.domain.errors import NotFound
from tidegate.gateway import browser_pages, callers, native, request_parsing
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.error_responses import MethodNotAllowed
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.health import check_health
from tidegate.gateway.middleware import (
    Middleware,
    assign_request_id,
    authenticate,
    read_body,
    render_errors,
    require_canonical_target,
    require_same_site,
)
from tidegate.gateway.paths import HEALTH, METRICS, READY, is_native_path
from tidegate.host import installation
from tidegate.monitoring.exposition import CONTENT_TYPE
from tidegate.service.audit_trail import missing_login
from tidegate.wire import dispatch

MIDDLEWARE: tuple[Middleware, ...] = (
    assign_request_id,
    render_errors,
    read_body,
    require_canonical_target,
    require_same_site,
    authenticate,
)


def build_app(gateway: Gateway, further: Sequence[Route] = ()) -> ASGIApp:
    """Build the application. It has no lifespan of its own. ``further``: routes of packages above this one."""
    app = build_router(gateway, further)
    for step in reversed(MIDDLEWARE):
        app = step(app, gateway)
    return app


def _health_routes(gateway: Gateway) -> list[Route]:
    async def healthz(request: Request) -> Response:
        found, named = await check_health(gateway), {installation.HEADER: gateway.installation}
        if found.status == "ok":
            return JSONResponse({"status": "ok"}, headers=named)
        return JSONResponse(asdict(found), 503, headers=named)

    async def readyz(request: Request) -> Response:
        """Whether requests may be sent here: one that is degraded still answers."""
        found = await check_health(gateway)
        return JSONResponse(asdict(found), 503 if found.status == "unavailable" else 200)

    return [
        GuardedRoute(gateway, HEALTH, healthz, Access.OPEN),
        GuardedRoute(gateway, READY, readyz, Access.OPEN),
    ]


def build_router(gateway: Gateway, further: Sequence[Route] = ()) -> ASGIApp:
    async def metrics(request: Request) -> Response:
        return Response(await gateway.prometheus(), media_type=CONTENT_TYPE)

    open_metrics = Access.OPEN if gateway.settings.open_metrics else Access.READ
    routes: list[Route] = [
        *_health_routes(gateway),
        GuardedRoute(gateway, METRICS, metrics, open_metrics),
        *native.routes(gateway),
        *further,
    ]

    async def serve_wire(scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        request = request_parsing.to_wire_request(scope, state["body"])
        caller: Caller = state["caller"]
        source = callers.find_source(gateway.settings, Headers(scope=scope))
        guard = dispatch.Guard(gateway.trail, caller, source)
        answer = await dispatch.handle(request, gateway.context, guard, state["request_id"])
        await Response(answer.body, answer.status, answer.headers)(scope, receive, send)

    async def refuse_path(scope: Scope, receive: Receive, send: Send) -> None:
        _require_caller(scope)
        raise _unknown_path(scope, routes)

    router = Router(routes, default=refuse_path, redirect_slashes=False)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if (elsewhere := browser_pages.redirect(scope)) is not None:
            await elsewhere(scope, receive, send)
            return
        if not is_native_path(scope["path"]):
            await serve_wire(scope, receive, send)
            return
        allowed = _allowed_methods(scope, routes)
        if allowed and scope["method"] not in allowed:
            _require_caller(scope)
            raise MethodNotAllowed(scope["method"], scope["path"], allowed)
        await router(scope, receive, send)

    return route


def _require_caller(scope: Scope) -> None:
    """Raise an error unless the caller is known: only known callers may learn which paths exist and which do not."""
    caller: Caller = scope["state"]["caller"]
    if caller.means is Means.NONE:
        raise missing_login(caller)


def _allowed_methods(scope: Scope, routes: list[Route]) -> list[str]:
    """Methods that are allowed on this path."""
    found = {
        method for route in routes if route.matches(scope)[0] is not Match.NONE for method in route.methods or ()
    }
    return sorted(found)


def _unknown_path(scope: Scope, routes: list[Route]) -> NotFound:
    if browser_pages.wants_page(scope):
        return NotFound(f"there is no {scope['path']} here")
    there = ", ".join(f"{method} {route.path}" for route in routes for method in _listed_methods(route))
    return NotFound(f"there is no {scope['path']}; there are {there}")


def _listed_methods(route: Route) -> list[str]:
    return sorted(set(route.methods or ()) - {"HEAD"})
