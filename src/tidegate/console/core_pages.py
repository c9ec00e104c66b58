"""Routes of the core's pages: what a browser asks for first (the endpoints, and the files of all pages), and the
others."""

from tidegate.console import chat_page, list_pages, operate_pages, static_files, summary_pages, waiting_page
from tidegate.console.page_context import PageContext
from tidegate.gateway.guarded_routes import GuardedRoute


def first_routes(context: PageContext) -> list[GuardedRoute]:
    gateway = context.gateway
    return [
        *static_files.routes(gateway),
        *waiting_page.routes(gateway),
        *list_pages.routes(context),
        *operate_pages.routes(context),
    ]


def further_routes(context: PageContext) -> list[GuardedRoute]:
    return [*chat_page.routes(context.gateway), *summary_pages.routes(context)]
