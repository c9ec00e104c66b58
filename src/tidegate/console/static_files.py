"""Style sheets, scripts and pictures of the pages."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from tidegate.domain.access import Access
from tidegate.domain.errors import NotFound
from tidegate.gateway.browser_pages import HEADERS
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE

STATIC = f"{CONSOLE}/static/{{path:path}}"
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def routes(gateway: Gateway) -> list[GuardedRoute]:
    """Open, since the login page needs them."""
    return [GuardedRoute(gateway, STATIC, _show_file, Access.OPEN)]


async def _show_file(request: Request) -> Response:
    path: str = request.path_params["path"]
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise NotFound(f"there is no {request.url.path}")
    found = files("tidegate.console").joinpath("static", *parts)
    kind = KINDS.get(path.rpartition(".")[2])
    if kind is None or not found.is_file():
        raise NotFound(f"there is no {request.url.path}")
    return Response(found.read_bytes(), media_type=kind, headers=HEADERS)
