"""The rows of all endpoints, made once a second while somebody looks: records are read again after a write alone, the
points of a sparkline once they are complete, and a row that did not change is not rendered again."""

from dataclasses import dataclass
from typing import Any

from tidegate.console import endpoint_rows
from tidegate.console.activity import SPAN, SPANS, Activity, read_activity, read_rates, variants_of
from tidegate.console.cost_reader import CostReader
from tidegate.console.endpoint_cost import cost_cell, cost_view
from tidegate.console.live_stream import Snapshot
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.usage import Usage
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.store import Tx, Unreadable
from tidegate.service import usage
from tidegate.service.alarms import find_all
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.views import alarms_of, endpoint_view, named_alarms, unreadable_view

CELLS = ("state", "versions", "traffic", "latency", "errors", "instances", "cost", "last")
NO_ACTIVITY = Activity(0.0, None, None, None)
NO_COST = {"dollars": "-", "stands_in": "", "since": ""}
FEW = 20
"""Alarms up to which each is read for itself."""
AGAIN = 3
"""Points of a sparkline that are read once more: some of what was counted comes late."""


@dataclass(frozen=True)
class EndpointRecords:
    """What the store has of an endpoint, for its row."""

    endpoint: Endpoint
    alarms: list[Alarm]
    used: Usage


@dataclass(frozen=True)
class Sparkline:
    """``point``: the ``SPAN`` in which the last of its values ended."""

    variants: tuple[str, ...]
    point: int
    rates: tuple[float, ...]


@dataclass(frozen=True)
class PricedUsage:
    point: int
    endpoint: Endpoint
    used: Usage
    cell: dict[str, str]


class EndpointList:
    """Of all readers together."""

    def __init__(self, gateway: Gateway, costs: CostReader) -> None:
        self._gateway = gateway
        self._costs = costs
        self._written: int | None = None
        """Line of the journal up to which ``_records`` are; None: they were not read yet."""
        self._records: list[EndpointRecords] = []
        self._unreadable: tuple[Unreadable, ...] = ()
        self._sparklines: dict[str, Sparkline] = {}
        self._priced: dict[str, PricedUsage] = {}
        self._rendered: dict[str, tuple[endpoint_rows.Row, dict[str, str]]] = {}

    async def context(self) -> dict[str, Any]:
        rows = await self._rows()
        return {"rows": rows, "summary": endpoint_rows.summarise(rows)}

    async def snapshot(self) -> Snapshot:
        context = await self.context()
        cells: Any = TEMPLATES.get_template("endpoint_cells.html").module
        before, self._rendered = self._rendered, {}
        parts = {"summary": str(cells.summary(context["summary"]))}
        for row in context["rows"]:
            name: str = row["name"]
            row_before, made = before.get(name, (None, {}))
            if row != row_before:
                made = {f"{name}/{cell}": str(getattr(cells, cell)(row)) for cell in CELLS}
            self._rendered[name] = row, made
            parts |= made

        def render_whole() -> str:
            url = self._gateway.settings.url
            return TEMPLATES.get_template("endpoint_list.html").render(url=url, **context)

        return Snapshot(parts, tuple(row["name"] for row in context["rows"]), render_whole)

    async def _rows(self) -> list[endpoint_rows.Row]:
        context = self._gateway.context
        now = context.clock.now()
        second = int(now.timestamp())
        records = await self._read_records()
        rows, sparklines, priced = [], dict[str, Sparkline](), dict[str, PricedUsage]()
        for one in records:
            endpoint, name = one.endpoint, one.endpoint.name
            variants = tuple(variants_of(endpoint))
            activity = await read_activity(context.metrics, name, variants, second)
            sparklines[name] = await self._read_sparkline(name, variants, second)
            priced[name] = await self._price(one, second)
            document = endpoint_view(endpoint, context.observed(name), one.alarms)
            row = endpoint_rows.make_row(document, activity, sparklines[name].rates, now)
            rows.append({**row, "cost": priced[name].cell})
        for unknown in self._unreadable:
            row = endpoint_rows.make_row(unreadable_view(unknown), NO_ACTIVITY, (), now)
            rows.append({**row, "cost": NO_COST})
        self._sparklines, self._priced = sparklines, priced
        return endpoint_rows.sort_by_need(rows)

    async def _read_records(self) -> list[EndpointRecords]:
        known = self._written

        def work(tx: Tx) -> tuple[int, list[EndpointRecords] | None, tuple[Unreadable, ...]]:
            latest = tx.journal(limit=1, newest_first=True, bodies=False)
            written = latest[0].seq if latest else 0
            if written == known:
                return written, None, ()
            return written, _read_all(tx), tx.find(ENDPOINT).unreadable

        written, found, unreadable = await self._gateway.context.store.run(work)
        if found is None:
            return self._records
        self._written, self._records, self._unreadable = written, found, unreadable
        return found

    async def _read_sparkline(self, name: str, variants: tuple[str, ...], second: int) -> Sparkline:
        point, kept = second // SPAN, self._sparklines.get(name)
        if kept is None or kept.variants != variants or not 0 <= point - kept.point < SPANS - AGAIN:
            rates = await read_rates(self._gateway.context.metrics, name, variants, second)
            return Sparkline(variants, point, tuple(rates))
        passed = point - kept.point
        if not passed:
            return kept
        latest = await read_rates(self._gateway.context.metrics, name, variants, second, passed + AGAIN)
        return Sparkline(variants, point, (*kept.rates[passed:-AGAIN], *latest))

    async def _price(self, one: EndpointRecords, second: int) -> PricedUsage:
        point, kept = second // SPAN, self._priced.get(one.endpoint.name)
        if kept is not None and (kept.point, kept.endpoint, kept.used) == (point, one.endpoint, one.used):
            return kept
        cost = cost_view(await self._costs.price(one.endpoint, one.used))
        return PricedUsage(point, one.endpoint, one.used, cost_cell(cost))


def _read_all(tx: Tx) -> list[EndpointRecords]:
    found = usage.read_all(tx)
    names = {name for saved, _ in found for name in named_alarms(saved.body)}
    if len(names) <= FEW:
        return [EndpointRecords(saved.body, alarms_of(tx, saved.body), used) for saved, used in found]
    alarms = {alarm.name: alarm for alarm in find_all(tx) if alarm.name in names}
    return [
        EndpointRecords(saved.body, [alarms[name] for name in named_alarms(saved.body) if name in alarms], used)
        for saved, used in found
    ]
