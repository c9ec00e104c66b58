"""Routes of what is looked at first: the login, the endpoints, and the files of all pages. They are imported without
the planner and all that computes, so that the first page of a server is there at once."""

from tidegate.console import list_pages, login_pages, operate_pages, static_files, waiting_page
from tidegate.console.live_stream import LiveStreams
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute


def first_routes(gateway: Gateway, streams: LiveStreams) -> list[GuardedRoute]:
    return [
        *static_files.routes(gateway),
        *waiting_page.routes(gateway),
        *login_pages.routes(gateway),
        *list_pages.routes(gateway, streams),
        *operate_pages.routes(gateway, streams),
    ]
