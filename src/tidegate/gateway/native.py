"""Tidegate's own API, for its CLI and for people: JSON under ``/tidegate/v1``."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tidegate import __version__
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.journal import news
from tidegate.gateway.live import live
from tidegate.gateway.steps import NATIVE
from tidegate.model.errors import Invalid
from tidegate.service.kinds import ENDPOINT
from tidegate.service.records import need

MOST_LINES = 10_000
MOST_EVENTS = 1_000
LONGEST_WAIT = 20
LONGEST_LIVE = 3_600

Handler = Callable[[Gateway, Request], Awaitable[Response]]


async def version(gateway: Gateway, request: Request) -> Response:
    settings = gateway.settings
    return JSONResponse(
        {"version": __version__, "host": settings.host, "port": settings.port, "state": str(settings.state)}
    )


async def events(gateway: Gateway, request: Request) -> Response:
    after = number(request, "after", 0, 0, 2**63 - 1)
    limit = number(request, "limit", 100, 1, MOST_EVENTS)
    wait = number(request, "wait", 0, 0, LONGEST_WAIT)
    found = await news(gateway, request.path_params["name"], after, limit, wait)
    return JSONResponse({"events": found.events, "next": found.next})


async def last_seconds(gateway: Gateway, request: Request) -> Response:
    seconds = number(request, "seconds", 10, 1, LONGEST_LIVE)
    now = gateway.context.clock.now()
    name = request.path_params["name"]
    await gateway.context.store.run(lambda tx: need(tx, ENDPOINT, name))
    fleets = await live(gateway.context.metrics, name, seconds, now)
    return JSONResponse({"at": now.isoformat(), "seconds": seconds, "fleets": [asdict(fleet) for fleet in fleets]})


async def logs(gateway: Gateway, request: Request) -> Response:
    tail = number(request, "tail", 100, 1, MOST_LINES)
    lines = await asyncio.to_thread(gateway.logs, request.path_params["name"], tail)
    return JSONResponse({"replicas": list(lines)})


async def down(gateway: Gateway, request: Request) -> Response:
    gateway.down()
    return JSONResponse({"status": "stopping"}, 202)


TABLE: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/version", version),
    ("GET", "/endpoints/{name}/events", events),
    ("GET", "/endpoints/{name}/live", last_seconds),
    ("GET", "/endpoints/{name}/logs", logs),
    ("POST", "/down", down),
)


def routes(gateway: Gateway) -> list[Route]:
    return [_route(gateway, *row) for row in TABLE]


def _route(gateway: Gateway, method: str, path: str, handler: Handler) -> Route:
    async def endpoint(request: Request) -> Response:
        return await handler(gateway, request)

    return Route(f"{NATIVE}{path}", endpoint, methods=[method])


def number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise Invalid(f"{name}={text!r}: expected a whole number from {low} to {high}")
    return int(text)
