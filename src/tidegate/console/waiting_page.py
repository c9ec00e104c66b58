"""The page that a browser gets in place of one that is not there yet: it waits, and shows the other one."""

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console import chapters
from tidegate.console.rendering import load_catalogue, render_page
from tidegate.domain.access import Access
from tidegate.domain.errors import NotFound
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import WAITING


async def show_waiting(gateway: Gateway, request: Request) -> Response:
    place = chapters.find_place(request.url.path)
    title = "One moment" if place is None else chapters.CHAPTERS[place].title
    page = render_page("waiting", request, await load_catalogue(gateway), chapter=title)
    page.headers["cache-control"] = "no-store"
    return page


def routes(gateway: Gateway) -> list[GuardedRoute]:
    """The server answers with it requests for other pages."""

    async def show(request: Request) -> Response:
        if request.url.path == WAITING:
            raise NotFound(f"there is no {WAITING}")
        return await show_waiting(gateway, request)

    return [GuardedRoute(gateway, WAITING, show, Access.READ)]
