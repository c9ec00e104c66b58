"""The list of endpoints as each reader filters and sorts it, made once a second while somebody looks: metrics are
read of the endpoints that are shown, or that a measured column is sorted by, the points of a sparkline once they are
complete, and a row that did not change is not rendered again."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from markupsafe import Markup, escape

from tidegate.console import endpoint_rows
from tidegate.console.activity import SPAN, SPANS, RecentActivity, read_activity, read_rates, variants_of
from tidegate.console.endpoint_records import EndpointRecords, RecordReader
from tidegate.console.list_query import (
    FALLING,
    MEASURED,
    Columns,
    ListedFacts,
    ListedPage,
    ListQuery,
    count_shown,
    cut_page,
    matches,
    name_columns,
    next_order,
    sort_facts,
)
from tidegate.console.live_stream import Snapshot
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.domain.usage import Usage
from tidegate.host.features import features
from tidegate.ports.store import Unreadable
from tidegate.service.views import endpoint_view, unreadable_view

# --- the rows of the list of endpoints as files: CSV and JSON ---


COLUMNS = (
    *("name", "target", "state", "modes", "versions", "tags", "alarms", "requests_per_second", "p50_ms", "p99_ms"),
    *("errors", "instances_ready", "instances_desired"),
)
LAST = "last_rollout_ended"
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""How a cell begins that spreadsheets would compute; some read the wide forms of East Asian keyboards alike."""
_CONTROL = ("\t", "\r", "\n")


def name_fields(added: Columns) -> tuple[str, ...]:
    """``added``: columns of features."""
    return (*COLUMNS, *(one.exported for one in added), LAST)


def write_rows(found: Sequence[tuple[ListedFacts, Sequence[str]]], added: Columns = ()) -> list[dict[str, Any]]:
    """Each endpoint with the names of its alarms that are on; what is not known is None."""
    return [
        {
            "name": one.name,
            "target": one.target,
            "state": one.status,
            "modes": list(one.modes),
            "versions": list(one.versions),
            "tags": dict(one.tags),
            "alarms": list(ringing),
            "requests_per_second": one.rate,
            "p50_ms": one.p50_ms,
            "p99_ms": one.p99_ms,
            "errors": one.errors,
            "instances_ready": one.ready,
            "instances_desired": one.desired,
            **{column.exported: one.added.get(column.key) for column in added},
            LAST: one.last_ended,
        }
        for one, ringing in found
    ]


def write_csv(rows: Iterable[dict[str, Any]], added: Columns = ()) -> str:
    """With a line of headings. Cells are text that no spreadsheet computes."""
    text = io.StringIO()
    writer = csv.writer(text)
    fields = name_fields(added)
    writer.writerow(fields)
    for row in rows:
        writer.writerow([disarm_cell(_cell(row[column])) for column in fields])
    return text.getvalue()


def disarm_cell(cell: str) -> str:
    """The cell with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.startswith(_CONTROL) or cell.lstrip().startswith(_FORMULA) else cell


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return "; ".join(f"{key}={said}" for key, said in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


CELLS = ("state", "versions", "traffic", "latency", "errors", "instances", "last")
NUMBERS = frozenset({"latency", "errors", "instances"})
"""Columns of the core whose cells are numbers."""
NO_ACTIVITY = RecentActivity(0.0, None, None, None)
UNKNOWN_CELL = Markup('<span class="number">-</span>')
AGAIN = 3
"""Points of a sparkline that are read once more: some of what was counted comes late."""
HELD = 5
"""Seconds for which the order by a measured column stays: rows that change places each second cannot be read, and the
metrics of every endpoint are read for it."""
AROUND = ("shown", "hidden")
"""Parts that stand beside the table, so that they are announced as they change."""
MOST_NAMED = 5
"""Endpoints with an alarm that are named where the filter hides them."""


@dataclass(frozen=True)
class _Sparkline:
    """Request rates of an endpoint. ``point`` is the ``SPAN`` in which the last of the values ended."""

    variants: tuple[str, ...]
    point: int
    rates: tuple[float, ...]


@dataclass(frozen=True)
class _AddedCells:
    """Cells of one endpoint in the columns of features, by key, and the values that each column is sorted by."""

    point: int
    endpoint: Endpoint
    used: Usage
    cells: Mapping[str, Markup]
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class _DescribedEndpoint:
    """Part of an endpoint's row that needs no metrics: its status document, and what is derived from it. It is made
    of ``records`` and ``seen``; ``records`` is None if they cannot be read."""

    records: EndpointRecords | None
    seen: Observation | None
    document: Any
    brief: endpoint_rows.Row
    facts: ListedFacts


@dataclass
class _ListSnapshot:
    """State of all endpoints in one second. All readers share ``rows`` and ``activity``, which are made on demand."""

    second: int
    records: list[EndpointRecords]
    described: dict[str, _DescribedEndpoint]
    activity: dict[str, RecentActivity] = field(default_factory=dict)
    rows: dict[str, endpoint_rows.Row] = field(default_factory=dict)


@dataclass(frozen=True)
class _RowOrder:
    """Order of the list that is kept until ``until``. ``matching`` are the endpoints that it orders."""

    until: int
    matching: frozenset[str]
    names: tuple[str, ...]


def make_columns(context: PageContext) -> Columns:
    """Make the columns of the features that are on."""
    return [column for _, make in features().hooks("endpoint_columns") for column in make(context)]


class EndpointList:
    """List of endpoints that all readers of the page share."""

    def __init__(self, context: PageContext) -> None:
        self._gateway = gateway = context.gateway
        self.columns = make_columns(context)
        self._reader = RecordReader(gateway.context.store)
        self._now: _ListSnapshot | None = None
        self._orders: dict[ListQuery, _RowOrder] = {}
        self._sparklines: dict[str, _Sparkline] = {}
        self._added: dict[str, _AddedCells] = {}
        self._rendered: dict[str, tuple[endpoint_rows.Row, dict[str, str]]] = {}

    async def context(self, query: ListQuery) -> dict[str, Any]:
        """Return the context with which the page is rendered."""
        seen = await self._look()
        order = await self._sort(seen, query)
        listed = cut_page([one.facts for one in seen.described.values()], order, query)
        falling = FALLING | {one.key for one in self.columns if one.falling}
        numbers = NUMBERS | {one.key for one in self.columns if one.number}
        headings = [
            {
                "column": column,
                "title": title,
                "order": next_order(query, column, column in falling),
                "number": column in numbers,
                "sorted": ("descending" if query.falling else "ascending") if query.sort == column else "none",
            }
            for column, title in name_columns(self.columns).items()
        ]
        return {
            "rows": [await self._row(seen, name) for name in listed.names],
            "summary": endpoint_rows.summarise([one.brief for one in seen.described.values()]),
            "listed": listed,
            "shown": count_shown(listed),
            "hidden": [(name, seen.described[name].brief["ringing"]) for name in listed.hidden[:MOST_NAMED]],
            "more_hidden": max(0, len(listed.hidden) - MOST_NAMED),
            "headings": headings,
            "added": self.columns,
            "query": query,
            "links": _page_links(query, listed),
        }

    async def export(self, query: ListQuery) -> list[dict[str, Any]]:
        """Every endpoint that the filter lets through, of all pages, in order."""
        seen = await self._look()
        order = await self._sort(seen, query)
        found = [await self._measure(seen, name) for name in order]
        return write_rows([(one, seen.described[one.name].brief["ringing"]) for one in found], self.columns)

    async def snapshot(self, query: ListQuery) -> Snapshot:
        context = await self.context(query)
        cells: Any = TEMPLATES.get_template("endpoint_cells.html").module
        parts = {
            "summary": str(cells.summary(context["summary"])),
            "shown": str(cells.shown(context)),
            "hidden": str(cells.hidden(context)),
            "pages": str(cells.pages(context)),
        }
        for row in context["rows"]:
            parts |= self._render(cells, row)

        def render_whole() -> str:
            url = self._gateway.settings.url
            return TEMPLATES.get_template("endpoint_list.html").render(url=url, **context)

        # How many match and how many there are stands around the rows, too, such as where no row is shown.
        listed: ListedPage = context["listed"]
        layout = (*listed.names, f"{listed.matching} of {listed.total}")
        return Snapshot(parts, layout, render_whole, AROUND)

    def _render(self, cells: Any, row: endpoint_rows.Row) -> dict[str, str]:
        name: str = row["name"]
        before, made = self._rendered.get(name, (None, {}))
        if row != before:
            made = {f"{name}/{cell}": str(getattr(cells, cell)(row)) for cell in CELLS}
            made |= {f"{name}/{key}": str(escape(cell)) for key, cell in row["added"].items()}
            self._rendered[name] = row, made
        return made

    async def _look(self) -> _ListSnapshot:
        context = self._gateway.context
        second, records = int(context.clock.now().timestamp()), await self._reader.read()
        if self._now is not None and self._now.second == second and self._now.records is records:
            return self._now
        if self._now is None or self._now.records is not records:
            self._forget({one.endpoint.name for one in records})
        before = self._now.described if self._now else {}
        described = {
            one.endpoint.name: _describe(one, context.observed(one.endpoint.name), before) for one in records
        }
        described |= {one.name: _describe_unreadable(one) for one in self._reader.unreadable}
        self._now = _ListSnapshot(second, records, described)
        self._orders = {query: one for query, one in self._orders.items() if second < one.until <= second + HELD}
        return self._now

    def _forget(self, there: set[str]) -> None:
        """Drop what is cached of endpoints that are gone. ``there`` has the names of those that exist."""
        for kept in (self._sparklines, self._added, self._rendered):
            for name in kept.keys() - there:
                del kept[name]

    async def _sort(self, seen: _ListSnapshot, query: ListQuery) -> tuple[str, ...]:
        """Names of all that the filter lets through."""
        found = [one.facts for one in seen.described.values() if matches(query, one.facts)]
        if query.sort not in MEASURED and not any(one.key == query.sort for one in self.columns):
            return tuple(one.name for one in sort_facts(found, query))
        asked, matching = query.on_page(1), frozenset(one.name for one in found)
        held = self._orders.get(asked)
        if held is None or held.matching != matching:
            measured = [await self._measure(seen, one.name, query.sort not in MEASURED) for one in found]
            names = tuple(one.name for one in sort_facts(measured, query))
            held = self._orders[asked] = _RowOrder(seen.second + HELD, matching, names)
        return held.names

    async def _measure(self, seen: _ListSnapshot, name: str, added: bool = True) -> ListedFacts:
        """Return an endpoint's facts with its activity. ``added`` includes the values of the columns of features."""
        known = seen.described[name]
        if known.records is None:
            return known.facts
        activity = await self._read_activity(seen, name)
        facts = replace(
            known.facts,
            rate=activity.rate,
            p50_ms=activity.p50_ms,
            p99_ms=activity.p99_ms,
            errors=activity.errors,
        )
        return replace(facts, added=(await self._read_added(seen, name)).values) if added else facts

    async def _row(self, seen: _ListSnapshot, name: str) -> endpoint_rows.Row:
        known = seen.described[name]
        if known.records is None:
            now = self._gateway.context.clock.now()
            row = endpoint_rows.make_row(known.brief, known.document, NO_ACTIVITY, (), now)
            return {**row, "added": {one.key: UNKNOWN_CELL for one in self.columns}}
        if name not in seen.rows:
            activity = await self._read_activity(seen, name)
            sparkline = await self._read_sparkline(name, _variants(seen, name), seen.second)
            self._sparklines[name] = sparkline
            added, now = await self._read_added(seen, name), self._gateway.context.clock.now()
            row = endpoint_rows.make_row(known.brief, known.document, activity, sparkline.rates, now)
            seen.rows[name] = {**row, "added": added.cells}
        return seen.rows[name]

    async def _read_activity(self, seen: _ListSnapshot, name: str) -> RecentActivity:
        if name not in seen.activity:
            metrics = self._gateway.context.metrics
            seen.activity[name] = await read_activity(metrics, name, _variants(seen, name), seen.second)
        return seen.activity[name]

    async def _read_sparkline(self, name: str, variants: tuple[str, ...], second: int) -> _Sparkline:
        point, kept = second // SPAN, self._sparklines.get(name)
        if kept is None or kept.variants != variants or not 0 <= point - kept.point < SPANS - AGAIN:
            rates = await read_rates(self._gateway.context.metrics, name, variants, second)
            return _Sparkline(variants, point, tuple(rates))
        passed = point - kept.point
        if not passed:
            return kept
        latest = await read_rates(self._gateway.context.metrics, name, variants, second, passed + AGAIN)
        return _Sparkline(variants, point, (*kept.rates[passed:-AGAIN], *latest))

    async def _read_added(self, seen: _ListSnapshot, name: str) -> _AddedCells:
        one, point, kept = _records(seen, name), seen.second // SPAN, self._added.get(name)
        if kept is None or (kept.point, kept.endpoint, kept.used) != (point, one.endpoint, one.used):
            found = {column.key: await column.read(one.endpoint, one.used) for column in self.columns}
            cells = {key: cell for key, (_, cell) in found.items()}
            values = {key: value for key, (value, _) in found.items()}
            kept = self._added[name] = _AddedCells(point, one.endpoint, one.used, cells, values)
        return kept


def _variants(seen: _ListSnapshot, name: str) -> tuple[str, ...]:
    return tuple(variants_of(_records(seen, name).endpoint))


def _records(seen: _ListSnapshot, name: str) -> EndpointRecords:
    found = seen.described[name].records
    assert found is not None, "an endpoint that cannot be read has no variants"
    return found


def _describe(
    one: EndpointRecords, seen: Observation | None, before: Mapping[str, _DescribedEndpoint]
) -> _DescribedEndpoint:
    """The one of the second before where nothing is different since."""
    kept = before.get(one.endpoint.name)
    if kept is not None and (kept.records, kept.seen) == (one, seen):
        return kept
    document = endpoint_view(one.endpoint, seen, one.alarms)
    brief = endpoint_rows.make_brief(document)
    return _DescribedEndpoint(one, seen, document, brief, _make_facts(one, document, brief))


def _describe_unreadable(found: Unreadable) -> _DescribedEndpoint:
    document = unreadable_view(found)
    brief = endpoint_rows.make_brief(document)
    return _DescribedEndpoint(None, None, document, brief, _make_facts(None, document, brief))


def _make_facts(one: EndpointRecords | None, document: Any, brief: endpoint_rows.Row) -> ListedFacts:
    fleets, last = document["fleets"], document["last"]
    return ListedFacts(
        brief["name"],
        brief["target"],
        brief["status"],
        one.modes if one else (),
        one.tags if one else (),
        tuple(
            dict.fromkeys(fleet["config"] for fleet in fleets if fleet["config"] and fleet["side"] != "leaving")
        ),
        endpoint_rows.needs_attention(brief),
        endpoint_rows.is_changing(brief),
        sum(fleet["ready"] for fleet in fleets),
        sum(fleet["desired"] for fleet in fleets),
        last["ended_at"] if last else None,
    )


def _page_links(query: ListQuery, listed: ListedPage) -> list[tuple[str, str]]:
    """Title and address of the pages beside this one."""
    found = []
    if listed.page > 1:
        found.append(("Before", query.on_page(listed.page - 1).address))
    if listed.page < listed.pages:
        found.append(("After", query.on_page(listed.page + 1).address))
    return found
