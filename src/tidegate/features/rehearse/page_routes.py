"""Routes of rehearsals: the page that compares two of them, and ``POST /tidegate/v1/rehearse``, with ``promise`` and
``simulate`` for parts of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tidegate import spec
from tidegate.console.page_context import PageContext
from tidegate.console.page_process import PageWork
from tidegate.console.rendering import load_catalogue, render_page
from tidegate.domain.access import Access
from tidegate.domain.errors import TidegateError
from tidegate.features.rehearse import computations, page
from tidegate.features.rehearse.report import RehearsalRequest
from tidegate.gateway.deployments import look_up_models
from tidegate.gateway.guarded_routes import GuardedRoute, summarize
from tidegate.gateway.native_body import list_members
from tidegate.gateway.paths import CONSOLE, NATIVE
from tidegate.gateway.request_parsing import parse_json_object

OPERATIONS = tuple(
    ("POST", f"/{what}", Access.READ, summarize(computation), RehearsalRequest)
    for what, computation in computations.OPERATIONS.items()
)
"""Method, path under the native API, what it asks of a caller, its summary, and the type of its body."""


def page_routes(context: PageContext) -> list[GuardedRoute]:
    pages = {f"{CONSOLE}/rehearse": _show, f"{CONSOLE}/traffic": _redirect}
    operations = [
        GuardedRoute(context.gateway, NATIVE + path, _make_handler(context, path[1:]), access, [method])
        for method, path, access, _, _ in OPERATIONS
    ]
    return [*context.make_computed_routes(pages), *operations]


def list_page_work() -> list[PageWork]:
    form = page.form_values({})
    bodies = [page.rehearsal_body(one) for one in (form, page.second_form(form))]
    return [PageWork(computations.rehearse, body, priced=False) for body in bodies]


def _make_handler(context: PageContext, what: str) -> Callable[[Request], Awaitable[Response]]:
    computation = computations.OPERATIONS[what]

    async def handle(request: Request) -> Response:
        body = parse_json_object(request, list_members(RehearsalRequest))
        world, now = context.gateway.context, context.gateway.context.clock.now()
        if isinstance(given := body.get("spec"), dict):
            spec.parse(given, now)  # before what it refers to is looked for
            body = {**body, "spec": await look_up_models(world, given)}
        return JSONResponse(await context.computed.pool.compute(computation, body, now))

    return handle


async def _redirect(context: PageContext, request: Request) -> Response:
    """The former address of the page of rehearsals."""
    query = request.url.query
    return RedirectResponse(f"{CONSOLE}/rehearse?{query}" if query else f"{CONSOLE}/rehearse", 308)


async def _show(context: PageContext, request: Request) -> Response:
    form = page.form_values(request.query_params)
    problem: str | None = None
    outcomes: list[Any] = []
    try:
        now = context.gateway.context.clock.now()
        bodies = [page.rehearsal_body(one) for one in (form, page.second_form(form))]
        outcomes = await asyncio.gather(
            *(context.computed.simulate(request, computations.rehearse, body, now) for body in bodies)
        )
    except TidegateError as error:
        problem = error.message
    shown = page.template_context(form, outcomes)
    return render_page("rehearse", request, await load_catalogue(context.gateway), problem=problem, **shown)
