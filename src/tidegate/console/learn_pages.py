"""Pages to learn by, each computed by the planner, the cost model or the rollout machine when it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console import (
    architectures_page,
    challenges_page,
    compute_page,
    overview,
    rolling_page,
    targets_page,
)
from tidegate.console.compute_api import ComputePool
from tidegate.console.identity import identify_reader
from tidegate.console.live_challenge_pages import read_challenge
from tidegate.console.live_challenges.driver import LiveChallenges
from tidegate.console.pages import load_catalogue, render_page
from tidegate.domain.access import Access
from tidegate.domain.errors import TidegateError
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE

Page = Callable[[Gateway, ComputePool, Request], Awaitable[Response]]


def routes(gateway: Gateway, pool: ComputePool, live: LiveChallenges) -> list[GuardedRoute]:
    """GET only: they change nothing."""
    pages: dict[str, Page] = {
        "architectures": _architectures,
        "challenges": partial(_show_challenges, live),
        "compute": _compute,
        "rolling": _rolling,
        "targets": _targets,
    }
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
    examples = await asyncio.to_thread(overview.architecture_examples, catalogue)
    return render_page("architectures", request, catalogue, examples=examples, **shown)


async def _show_challenges(
    live: LiveChallenges, gateway: Gateway, pool: ComputePool, request: Request
) -> Response:
    given = dict(request.query_params)
    if "deaths" in given:
        given["deaths"] = ",".join(request.query_params.getlist("deaths"))
    show, asked = challenges_page.asked_for(given)
    outcome, problem = None, None
    try:
        outcome = await pool.compute_once(show, asked, gateway.context.clock.now())
    except TidegateError as error:
        problem = error.message
    shown = challenges_page.shown(show, asked, outcome)
    shown["live"] = await read_challenge(live, show, identify_reader(request))
    shown["url"] = gateway.settings.url
    return render_page("challenges", request, await load_catalogue(gateway), problem=problem, **shown)


async def _compute(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    shown = await asyncio.to_thread(compute_page.compute, request.query_params, catalogue)
    return render_page("compute", request, catalogue, **shown)


async def _targets(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    shown = await asyncio.to_thread(targets_page.compared, request.query_params, catalogue)
    return render_page("targets", request, catalogue, **shown)


async def _rolling(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    now = gateway.context.clock.now()
    outcomes: list[Any] = await asyncio.gather(
        *(pool.compute_once("simulate", body, now) for body in rolling_page.simulations())
    )
    catalogue = await load_catalogue(gateway)
    examples = await asyncio.to_thread(overview.strategy_examples, catalogue)
    return render_page("rolling", request, catalogue, examples=examples, **rolling_page.compared(outcomes))
