"""CloudWatch's GetMetricData: statistics of metrics and expressions over them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import Query
from tidegate.monitoring import metric_math
from tidegate.monitoring.samples import STATISTICS, Datapoint, is_extended
from tidegate.service import metrics as use
from tidegate.wire.cloudwatch_members import (
    decode_token,
    encode_token,
    invalid_as_validation_error,
    make_period,
    truncate_to_second,
)
from tidegate.wire.metric_queries import parse_common_period, parse_query
from tidegate.wire.operation import AsyncOperation, OperationCall, Operations, Params

MAX_QUERIES = 500
MAX_DATAPOINTS = 100_800

UNIT_ORDER = (
    *("Megabits", "Terabits", "Gigabits", "Count", "Bytes", "Gigabytes", "Gigabytes/Second", "Kilobytes"),
    *(
        "Kilobits/Second",
        "Terabytes",
        "Terabits/Second",
        "Bytes/Second",
        "Percent",
        "Megabytes",
        "Megabits/Second",
    ),
    *("Milliseconds", "Microseconds", "Kilobytes/Second", "Gigabits/Second", "Megabytes/Second", "Bits"),
    *("Bits/Second", "Count/Second", "Seconds", "Kilobits", "Terabytes/Second", "None"),
)
"""Which unit CloudWatch answers with where a query names none and there are several: the first of them."""


@dataclass(frozen=True)
class _QueryResult:
    query: Query
    label: str
    points: list[Datapoint]
    units: tuple[str, ...] = ()
    """The units of the metric's values, if there are several; the points are of the first."""


async def get_metric_data(call: OperationCall, params: Params) -> Params:
    """Invalid queries raise CloudWatch's ValidationError."""
    with invalid_as_validation_error():
        queries, left = _parse_queries(params)
        streams = await _query_results(call, params["MetricDataQueries"], queries, params)
    skip = decode_token(params, int) or 0
    newest_first = params.get("ScanBy") != "TimestampAscending"
    done, results, more = skip, [], False
    for one in streams:
        found = one.points
        if newest_first:
            found.reverse()
        shown = found[skip : skip + left]
        if skip == 0 or skip < len(found):
            cut = skip + len(shown) < len(found)
            results.append(_render_result(one, shown, "PartialData" if cut else "Complete"))
            more = more or cut
        skip, left, done = max(0, skip - len(found)), left - len(shown), done + len(shown)
    return {"MetricDataResults": results, "NextToken": encode_token(done) if more else None}


def _parse_queries(params: Params) -> tuple[list[Query], int]:
    lines, left = params["MetricDataQueries"], params.get("MaxDatapoints", MAX_DATAPOINTS)
    if not 1 <= left <= MAX_DATAPOINTS:
        raise Invalid(f"MaxDatapoints {left} is not between 1 and {MAX_DATAPOINTS}")
    start, end = truncate_to_second(params["StartTime"]), truncate_to_second(params["EndTime"])
    if start > end:
        raise Invalid("The parameter EndTime must be greater than StartTime.")
    if start == end:
        raise Invalid("The parameter StartTime must not equal parameter EndTime.")
    if not 1 <= len(lines) <= MAX_QUERIES:
        raise Invalid(f"MetricDataQueries has {len(lines)} entries; between 1 and {MAX_QUERIES} are allowed")
    if said := "\n".join(_query_errors(lines)):
        raise Invalid(said)
    queries = [parse_query(line) for line in lines]
    metric_math.check(queries)
    return queries, left


def _query_errors(lines: list[Params]) -> Iterable[str]:
    """All errors in single queries, worded as AWS does."""
    for number, line in enumerate(lines, 1):
        where, stat = f"MetricDataQueries.member.{number}", line.get("MetricStat")
        if stat is None and line.get("Expression") is None:
            yield f"The parameter {where}.MetricStat is required.\n"
        if stat is not None and stat["Stat"] not in STATISTICS and not is_extended(stat["Stat"]):
            yield f"The value {stat['Stat']} for parameter {where}.MetricStat.Stat is not a valid statistic."


async def _query_results(
    call: OperationCall, lines: list[Params], queries: list[Query], params: Params
) -> list[_QueryResult]:
    """One result for each query, in their order. Of a metric with several units a query without one has the values of
    a single unit, since CloudWatch never adds them up."""
    start, end = params["StartTime"], params["EndTime"]
    periods = {one["Id"]: make_period(start, end, one["MetricStat"]["Period"]) for one in lines if _is_stat(one)}
    made = {} if all(map(_is_stat, lines)) else await _evaluate_expressions(call, lines, queries, start, end)
    labels = _default_labels(
        [one for one in queries if one.returned], {id: one.seconds for id, one in periods.items()}
    )
    streams: list[_QueryResult] = []
    for one in queries:
        if not one.returned:
            continue
        label = one.label or labels[one.id]
        if one.metric is None:
            streams.append(_QueryResult(one, label, made[one.id]))
            continue
        units = await _read_points(call, one, periods[one.id])
        named = sorted(units, key=_rank_unit)
        streams.append(
            _QueryResult(one, label, units[named[0]] if named else [], tuple(named) if named[1:] else ())
        )
    return streams


def _rank_unit(unit: str) -> int:
    return UNIT_ORDER.index(unit) if unit in UNIT_ORDER else len(UNIT_ORDER)


def _default_labels(queries: list[Query], periods: Mapping[str, int]) -> dict[str, str]:
    """CloudWatch's labels of queries without one: the name of the metric, and of several queries of one name what
    tells them apart (dimensions, and the statistic and the period where these differ)."""
    labels, alike = {one.id: one.id for one in queries}, dict[str, list[Query]]()
    for one in queries:
        if one.metric is not None:
            alike.setdefault(one.metric.name, []).append(one)
    for name, twins in alike.items():
        statistics, seconds = {one.statistic for one in twins}, {periods[one.id] for one in twins}
        for one in twins:
            dimensions = [value for _, value in one.metric.dimensions] if one.metric and len(twins) > 1 else []
            statistic = [one.statistic] if len(statistics) > 1 else []
            period = [str(periods[one.id])] if len(seconds) > 1 else []
            labels[one.id] = " ".join([name, *dimensions, *statistic, *period])
    return labels


def _is_stat(line: Params) -> bool:
    return line.get("MetricStat") is not None


async def _read_points(call: OperationCall, one: Query, period: use.Period) -> dict[str, list[Datapoint]]:
    """Datapoints by unit."""
    assert one.metric is not None
    units: dict[str, list[Datapoint]] = {}
    for sample, found in await use.read_points(call.ctx.metrics, one.metric, period, [one.statistic], one.unit):
        units.setdefault(sample.unit, []).append(found[one.statistic])
    return units


async def _evaluate_expressions(
    call: OperationCall, lines: list[Params], queries: list[Query], start: datetime, end: datetime
) -> dict[str, list[Datapoint]]:
    """Datapoints of every query, if some of them are expressions."""
    period = make_period(start, end, parse_common_period(lines))
    spans = range(period.start, period.end, period.seconds)
    most = metric_math.MOST_ASKED
    if (steps := metric_math.size(queries) * len(spans)) > most:
        raise Invalid(f"the expressions need {steps:,} steps; the limit is {most:,}: shorten the time range")
    read = {}
    for one in queries:
        if one.metric is not None:
            units = await _read_points(call, one, period)
            if len(units) > 1:
                raise Invalid(
                    f"{one.id}: {one.metric.name} has data in several units ({', '.join(units)}): set Unit, because"
                    " expressions do not mix units"
                )
            values = {point.at: point.value for points in units.values() for point in points}
            read[one.id] = [values.get(at) for at in spans]
    found = metric_math.evaluate(queries, read, spans)
    return {
        id: [Datapoint(at, value) for at, value in zip(spans, values, strict=True) if value is not None]
        for id, values in found.items()
    }


def _render_result(one: _QueryResult, found: list[Datapoint], status: str) -> Params:
    units = f"Multiple units returned: '[{', '.join(one.units)}]'"
    return {
        "Id": one.query.id,
        "Label": one.label,
        "Timestamps": [datetime.fromtimestamp(point.at, UTC) for point in found],
        "Values": [point.value for point in found],
        "StatusCode": status,
        "Messages": [{"Code": "MultipleUnits", "Value": units}] if one.units else None,
    }


OPERATIONS: Operations = {"GetMetricData": AsyncOperation(get_metric_data, Access.READ)}
