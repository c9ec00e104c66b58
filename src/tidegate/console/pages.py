"""Console pages, rendered on the server, and their static files.

Every page works without scripts: forms use GET, so a page's address contains its whole state.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tidegate import __version__
from tidegate.advisor.prices import Catalogue, price_folder
from tidegate.console import chapters, flowchart, overview, plan_page, rehearsal_page
from tidegate.console.chapters import OVERVIEW
from tidegate.console.compute_api import ComputePool
from tidegate.console.identity import identify_reader, page_headers
from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid, NotFound, TidegateError
from tidegate.gateway.browser_pages import HEADERS
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE

PAGES = (
    (CONSOLE, "Endpoints"),
    (f"{CONSOLE}/jobs", "Batch jobs"),
    (OVERVIEW, "Learn"),
    (f"{CONSOLE}/planner", "Planner"),
)
STATIC = f"{CONSOLE}/static/{{path:path}}"
"""Open, since the login page needs them."""
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
REGION = "us-east-1"

Page = Callable[[Gateway, ComputePool, Request], Awaitable[Response]]
UNSEEN = dict.fromkeys(
    [char for low, high in ((0, 8), (11, 12), (14, 31), (127, 159)) for char in range(low, high + 1)]
    + [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\ufffd",
)
"""Control characters, and those that turn the direction of a text: a name with one of them would turn the words that
follow it, such as a verdict."""


def show_unseen(value: Any) -> Any:
    """What a page prints, with a mark in place of characters that nobody sees."""
    return value.translate(UNSEEN) if type(value) is str else value


TEMPLATES = Environment(
    loader=PackageLoader("tidegate.console"),
    autoescape=True,
    finalize=show_unseen,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def add_word_breaks(text: str) -> Markup:
    """Allow line breaks between the words of names such as InvocationsPerInstance."""
    return Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])", text))


TEMPLATES.filters["soft"] = add_word_breaks


def routes(gateway: Gateway, pool: ComputePool) -> list[GuardedRoute]:
    """GET only: pages make changes through the native API."""
    pages: Mapping[str, Page] = {
        OVERVIEW: _home,
        f"{CONSOLE}/flowchart": _flowchart,
        f"{CONSOLE}/planner": _planner,
        f"{CONSOLE}/planner/spec": _spec,
        f"{CONSOLE}/traffic": _traffic,
    }
    static = GuardedRoute(gateway, STATIC, _make_handler(gateway, pool, _file), Access.OPEN)
    shown = [
        GuardedRoute(gateway, path, _make_handler(gateway, pool, page), Access.READ)
        for path, page in pages.items()
    ]
    return [static, *shown]


def _make_handler(gateway: Gateway, pool: ComputePool, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await page(gateway, pool, request)

    return handle


def render_page(name: str, request: Request, catalogue: Catalogue, **context: Any) -> Response:
    """Render a template as a page."""
    text = TEMPLATES.get_template(f"{name}.html").render(
        pages=PAGES,
        here=request.url.path,
        chapters=chapters.CHAPTERS,
        neighbours=chapters.neighbours(request.url.path),
        learning=chapters.is_in_story(request.url.path),
        version=__version__,
        who=identify_reader(request),
        region=REGION,
        prices_of=max(rate.date for rate in catalogue.rates()).isoformat(),
        **context,
    )
    return HTMLResponse(text, headers=page_headers(request))


async def load_catalogue(gateway: Gateway) -> Catalogue:
    """Reads and parses files, so it must not run on the platform's event loop."""
    return await asyncio.to_thread(Catalogue.load, price_folder(gateway.settings.prices, gateway.settings.state))


async def _home(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    numbers = await asyncio.to_thread(overview.numbers, catalogue)
    return render_page("home", request, catalogue, **numbers)


async def _flowchart(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    examples = await asyncio.to_thread(overview.mode_examples, catalogue)
    walked = flowchart.walked(request.query_params)
    return render_page("flowchart", request, catalogue, examples=examples, **walked)


async def _planner(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    catalogue = await load_catalogue(gateway)
    made = await asyncio.to_thread(plan_page.planned, request.query_params, catalogue)
    return render_page("planner", request, catalogue, **made)


async def _spec(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    """The plan's spec file as a download."""
    made = await asyncio.to_thread(plan_page.planned, request.query_params, await load_catalogue(gateway))
    if made["plan"] is None:
        raise Invalid(made["problem"] or "there are no answers to plan with")
    name = {"content-disposition": f'attachment; filename="{made["plan"]["name"]}.yaml"'}
    return Response(made["plan"]["file"], media_type="application/yaml", headers={**HEADERS, **name})


async def _traffic(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    asked = rehearsal_page.form_values(request.query_params)
    problem: str | None = None
    outcomes: list[Any] = []
    try:
        now = gateway.context.clock.now()
        bodies = [rehearsal_page.simulation_body(form) for form in (asked, rehearsal_page.second_form(asked))]
        outcomes = await asyncio.gather(*(pool.compute_once("simulate", body, now) for body in bodies))
    except TidegateError as error:
        problem = error.message
    context = rehearsal_page.template_context(asked, outcomes)
    return render_page("traffic", request, await load_catalogue(gateway), problem=problem, **context)


async def _file(gateway: Gateway, pool: ComputePool, request: Request) -> Response:
    path: str = request.path_params["path"]
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise NotFound(f"there is no {request.url.path}")
    found = files("tidegate.console").joinpath("static", *parts)
    kind = KINDS.get(path.rpartition(".")[2])
    if kind is None or not found.is_file():
        raise NotFound(f"there is no {request.url.path}")
    return Response(found.read_bytes(), media_type=kind, headers=HEADERS)
