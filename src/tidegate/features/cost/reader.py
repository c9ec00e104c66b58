"""Reads what endpoints have used, and prices it: for pages, and as JSON."""

from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.console.rendering import REGION, load_catalogue
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.metric import SAGEMAKER
from tidegate.domain.usage import Usage, seconds_until
from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.endpoint_cost import HOUR, EndpointUsage, price
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.rollout import desired_state
from tidegate.service import usage

DAY = 86_400
MINUTE = 60
SERVERLESS_DAYS = 92
"""As far back as the requests of serverless endpoints are added up: further back there are too many minutes to read
while somebody waits."""
KEPT = 300
"""Seconds for which prices, and what a serverless endpoint has used, are not read again."""


class CostReader:
    """The reader of costs that all pages share."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._tariff: tuple[int, Tariff] | None = None
        self._billed: dict[tuple[str, datetime], tuple[int, float]] = {}

    async def read(self, name: str) -> dict[str, Any]:
        """Return the cost so far as a JSON document. Raises NotFound."""
        endpoint, used = await self._gateway.context.store.read(lambda tx: usage.read(tx, name))
        return await self.price(endpoint, used)

    async def price(self, endpoint: Endpoint, used: Usage) -> dict[str, Any]:
        now = self._gateway.context.clock.now()
        hours = {kind: seconds / HOUR for kind, seconds in seconds_until(used, now).items()}
        seconds, began = None, None
        if _is_serverless(endpoint):
            began = max(endpoint.created_at, now - timedelta(days=SERVERLESS_DAYS))
            seconds = await self._read_billed(endpoint, began, now)
        tariff = await self._prices(int(now.timestamp()))
        return price(EndpointUsage(endpoint.created_at, used.since, now, hours, seconds, began), tariff)

    async def _prices(self, second: int) -> Tariff:
        if self._tariff is None or not 0 <= second - self._tariff[0] < KEPT:
            self._tariff = second, Tariff(await load_catalogue(self._gateway), REGION)
        return self._tariff[1]

    async def _read_billed(self, endpoint: Endpoint, began: datetime, now: datetime) -> float:
        """Return the GB-seconds of all variants that the endpoint has had."""
        second, key = int(now.timestamp()), (endpoint.name, endpoint.created_at)
        kept = self._billed.get(key)
        if kept is not None and 0 <= second - kept[0] < KEPT:
            return kept[1]
        metrics, total = self._gateway.context.metrics, 0.0
        start = int(began.timestamp()) // MINUTE * MINUTE
        wanted = [("EndpointName", endpoint.name)]
        for one in await metrics.series(SAGEMAKER, "BilledGBSeconds", wanted, start):
            if {name for name, _ in one.dimensions} == {"EndpointName", "VariantName"}:
                found = await metrics.read(one, start, second + MINUTE, DAY)
                total += sum(sample.total for sample in found.values())
        self._billed = {old: each for old, each in self._billed.items() if second - each[0] < KEPT}
        self._billed[key] = second, total
        return total


def _is_serverless(endpoint: Endpoint) -> bool:
    return any(spec.variant.serverless is not None for spec in desired_state.fleets(endpoint).values())


async def show_cost(gateway: Gateway, request: Request) -> Response:
    """Show what an endpoint has cost so far."""
    name = parse_endpoint_name(request)
    return JSONResponse({"endpoint": name, **await CostReader(gateway).read(name)})
