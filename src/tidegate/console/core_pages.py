"""The core's pages: the list of endpoints with the palette, the files of all pages, chat, and the summary."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.console import curves, endpoint_page, operate_pages, summary_card, version_diff, waiting_page
from tidegate.console.endpoint_card import make_cards
from tidegate.console.endpoint_list import EndpointList, write_csv
from tidegate.console.identity import identify_reader, page_headers
from tidegate.console.list_query import STATES, parse_query
from tidegate.console.operate_pages import LIVE, Handler, open_stream, render
from tidegate.console.page_context import PageContext
from tidegate.console.palette import read_entries
from tidegate.console.rendering import load_catalogue, render_page
from tidegate.domain.access import Access
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import NotFound
from tidegate.gateway.browser_pages import HEADERS
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.host.features import features
from tidegate.ports.store import Filter, Tx
from tidegate.rollout.status import status
from tidegate.service import endpoints
from tidegate.service.record_kinds import ENDPOINT

# --- the summary: what to take along, and the endpoints of this server, each with a card to print ---


MOST_LISTED = 500


def summary_routes(context: PageContext) -> list[GuardedRoute]:
    """GET only."""
    gateway, cards = context.gateway, make_cards(context)

    async def show_card(request: Request) -> Response:
        name = parse_endpoint_name(request)
        page = await endpoint_page.read_page(gateway, cards, name, may_operate=False)
        endpoint, past = page["record"], page["past"]
        catalogue, now = await load_catalogue(gateway), gateway.context.clock.now()
        card = summary_card.make_card(endpoint, page)
        rows = version_diff.history_rows(past)
        shown: dict[str, Any] = {
            "sections": await endpoint_page.read_printed(gateway, page),
            "versions": rows[: summary_card.SHOWN_VERSIONS],
            "all_versions": len(rows),
        }
        many = endpoint_page.is_multi_model(endpoint)
        return render_page(
            "card", request, catalogue, many_models=many, card=card, printed=now.isoformat(), **shown
        )

    async def show_summary(request: Request) -> Response:
        found = await gateway.context.store.read(_list)
        return render_page("summary", request, await load_catalogue(gateway), rows=[_row(one) for one in found])

    return [
        GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/card", show_card, Access.READ),
        GuardedRoute(gateway, f"{CONSOLE}/summary", show_summary, Access.READ),
    ]


def _list(tx: Tx) -> list[Endpoint]:
    by_name = Filter(sort_by="name", descending=False)
    return [saved.body for saved in tx.find(ENDPOINT, by_name, MOST_LISTED).items]


def _row(endpoint: Endpoint) -> dict[str, Any]:
    deployment = endpoint.rollout.deployment if endpoint.rollout else endpoint.deployment
    return {
        "name": endpoint.name,
        "status": str(status(endpoint)[0]),
        "config": endpoint.serving.config_name if endpoint.serving else "-",
        "strategy": summary_card.describe_strategy(deployment),
        "alarms": len(deployment.alarms) if deployment else 0,
    }


# --- the list of endpoints, live, and as a file; and what the command palette finds ---


def list_routes(context: PageContext) -> list[GuardedRoute]:
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


def chat_routes(gateway: Gateway) -> list[GuardedRoute]:
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
        *list_routes(context),
        *operate_pages.routes(context),
    ]


def further_routes(context: PageContext) -> list[GuardedRoute]:
    return [*chat_routes(context.gateway), *curves.routes(context.gateway), *summary_routes(context)]
