"""GetMetricData of CloudWatch: sums and percentiles by the minute or another period."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tidegate.domain.errors import Transient
from tidegate.targets.aws.client import Calls

MOST_QUERIES = 500
"""Of one call (CloudWatch's limit)."""
_READ = ("Complete", "PartialData")
"""Partial data is followed by the rest on the next page."""


@dataclass(frozen=True)
class MetricQuery:
    """One line; equal lines are asked once."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str


@dataclass(frozen=True)
class MetricPoints:
    """``values``: by query, and by the epoch second at which their period begins; a period without data has none.
    ``unread``: the queries that CloudWatch could not read, and why: what is missing there is not known to be
    nothing."""

    values: dict[MetricQuery, dict[int, float]]
    unread: dict[MetricQuery, str]

    def find_trouble(self, queries: Iterable[MetricQuery]) -> str | None:
        """Why not all of these could be read."""
        return next((self.unread[query] for query in queries if query in self.unread), None)


def find_unread(points: MetricPoints, queries: Iterable[tuple[str, Iterable[MetricQuery]]]) -> dict[str, str]:
    """Why an endpoint could not be read as a whole. ``queries``: of each endpoint, also in several parts. Raises
    Transient if that is true of every endpoint."""
    asked = [(endpoint, points.find_trouble(mine)) for endpoint, mine in queries]
    unread = {endpoint: why for endpoint, why in asked if why is not None}
    if unread and unread.keys() == {endpoint for endpoint, _ in asked}:
        raise Transient(next(iter(unread.values())))
    return unread


async def read_points(
    calls: Calls, queries: Iterable[MetricQuery], since: int, until: int, period: int
) -> MetricPoints:
    """``period``: its seconds; ``since`` and ``until`` (exclusive) are bounds of periods. Raises Transient or
    TargetRefused where CloudWatch cannot be asked."""
    asked = list(dict.fromkeys(queries))
    found: dict[MetricQuery, dict[int, float]] = {query: {} for query in asked}
    unread: dict[MetricQuery, str] = {}
    for at in range(0, len(asked), MOST_QUERIES):
        part = {f"m{number}": query for number, query in enumerate(asked[at : at + MOST_QUERIES])}
        members: dict[str, object] = {
            "MetricDataQueries": [_line(id, query, period) for id, query in part.items()],
            "StartTime": datetime.fromtimestamp(since, UTC),
            "EndTime": datetime.fromtimestamp(until, UTC),
            "ScanBy": "TimestampAscending",
        }
        token: Mapping[str, object] = {}
        while True:
            page = await calls.call("cloudwatch", "GetMetricData", {**members, **token})
            more = bool(page.get("NextToken"))
            for line in page.get("MetricDataResults", ()):
                query, values = part[line["Id"]], found[part[line["Id"]]]
                if (trouble := _trouble(line, more)) is not None:
                    unread[query] = f"CloudWatch could not read {query.metric}: {trouble}"
                for moment, value in zip(line.get("Timestamps", ()), line.get("Values", ()), strict=True):
                    values[int(moment.timestamp()) // period * period] = float(value)
            if not more:
                break
            token = {"NextToken": page["NextToken"]}
    return MetricPoints(found, unread)


def _trouble(line: Mapping[str, Any], more: bool) -> str | None:
    """Why a line is not whole. ``more``: there is another page."""
    state = line.get("StatusCode", "Complete")
    if state == "PartialData" and not more:
        return "it gave a part of its data only"
    if state in _READ:
        return None
    return f"{state} {'; '.join(str(one.get('Value', '')) for one in line.get('Messages', ()))}".strip()


def _line(id: str, query: MetricQuery, period: int) -> dict[str, object]:
    metric = {
        "Namespace": query.namespace,
        "MetricName": query.metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in query.dimensions],
    }
    return {"Id": id, "MetricStat": {"Metric": metric, "Period": period, "Stat": query.statistic}}
