"""The list of endpoints, live, and as a file; and what the command palette finds."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.console.endpoint_card import make_cards
from tidegate.console.endpoint_list import EndpointList
from tidegate.console.identity import identify_reader, page_headers
from tidegate.console.list_export import write_csv
from tidegate.console.list_query import STATES, parse_query
from tidegate.console.operate_pages import LIVE, Handler, open_stream, render
from tidegate.console.page_context import PageContext
from tidegate.console.palette import read_entries
from tidegate.domain.access import Access
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE


def routes(context: PageContext) -> list[GuardedRoute]:
    """GET only: they change nothing."""
    gateway, streams, cards = context.gateway, context.streams, make_cards(context)
    listed = EndpointList(context)

    async def show_list(request: Request) -> Response:
        query = parse_query(request.query_params, listed.columns)
        shown = await listed.context(query)
        return render("endpoints", request, url=gateway.settings.url, states=STATES, **shown)

    async def stream_list(request: Request) -> Response:
        query = parse_query(request.query_params, listed.columns)
        view = f"?{query.address}" if query.address else ""
        return open_stream(gateway, streams, request, view, lambda: listed.snapshot(query))

    async def export_csv(request: Request) -> Response:
        rows = await listed.export(parse_query(request.query_params, listed.columns))
        return Response(
            write_csv(rows, listed.columns), media_type="text/csv", headers=_download(request, "endpoints.csv")
        )

    async def export_json(request: Request) -> Response:
        rows = await listed.export(parse_query(request.query_params, listed.columns))
        return JSONResponse({"endpoints": rows}, headers=_download(request, "endpoints.json"))

    async def find_entries(request: Request) -> Response:
        text, reader = request.query_params.get("q", ""), identify_reader(request)
        return JSONResponse(
            {"entries": await read_entries(gateway, cards, text, reader)}, headers=page_headers(request)
        )

    pages: dict[str, Handler] = {
        CONSOLE: show_list,
        LIVE: stream_list,
        f"{CONSOLE}/endpoints.csv": export_csv,
        f"{CONSOLE}/endpoints.json": export_json,
        f"{CONSOLE}/palette": find_entries,
    }
    return [GuardedRoute(gateway, path, handler, Access.READ) for path, handler in pages.items()]


def _download(request: Request, name: str) -> dict[str, str]:
    return {**page_headers(request), "content-disposition": f'attachment; filename="{name}"'}
