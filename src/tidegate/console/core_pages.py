"""Routes of the core's pages: what a browser asks for first (the endpoints, and the files of all pages), and the
others."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console import list_pages, operate_pages, summary_pages, waiting_page
from tidegate.console.operate_pages import render
from tidegate.console.page_context import PageContext
from tidegate.domain.access import Access
from tidegate.domain.errors import NotFound
from tidegate.gateway.browser_pages import HEADERS
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.host.features import features
from tidegate.service import endpoints

# --- style sheets, scripts and pictures of the pages, those of features too ---


STATIC = f"{CONSOLE}/static/{{path:path}}"
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def static_routes(gateway: Gateway) -> list[GuardedRoute]:
    """Open, since the login page needs them."""
    return [GuardedRoute(gateway, STATIC, _show_file, Access.OPEN)]


async def _show_file(request: Request) -> Response:
    path: str = request.path_params["path"]
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise NotFound(f"there is no {request.url.path}")
    kind = KINDS.get(path.rpartition(".")[2])
    found = next((one for one in _find_places(parts) if one.is_file()), None)
    if kind is None or found is None:
        raise NotFound(f"there is no {request.url.path}")
    return Response(found.read_bytes(), media_type=kind, headers=HEADERS)


def _find_places(parts: Sequence[str]) -> Iterator[Traversable]:
    """Yield the places where a file may be: the folder of the core, then those of the features that are on."""
    packages = ("tidegate.console", *(one.package for one in features()))
    return (files(package).joinpath("static", *parts) for package in packages)


# --- the page to chat with an endpoint whose model generates text ---


def _chat_routes(gateway: Gateway) -> list[GuardedRoute]:
    async def show(request: Request) -> Response:
        name = parse_endpoint_name(request)
        await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
        return render("chat", request, endpoint=name)

    return [GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/chat", show, Access.READ)]


def first_routes(context: PageContext) -> list[GuardedRoute]:
    gateway = context.gateway
    return [
        *static_routes(gateway),
        *waiting_page.routes(gateway),
        *list_pages.routes(context),
        *operate_pages.routes(context),
    ]


def further_routes(context: PageContext) -> list[GuardedRoute]:
    return [*_chat_routes(context.gateway), *summary_pages.routes(context)]
