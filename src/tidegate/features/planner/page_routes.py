"""The planner's pages, and those to learn by that it computes, rendered on the server.

Every page works without scripts: forms use GET, so a page's address contains its whole state. They change nothing:
a plan is deployed by the native API.
"""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.chapters import OVERVIEW
from tidegate.console.computed_pages import PricedWork
from tidegate.console.page_context import ComputedPage, PageContext
from tidegate.console.page_process import PageWork
from tidegate.console.rendering import load_catalogue, render_page
from tidegate.domain.errors import Invalid
from tidegate.features.planner import (
    architectures_page,
    flowchart_page,
    overview,
    page,
    planning,
    rolling_page,
    targets_page,
)
from tidegate.features.rehearse.computations import rehearse
from tidegate.gateway.browser_pages import HEADERS
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE


def page_routes(context: PageContext) -> list[GuardedRoute]:
    return context.make_computed_routes(
        {
            OVERVIEW: _make_page("home", overview.compute_figures),
            f"{CONSOLE}/flowchart": _show_flowchart,
            f"{CONSOLE}/architectures": _show_architectures,
            f"{CONSOLE}/rolling": _show_rolling,
            f"{CONSOLE}/targets": _make_page("targets", targets_page.compared),
            f"{CONSOLE}/planner": _make_page("planner", page.show_plan),
            f"{CONSOLE}/planner/spec": _send_spec,
        }
    )


def list_page_work() -> list[PageWork]:
    priced = (
        *(overview.compute_figures, overview.mode_examples, overview.architecture_examples),
        *(overview.strategy_examples, architectures_page.architectures, targets_page.compared, page.show_plan),
    )
    return [
        *(PageWork(work, {}) for work in priced),
        *(PageWork(page.show_plan, {page.EXAMPLE: name}) for name in planning.examples()),
        *(PageWork(rehearse, body, priced=False) for body in rolling_page.simulations()),
    ]


def _make_page(template: str, work: PricedWork) -> ComputedPage:
    """A page of the work's result alone."""

    async def show(context: PageContext, request: Request) -> Response:
        catalogue = await load_catalogue(context.gateway)
        shown = await context.computed.work_out(request, work, dict(request.query_params), catalogue)
        return render_page(template, request, catalogue, **shown)

    return show


async def _show_flowchart(context: PageContext, request: Request) -> Response:
    catalogue = await load_catalogue(context.gateway)
    examples = await context.computed.work_out(request, overview.mode_examples, {}, catalogue)
    walked = flowchart_page.walked(request.query_params)
    return render_page("flowchart", request, catalogue, examples=examples, **walked)


async def _show_architectures(context: PageContext, request: Request) -> Response:
    catalogue, computed = await load_catalogue(context.gateway), context.computed
    query = dict(request.query_params)
    shown = await computed.work_out(request, architectures_page.architectures, query, catalogue)
    examples = await computed.work_out(request, overview.architecture_examples, {}, catalogue)
    return render_page("architectures", request, catalogue, examples=examples, **shown)


async def _show_rolling(context: PageContext, request: Request) -> Response:
    now, computed = context.gateway.context.clock.now(), context.computed
    outcomes: list[Any] = await asyncio.gather(
        *(computed.simulate(request, rehearse, body, now) for body in rolling_page.simulations())
    )
    catalogue = await load_catalogue(context.gateway)
    examples = await computed.work_out(request, overview.strategy_examples, {}, catalogue)
    return render_page("rolling", request, catalogue, examples=examples, **rolling_page.compared(outcomes))


async def _send_spec(context: PageContext, request: Request) -> Response:
    """The plan's spec file as a download."""
    catalogue = await load_catalogue(context.gateway)
    query = dict(request.query_params)
    made = await context.computed.work_out(request, page.show_plan, query, catalogue, waits=True)
    if made["plan"] is None:
        raise Invalid(made["problem"] or "there are no answers to plan with")
    name = {"content-disposition": f'attachment; filename="{made["plan"]["name"]}.yaml"'}
    return Response(made["plan"]["file"], media_type="application/yaml", headers={**HEADERS, **name})
