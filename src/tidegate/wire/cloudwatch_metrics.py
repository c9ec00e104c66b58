"""CloudWatch's operations on metrics."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from tidegate.evidence import metric_math
from tidegate.evidence.alarms import INTERVALS
from tidegate.evidence.datapoint import STATISTICS, Datapoint, check_percentile
from tidegate.evidence.finite import LARGEST
from tidegate.model.errors import Invalid
from tidegate.model.metric import MetricId, Query
from tidegate.service import metrics as use
from tidegate.wire.cloudwatch_members import (
    bad_combination,
    dimension_members,
    dimensions,
    metric,
    missing,
    place,
    token,
)
from tidegate.wire.metric_queries import common_period, query
from tidegate.wire.operation import Call, Free, Params, Rows

MOST_DATA = 1000
MOST_VALUES = 150
MOST_POINTS = 1440
MOST_QUERIES = 500
PAGE_OF_POINTS = 100_800
PAGE_OF_METRICS = 500
RECENT = timedelta(hours=3)


async def put_metric_data(call: Call, params: Params) -> None:
    namespace, data = params["Namespace"], params.get("MetricData") or []
    if params.get("EntityMetricData"):
        raise Invalid("EntityMetricData is not supported; put the metrics into MetricData")
    if not data:
        missing("The parameter MetricData is required.")
    if len(data) > MOST_DATA:
        raise Invalid(f"MetricData has {len(data)} metrics; at most {MOST_DATA} fit in one call")
    read = [_datum(namespace, datum, f"MetricData.member.{n}", call.now) for n, datum in enumerate(data, 1)]
    await use.put(call.ctx.metrics, read, call.now)


async def get_metric_statistics(call: Call, params: Params) -> Params:
    simple, extended = params.get("Statistics") or [], params.get("ExtendedStatistics") or []
    if not simple and not extended:
        missing("Statistics or ExtendedStatistics must be given.")
    if simple and extended:
        bad_combination("Statistics and ExtendedStatistics cannot be given together; make two calls.")
    for name in extended:
        check_percentile(name)
    period = _period(params["StartTime"], params["EndTime"], params["Period"])
    if period.points > MOST_POINTS:
        bad_combination(
            f"You have requested up to {period.points:,} datapoints, which exceeds the limit of {MOST_POINTS:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    series, names = metric(params), [*simple, *extended]
    rows = await use.points(call.ctx.metrics, series, period, names, params.get("Unit"))
    return {"Label": series.name, "Datapoints": [_point(sample.unit, found) for sample, found in rows]}


async def get_metric_data(call: Call, params: Params) -> Params:
    lines = params["MetricDataQueries"]
    queries = _queries(lines)
    newest_first = params.get("ScanBy") != "TimestampAscending"
    left = params.get("MaxDatapoints", PAGE_OF_POINTS)
    if not 1 <= left <= PAGE_OF_POINTS:
        raise Invalid(f"MaxDatapoints {left} is not between 1 and {PAGE_OF_POINTS}")
    skip = place(params, int) or 0
    start, end = params["StartTime"], params["EndTime"]
    periods = {line["Id"]: _period(start, end, line["MetricStat"]["Period"]) for line in lines if _is_stat(line)}
    made = {} if all(map(_is_stat, lines)) else await _reckoned(call, lines, queries, start, end)
    done, results, more = skip, [], False
    for one in queries:
        if not one.returned:
            continue
        found = made[one.id] if one.metric is None else await _points(call, one, periods[one.id])
        if newest_first:
            found.reverse()
        shown = found[skip : skip + left]
        if skip == 0 or skip < len(found):
            cut = skip + len(shown) < len(found)
            results.append(_result(one, shown, "PartialData" if cut else "Complete"))
            more = more or cut
        skip, left, done = max(0, skip - len(found)), left - len(shown), done + len(shown)
    return {"MetricDataResults": results, "NextToken": token(done) if more else None}


async def list_metrics(call: Call, params: Params) -> Params:
    if params.get("IncludeLinkedAccounts") or params.get("OwningAccount") is not None:
        raise Invalid("other accounts are not supported; leave IncludeLinkedAccounts and OwningAccount out")
    since = call.now - (RECENT if params.get("RecentlyActive") else use.OLDEST)
    wanted = [(pair["Name"], pair.get("Value")) for pair in params.get("Dimensions") or []]
    found = await use.series(call.ctx.metrics, params.get("Namespace"), params.get("MetricName"), wanted, since)
    last = place(params, list)
    if last is not None:
        found = [one for one in found if [one.namespace, one.name, [list(d) for d in one.dimensions]] > last]
    page = found[:PAGE_OF_METRICS]
    more = len(found) > len(page)
    return {
        "Metrics": [_series(one) for one in page],
        "NextToken": token([page[-1].namespace, page[-1].name, page[-1].dimensions]) if more else None,
    }


def _datum(namespace: str, datum: Params, where: str, now: datetime) -> use.Datum:
    given = [m for m in ("Value", "StatisticValues", "Values") if datum.get(m) is not None]
    if not given:
        missing(f"{where}: one of Value, Values and StatisticValues is required.")
    if len(given) > 1:
        bad_combination(f"{where}: {' and '.join(given)} cannot be given together.")
    if datum.get("Counts") is not None and given != ["Values"]:
        bad_combination(f"{where}: Counts belongs to Values.")
    resolution = datum.get("StorageResolution") or 60
    if resolution not in (1, 60):
        raise Invalid(f"{where}.StorageResolution: {resolution} is neither 1 nor 60.")
    series, at = MetricId.of(namespace, datum["MetricName"], dimensions(datum)), datum.get("Timestamp") or now
    return use.Datum(series, at, _values(datum, where), datum.get("Unit") or "None", resolution)


def _values(datum: Params, where: str) -> dict[float, float] | use.Summary:
    if datum.get("StatisticValues") is not None:
        whole = datum["StatisticValues"]
        for member in ("SampleCount", "Sum", "Minimum", "Maximum"):
            _number(whole[member], f"{where}.StatisticValues.{member}")
        return use.Summary(whole["SampleCount"], whole["Sum"], whole["Minimum"], whole["Maximum"])
    values = datum["Values"] if datum.get("Values") is not None else [datum["Value"]]
    counts = datum["Counts"] if datum.get("Counts") is not None else [1.0] * len(values)
    if not 1 <= len(values) <= MOST_VALUES:
        raise Invalid(f"{where}.Values: {len(values)} values; between 1 and {MOST_VALUES} are allowed.")
    if len(counts) != len(values):
        raise Invalid(f"{where}: {len(values)} Values and {len(counts)} Counts; there must be as many of both.")
    found: dict[float, float] = {}
    for value, count in zip(values, counts, strict=True):
        _number(value, f"{where}.Values")
        if not _number(count, f"{where}.Counts") > 0:
            raise Invalid(f"{where}.Counts: {count} is not above 0.")
        found[value] = found.get(value, 0.0) + count
    return found


def _number(value: float, where: str) -> float:
    if math.isnan(value) or not abs(value) <= LARGEST:
        raise Invalid(f"{where}: {value} is not a number between -2^360 and 2^360.")
    return value


def _period(start: datetime, end: datetime, seconds: int) -> use.Period:
    if start >= end:
        raise Invalid("The parameter StartTime must be less than the parameter EndTime.")
    if seconds not in INTERVALS and (seconds < 60 or seconds % 60):
        raise Invalid(f"Period {seconds} is not 1, 5, 10, 20, 30 or a multiple of 60.")
    return use.Period.of(start, end, seconds)


def _queries(lines: list[Params]) -> list[Query]:
    if not 1 <= len(lines) <= MOST_QUERIES:
        raise Invalid(f"MetricDataQueries has {len(lines)} entries; between 1 and {MOST_QUERIES} are allowed")
    queries = [query(line) for line in lines]
    metric_math.check(queries)
    return queries


def _is_stat(line: Params) -> bool:
    return line.get("MetricStat") is not None


async def _points(call: Call, one: Query, period: use.Period) -> list[Datapoint]:
    assert one.metric is not None
    rows = await use.points(call.ctx.metrics, one.metric, period, [one.statistic], one.unit)
    return [found[one.statistic] for _, found in rows]


async def _reckoned(
    call: Call, lines: list[Params], queries: list[Query], start: datetime, end: datetime
) -> dict[str, list[Datapoint]]:
    """The points of every line, where expressions are among them."""
    period = _period(start, end, common_period(lines))
    spans = range(period.start, period.end, period.seconds)
    most = metric_math.MOST_ASKED
    if (steps := metric_math.size(queries) * len(spans)) > most:
        raise Invalid(f"the expressions take {steps:,} steps; at most {most:,} may be: ask for less time")
    read = {}
    for one in queries:
        if one.metric is not None:
            values = {point.at: point.value for point in await _points(call, one, period)}
            read[one.id] = [values.get(at) for at in spans]
    found = metric_math.evaluate(queries, read, len(spans))
    return {
        id: [Datapoint(at, value) for at, value in zip(spans, values, strict=True) if value is not None]
        for id, values in found.items()
    }


def _result(one: Query, found: list[Datapoint], status: str) -> Params:
    return {
        "Id": one.id,
        "Label": one.label or (one.metric.name if one.metric is not None else one.id),
        "Timestamps": [datetime.fromtimestamp(point.at, UTC) for point in found],
        "Values": [point.value for point in found],
        "StatusCode": status,
    }


def _point(unit: str, found: dict[str, Datapoint]) -> Params:
    at = next(iter(found.values())).at
    members: dict[str, Any] = {"Timestamp": datetime.fromtimestamp(at, UTC), "Unit": unit}
    members |= {name: point.value for name, point in found.items() if name in STATISTICS}
    extended = {name: point.value for name, point in found.items() if name not in STATISTICS}
    return members | ({"ExtendedStatistics": extended} if extended else {})


def _series(one: MetricId) -> Params:
    return {
        "Namespace": one.namespace,
        "MetricName": one.name,
        "Dimensions": dimension_members(dict(one.dimensions)),
    }


ROWS: Rows = {
    "PutMetricData": Free(put_metric_data),
    "GetMetricStatistics": Free(get_metric_statistics),
    "GetMetricData": Free(get_metric_data),
    "ListMetrics": Free(list_metrics),
}
