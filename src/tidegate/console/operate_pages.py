"""The pages of those who operate: an endpoint, live; its versions and what differs between them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tidegate import __version__
from tidegate.console import endpoint_page, version_diff
from tidegate.console.endpoint_card import make_cards
from tidegate.console.identity import identify_reader, page_headers
from tidegate.console.live_stream import LiveStreams, Snapshot, StillSame
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import PAGES, TEMPLATES
from tidegate.console.sample_payload import read_inputs
from tidegate.domain.access import Access, Caller, Means
from tidegate.domain.errors import AuthError, Invalid
from tidegate.domain.history import History
from tidegate.gateway import callers
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.service import history
from tidegate.service.deployed import describe_deployed

LIVE = f"{CONSOLE}/live"

Handler = Callable[[Request], Awaitable[Response]]


def routes(context: PageContext) -> list[GuardedRoute]:
    """GET only: pages make changes through the native API."""
    gateway, streams, cards = context.gateway, context.streams, make_cards(context)

    async def show_endpoint(request: Request) -> Response:
        name, may = parse_endpoint_name(request), identify_reader(request).may_operate
        page = await endpoint_page.read_page(gateway, cards, name, may)
        inputs = await read_inputs(gateway, name, page["config"]) if may and not page["multi_model"] else None
        return render("endpoint", request, url=gateway.settings.url, page=page, inputs=inputs)

    async def stream_endpoint(request: Request) -> Response:
        name = parse_endpoint_name(request)
        may = identify_reader(request).may_operate
        view = f"{name}/commands" if may else name

        def make() -> Awaitable[Snapshot]:
            return endpoint_page.snapshot(gateway, cards, name, may)

        return open_stream(gateway, streams, request, view, make)

    async def show_history(request: Request) -> Response:
        name = parse_endpoint_name(request)
        found, deployed = await gateway.context.store.read(
            lambda tx: (history.read(tx, name), describe_deployed(tx, name))
        )
        many = await endpoint_page.has_many_models(gateway, name)
        compared = compare_asked(found, request.query_params)
        return render(
            "history", request, endpoint=name, many_models=many, spec=version_diff.write_spec(deployed), **compared
        )

    async def show_form(request: Request) -> Response:
        return render("new", request)

    pages: dict[str, Handler] = {
        f"{CONSOLE}/new": show_form,
        f"{CONSOLE}/endpoints/{{name}}": show_endpoint,
        f"{CONSOLE}/endpoints/{{name}}/history": show_history,
        f"{LIVE}/{{name}}": stream_endpoint,
    }
    return [GuardedRoute(gateway, path, handler, Access.READ) for path, handler in pages.items()]


def still_same(gateway: Gateway, request: Request) -> StillSame:
    """Make the check that the request's caller still has access, with the same role."""
    caller: Caller = request.state.caller

    async def ask() -> bool:
        try:
            now = await callers.recognise(gateway, request.scope)
        except AuthError:
            return False
        return (now.means, now.role) == (caller.means, caller.role)

    return ask


def open_stream(
    gateway: Gateway, streams: LiveStreams, request: Request, view: str, make: Callable[[], Awaitable[Snapshot]]
) -> Response:
    """Follow a view: ``view`` names it, and whom it differs for. Raises Unavailable."""
    return streams.respond(view, make, still_same(gateway, request), name_reader(request.state.caller))


def name_reader(caller: Caller) -> str:
    """Return the name of a reader of a page. It is empty if nobody signs in, so that all readers count as one."""
    return "" if caller.means is Means.LOOPBACK else caller.name


def render(name: str, request: Request, **context: Any) -> Response:
    text = TEMPLATES.get_template(f"{name}.html").render(
        pages=PAGES, here=request.url.path, version=__version__, who=identify_reader(request), **context
    )
    return HTMLResponse(text, headers=page_headers(request))


def compare_asked(found: History, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of the page of versions. An unknown number is a problem, and nothing is compared."""
    shown: dict[str, Any] = {"rows": version_diff.history_rows(found), "problem": None, "changes": []}
    try:
        old, new = version_diff.choose_versions(found, asked.get("from"), asked.get("to"))
    except Invalid as error:
        return {**shown, "problem": error.message, "old": None, "new": None}
    return {**shown, "old": old, "new": new, "changes": version_diff.compare_versions(old, new)}
