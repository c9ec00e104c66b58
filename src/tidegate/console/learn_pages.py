"""Pages to learn by, each computed by the planner, the cost model or the rollout machine when it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console import architectures_page, compute_page, rolling_page, targets_page
from tidegate.console.compute_api import ComputePool
from tidegate.console.pages import load_catalogue, render_page
from tidegate.domain.access import Access
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE

Page = Callable[[Gateway, ComputePool, Request], Awaitable[Response]]


def routes(gateway: Gateway, pool: ComputePool) -> list[GuardedRoute]:
    """GET only: they change nothing."""
    pages = {"architectures": _architectures, "compute": _compute, "rolling": _rolling, "targets": _targets}
    return [
        GuardedRoute(gateway, f"{CONSOLE}/{name}", _make_handler(gateway, pool, page), Access.READ)
        for name, page in pages.items()
    ]


def _make_handler(gateway: Gateway, pool: ComputePool, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await page(gateway, pool, request)

    return handle


async def _architectures(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    shown = await asyncio.to_thread(architectures_page.architectures, request.query_params, catalogue)
    return render_page("architectures", request, catalogue, **shown)


async def _compute(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    shown = await asyncio.to_thread(compute_page.compute, request.query_params, catalogue)
    return render_page("compute", request, catalogue, **shown)


async def _targets(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    shown = await asyncio.to_thread(targets_page.compared, request.query_params, catalogue)
    return render_page("targets", request, catalogue, **shown)


async def _rolling(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    now = gateway.context.clock.now().isoformat()
    asked = [{"what": "simulate", "now": now, "body": body} for body in rolling_page.simulations()]
    outcomes: list[Any] = await asyncio.gather(*(pool.compute(one) for one in asked))
    shown = rolling_page.compared(outcomes)
    return render_page("rolling", request, await load_catalogue(gateway), **shown)
