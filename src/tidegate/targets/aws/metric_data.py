"""GetMetricData of CloudWatch: sums and percentiles by the minute or another period."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tidegate.domain.errors import Transient
from tidegate.targets.aws.calls import Calls

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


async def read_points(
    calls: Calls, queries: Iterable[MetricQuery], since: int, until: int, period: int
) -> dict[MetricQuery, dict[int, float]]:
    """Values by the epoch second at which their period begins. ``period``: its seconds; ``since`` and ``until``
    (exclusive) are bounds of periods. A period without data has no value. Raises Transient where CloudWatch says that
    it could not read a line: what is missing then is not known to be nothing."""
    asked = list(dict.fromkeys(queries))
    found: dict[MetricQuery, dict[int, float]] = {query: {} for query in asked}
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
            for line in page.get("MetricDataResults", ()):
                if line.get("StatusCode", "Complete") not in _READ:
                    told = "; ".join(str(one.get("Value", "")) for one in line.get("Messages", ()))
                    query = part[line["Id"]]
                    raise Transient(
                        f"CloudWatch could not read {query.metric}: {line['StatusCode']} {told}".strip()
                    )
                values = found[part[line["Id"]]]
                for moment, value in zip(line.get("Timestamps", ()), line.get("Values", ()), strict=True):
                    values[int(moment.timestamp()) // period * period] = float(value)
            if not page.get("NextToken"):
                _check_whole(page)
                break
            token = {"NextToken": page["NextToken"]}
    return found


def _check_whole(page: Mapping[str, Any]) -> None:
    """Raises Transient for a last page that is not the last."""
    if any(line.get("StatusCode") == "PartialData" for line in page.get("MetricDataResults", ())):
        raise Transient("CloudWatch gave a part of its data only; it is asked again")


def _line(id: str, query: MetricQuery, period: int) -> dict[str, object]:
    metric = {
        "Namespace": query.namespace,
        "MetricName": query.metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in query.dimensions],
    }
    return {"Id": id, "MetricStat": {"Metric": metric, "Period": period, "Stat": query.statistic}}
