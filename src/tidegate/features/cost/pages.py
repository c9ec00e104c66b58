"""The cost of an endpoint on its page, and as a column of the list of endpoints; and the page of compute and cost."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.endpoint_card import CardPlace, CardReader, EndpointCard
from tidegate.console.list_query import ListColumn
from tidegate.console.page_context import PageContext
from tidegate.console.page_process import PageWork
from tidegate.console.rendering import REGION, TEMPLATES, load_catalogue, render_page
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.domain.usage import Usage
from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.compute_page import compute
from tidegate.features.cost.endpoint_cost import cost_cell, cost_view, estimate_month
from tidegate.features.cost.reader import CostReader
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import CONSOLE
from tidegate.ports.store import Tx
from tidegate.service import usage


def _share_reader(context: PageContext) -> CostReader:
    """Return the one reader that all pages share."""
    return context.share("costs", lambda: CostReader(context.gateway))


class _CostCard(EndpointCard):
    """The card with the cost of an endpoint up to the moment at which the page was requested."""

    name = "cost"
    title = "Cost so far"
    place = CardPlace.SIDE
    printed_title = "Cost"
    live = False
    document = "cost"

    def __init__(self, costs: CostReader) -> None:
        self._costs = costs

    def find(self, tx: Tx, endpoint: Endpoint, seen: Observation | None) -> Usage:
        return usage.read(tx, endpoint.name)[1]

    async def read(self, gateway: Gateway, found: Usage, reader: CardReader) -> Mapping[str, Any] | None:
        return cost_view(await self._costs.price(reader.endpoint, found))

    async def read_print(
        self, gateway: Gateway, shown: Mapping[str, Any] | None, reader: CardReader
    ) -> Mapping[str, Any] | None:
        endpoint = reader.endpoint
        version = endpoint.serving or (endpoint.rollout.new if endpoint.rollout else None)
        if version is None:
            return {"month": None}
        tariff = Tariff(await load_catalogue(gateway), REGION)
        return {**(shown or {}), "month": await asyncio.to_thread(estimate_month, version, tariff)}


class _CostColumn(ListColumn):
    key = "cost"
    title = "Cost so far"
    measured = True
    falling = True
    number = True
    exported = "cost_dollars"
    about = (
        "Cost so far is instance hours at SageMaker's on-demand prices; “as if” means that no instance type was "
        "declared and a small one is assumed."
    )

    def __init__(self, costs: CostReader) -> None:
        self._costs = costs

    async def read(self, endpoint: Endpoint, used: Usage) -> tuple[float | None, Markup]:
        cost = await self._costs.price(endpoint, used)
        module: Any = TEMPLATES.get_template("cost_card.html").module
        return cost["dollars"], Markup(module.cell(cost_cell(cost_view(cost))))


def make_cards(context: PageContext) -> Sequence[EndpointCard]:
    return [_CostCard(_share_reader(context))]


def make_columns(context: PageContext) -> Sequence[ListColumn]:
    return [_CostColumn(_share_reader(context))]


def page_routes(context: PageContext) -> list[GuardedRoute]:
    return context.make_computed_routes({f"{CONSOLE}/compute": _show_compute})


def list_page_work() -> list[PageWork]:
    return [PageWork(compute, {})]


async def _show_compute(context: PageContext, request: Request) -> Response:
    catalogue = await load_catalogue(context.gateway)
    shown = await context.computed.work_out(request, compute, dict(request.query_params), catalogue)
    return render_page("compute", request, catalogue, **shown)
