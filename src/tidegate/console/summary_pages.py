"""The summary: what to take along, and the endpoints of this server, each with a card to print."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console import endpoint_page, summary_card, version_diff
from tidegate.console.endpoint_card import make_cards
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import load_catalogue, render_page
from tidegate.domain.access import Access
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.history import History
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.ports.store import Filter, Tx
from tidegate.rollout.status import status
from tidegate.service import endpoints, history
from tidegate.service.record_kinds import ENDPOINT

MOST_LISTED = 500


def routes(context: PageContext) -> list[GuardedRoute]:
    """GET only."""
    gateway, cards = context.gateway, make_cards(context)

    async def show_card(request: Request) -> Response:
        name = parse_endpoint_name(request)
        page = await endpoint_page.read_page(gateway, cards, name, may_operate=False)

        def work(tx: Tx) -> tuple[Endpoint, History]:
            return endpoints.get_endpoint(tx, name).body, history.read(tx, name)

        endpoint, past = await gateway.context.store.read(work)
        catalogue, now = await load_catalogue(gateway), gateway.context.clock.now()
        card = summary_card.make_card(endpoint, page)
        rows = version_diff.history_rows(past)
        shown: dict[str, Any] = {
            "sections": await endpoint_page.read_printed(gateway, page, endpoint),
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
