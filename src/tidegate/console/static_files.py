"""Style sheets, scripts and pictures of the pages, those of features too."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from tidegate.domain.access import Access
from tidegate.domain.errors import NotFound
from tidegate.gateway.browser_pages import HEADERS
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.host.features import features

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
    kind = KINDS.get(path.rpartition(".")[2])
    found = next((one for one in _find_places(parts) if one.is_file()), None)
    if kind is None or found is None:
        raise NotFound(f"there is no {request.url.path}")
    return Response(found.read_bytes(), media_type=kind, headers=HEADERS)


def _find_places(parts: Sequence[str]) -> Iterator[Traversable]:
    """Yield the places where a file may be: the folder of the core, then those of the features that are on."""
    packages = ("tidegate.console", *(one.package for one in features()))
    return (files(package).joinpath("static", *parts) for package in packages)
