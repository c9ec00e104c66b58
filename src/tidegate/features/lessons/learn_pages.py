"""Pages to learn by, each computed by the planner, the cost model or the rollout machine when it is asked for."""

import asyncio
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.identity import identify_reader
from tidegate.console.rendering import load_catalogue, render_page
from tidegate.domain.errors import TidegateError
from tidegate.features.lessons import challenges_page, rolling_page
from tidegate.features.lessons.computed import ComputedPages
from tidegate.features.lessons.live_challenge_pages import read_challenge
from tidegate.features.lessons.live_challenges.driver import LiveChallenges
from tidegate.features.lessons.pages import Page, page_routes
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE


def routes(gateway: Gateway, computed: ComputedPages, live: LiveChallenges) -> list[GuardedRoute]:
    """GET only: they change nothing."""
    pages: dict[str, Page] = {
        "architectures": _architectures,
        "challenges": partial(_show_challenges, live),
        "compute": _compute,
        "rolling": _rolling,
        "targets": _targets,
    }
    return page_routes(gateway, computed, {f"{CONSOLE}/{name}": page for name, page in pages.items()})


async def _architectures(gateway: Gateway, computed: ComputedPages, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    shown = await computed.work_out(request, "architectures", dict(request.query_params), catalogue)
    examples = await computed.work_out(request, "examples", {}, catalogue)
    return render_page("architectures", request, catalogue, examples=examples, **shown)


async def _show_challenges(
    live: LiveChallenges, gateway: Gateway, computed: ComputedPages, request: Request
) -> Response:
    given = dict(request.query_params)
    if "deaths" in given:
        given["deaths"] = ",".join(request.query_params.getlist("deaths"))
    show, asked = challenges_page.asked_for(given)
    outcome, problem = None, None
    try:
        outcome = await computed.simulate(request, show, asked, gateway.context.clock.now())
    except TidegateError as error:
        problem = error.message
    shown = challenges_page.shown(show, asked, outcome)
    shown["live"] = await read_challenge(live, show, identify_reader(request))
    shown["url"] = gateway.settings.url
    return render_page("challenges", request, await load_catalogue(gateway), problem=problem, **shown)


async def _compute(gateway: Gateway, computed: ComputedPages, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    shown = await computed.work_out(request, "compute", dict(request.query_params), catalogue)
    return render_page("compute", request, catalogue, **shown)


async def _targets(gateway: Gateway, computed: ComputedPages, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    shown = await computed.work_out(request, "targets", dict(request.query_params), catalogue)
    return render_page("targets", request, catalogue, **shown)


async def _rolling(gateway: Gateway, computed: ComputedPages, request: Request) -> Response:
    now = gateway.context.clock.now()
    outcomes: list[Any] = await asyncio.gather(
        *(computed.simulate(request, "simulate", body, now) for body in rolling_page.simulations())
    )
    catalogue = await load_catalogue(gateway)
    examples = await computed.work_out(request, "strategies", {}, catalogue)
    return render_page("rolling", request, catalogue, examples=examples, **rolling_page.compared(outcomes))
