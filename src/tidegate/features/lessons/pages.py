"""The first pages to learn by and the planner, rendered on the server.

Every page works without scripts: forms use GET, so a page's address contains its whole state.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.chapters import OVERVIEW
from tidegate.console.rendering import load_catalogue, render_page
from tidegate.console.waiting_page import show_waiting
from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.lessons.computed import ComputedPages, StillComputing
from tidegate.features.planner import flowchart_page as flowchart
from tidegate.features.rehearse import page as rehearsal_page
from tidegate.gateway.browser_pages import HEADERS
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE

Page = Callable[[Gateway, ComputedPages, Request], Awaitable[Response]]


def routes(gateway: Gateway, computed: ComputedPages) -> list[GuardedRoute]:
    """GET only: pages make changes through the native API."""
    pages: Mapping[str, Page] = {
        OVERVIEW: _home,
        f"{CONSOLE}/flowchart": _flowchart,
        f"{CONSOLE}/planner": _planner,
        f"{CONSOLE}/planner/spec": _spec,
        f"{CONSOLE}/traffic": _traffic,
    }
    return page_routes(gateway, computed, pages)


def page_routes(gateway: Gateway, computed: ComputedPages, pages: Mapping[str, Page]) -> list[GuardedRoute]:
    """A browser that asks for what is not computed yet gets a page that waits for it."""

    def make(page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                return await page(gateway, computed, request)
            except StillComputing:
                return await show_waiting(gateway, request)

        return handle

    return [GuardedRoute(gateway, path, make(page), Access.READ) for path, page in pages.items()]


async def _home(gateway: Gateway, computed: ComputedPages, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    numbers = await computed.work_out(request, "numbers", {}, catalogue)
    return render_page("home", request, catalogue, **numbers)


async def _flowchart(gateway: Gateway, computed: ComputedPages, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    examples = await computed.work_out(request, "modes", {}, catalogue)
    walked = flowchart.walked(request.query_params)
    return render_page("flowchart", request, catalogue, examples=examples, **walked)


async def _planner(gateway: Gateway, computed: ComputedPages, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    made = await computed.work_out(request, "planner", dict(request.query_params), catalogue)
    return render_page("planner", request, catalogue, **made)


async def _spec(gateway: Gateway, computed: ComputedPages, request: Request) -> Response:
    """The plan's spec file as a download."""
    catalogue = await load_catalogue(gateway)
    made = await computed.work_out(request, "planner", dict(request.query_params), catalogue, waits=True)
    if made["plan"] is None:
        raise Invalid(made["problem"] or "there are no answers to plan with")
    name = {"content-disposition": f'attachment; filename="{made["plan"]["name"]}.yaml"'}
    return Response(made["plan"]["file"], media_type="application/yaml", headers={**HEADERS, **name})


async def _traffic(gateway: Gateway, computed: ComputedPages, request: Request) -> Response:
    asked = rehearsal_page.form_values(request.query_params)
    problem: str | None = None
    outcomes: list[Any] = []
    try:
        now = gateway.context.clock.now()
        bodies = [rehearsal_page.simulation_body(form) for form in (asked, rehearsal_page.second_form(asked))]
        outcomes = await asyncio.gather(*(computed.simulate(request, "simulate", body, now) for body in bodies))
    except TidegateError as error:
        problem = error.message
    context = rehearsal_page.template_context(asked, outcomes)
    return render_page("traffic", request, await load_catalogue(gateway), problem=problem, **context)
