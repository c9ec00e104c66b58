"""Pages of an endpoint with one part, such as its evidence or its captures: each feature has its own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.endpoint_page import has_many_models
from tidegate.console.live_stream import Snapshot
from tidegate.console.operate_pages import LIVE, open_stream, render
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.access import Access
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE, NATIVE
from tidegate.gateway.request_parsing import parse_endpoint_name

Read = Callable[[str], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class EndpointPart:
    """A page with one part, which is sent again when it changes: the macro ``part`` of ``<path>_part.html`` in the
    feature's templates. ``line``: the command that shows the same, with
    ``{}`` for the endpoint's name; ``document``: below the endpoint's native address."""

    path: str
    title: str
    line: str
    document: str


def live_routes(context: PageContext, part: EndpointPart, read: Read) -> list[GuardedRoute]:
    """The routes of a page and of its changes. GET only: they change nothing."""
    gateway, streams = context.gateway, context.streams

    async def show(request: Request) -> Response:
        name = parse_endpoint_name(request)
        return await render_part(gateway, part, await read(name), request, live=True)

    async def stream(request: Request) -> Response:
        name = parse_endpoint_name(request)

        async def snapshot() -> Snapshot:
            macros: Any = TEMPLATES.get_template(f"{part.path}_part.html").module
            return Snapshot({part.path: str(macros.part(_lead_on(part, name, await read(name))))})

        return open_stream(gateway, streams, request, f"{name}/{part.path}", snapshot)

    return [
        GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/{part.path}", show, Access.READ),
        GuardedRoute(gateway, f"{LIVE}/{{name}}/{part.path}", stream, Access.READ),
    ]


async def render_part(
    gateway: Gateway, part: EndpointPart, page: dict[str, Any], request: Request, *, live: bool
) -> Response:
    name = parse_endpoint_name(request)
    return render(
        "insight",
        request,
        many_models=await has_many_models(gateway, name),
        endpoint=name,
        title=part.title,
        part=part.path,
        page=_lead_on(part, name, page),
        live=f"{LIVE}/{name}/{part.path}" if live else None,
    )


def _lead_on(part: EndpointPart, name: str, page: dict[str, Any]) -> dict[str, Any]:
    """The page with the command and the document that say the same."""
    return {
        **page,
        "name": name,
        "line": part.line.format(name),
        "document": f"{NATIVE}/endpoints/{name}/{part.document}",
    }
