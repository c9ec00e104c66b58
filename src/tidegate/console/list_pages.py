"""The list of endpoints, live, and as a file; and what the command palette finds."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.console.endpoint_list import EndpointList
from tidegate.console.identity import identify_reader, page_headers
from tidegate.console.list_export import write_csv
from tidegate.console.list_query import STATES, parse_query
from tidegate.console.live_stream import LiveStreams
from tidegate.console.operate_pages import LIVE, Handler, open_stream, render
from tidegate.console.palette import read_entries
from tidegate.domain.access import Access
from tidegate.features.cost.reader import CostReader
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE


def routes(gateway: Gateway, streams: LiveStreams) -> list[GuardedRoute]:
    """GET only: they change nothing. ``streams``: of all live pages together."""
    listed = EndpointList(gateway, CostReader(gateway))

    async def show_list(request: Request) -> Response:
        query = parse_query(request.query_params)
        context = await listed.context(query)
        return render("endpoints", request, url=gateway.settings.url, states=STATES, **context)

    async def stream_list(request: Request) -> Response:
        query = parse_query(request.query_params)
        view = f"?{query.address}" if query.address else ""
        return open_stream(gateway, streams, request, view, lambda: listed.snapshot(query))

    async def export_csv(request: Request) -> Response:
        rows = await listed.export(parse_query(request.query_params))
        return Response(write_csv(rows), media_type="text/csv", headers=_download(request, "endpoints.csv"))

    async def export_json(request: Request) -> Response:
        rows = await listed.export(parse_query(request.query_params))
        return JSONResponse({"endpoints": rows}, headers=_download(request, "endpoints.json"))

    async def find_entries(request: Request) -> Response:
        text, reader = request.query_params.get("q", ""), identify_reader(request)
        return JSONResponse({"entries": await read_entries(gateway, text, reader)}, headers=page_headers(request))

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
