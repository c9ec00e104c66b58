"""CloudWatch's operations on metrics, and those on tags, which only alarms have."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from tidegate.domain.access import Access
from tidegate.domain.alarm import Alarm
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId
from tidegate.monitoring.finite import LARGEST
from tidegate.monitoring.samples import STATISTICS, Datapoint, is_extended
from tidegate.ports.store import StoredRecord
from tidegate.service import metrics as use
from tidegate.service import tags as labels
from tidegate.service.record_kinds import ALARM
from tidegate.wire.cloudwatch_members import (
    decode_token,
    encode_token,
    make_period,
    parse_dimensions,
    parse_metric,
    parse_tags,
    raise_bad_combination,
    raise_missing,
    render_dimensions,
    truncate_to_second,
)
from tidegate.wire.errors import NamedError
from tidegate.wire.operation import AsyncOperation, OperationCall, Operations, Params, TxCall, TxOperation

MAX_DATA = 1000
MAX_VALUES = 150
MAX_DATAPOINTS = 1440
PAGE_SIZE = 500
RECENT = timedelta(hours=3)


async def put_metric_data(call: OperationCall, params: Params) -> None:
    namespace, data = params["Namespace"], params.get("MetricData") or []
    if params.get("EntityMetricData"):
        raise Invalid("EntityMetricData is not supported; use MetricData")
    if not data:
        raise_missing("The parameter MetricData is required.")
    if len(data) > MAX_DATA:
        raise Invalid(f"The collection MetricData must not have a size greater than {MAX_DATA}.")
    read = [_parse_datum(namespace, datum, f"MetricData.member.{n}", call.now) for n, datum in enumerate(data, 1)]
    await use.put(call.ctx.metrics, read, call.now)


async def get_metric_statistics(call: OperationCall, params: Params) -> Params:
    simple, extended = params.get("Statistics") or [], params.get("ExtendedStatistics") or []
    if not simple and not extended:
        raise_bad_combination("Must specify either Statistics or ExtendedStatistics")
    if simple and extended:
        raise_bad_combination("Statistics and ExtendedStatistics exclude each other; make two calls.")
    for number, name in enumerate(extended, 1):
        if not is_extended(name):
            raise Invalid(f"The value {name} for parameter ExtendedStatistics.member.{number} is not supported.")
    if truncate_to_second(params["StartTime"]) >= truncate_to_second(params["EndTime"]):
        raise Invalid("The parameter StartTime must be less than the parameter EndTime.")
    period = make_period(params["StartTime"], params["EndTime"], params["Period"])
    if period.points > MAX_DATAPOINTS:
        raise_bad_combination(
            f"You have requested up to {period.points:,} datapoints, which exceeds the limit of {MAX_DATAPOINTS:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    series, names = parse_metric(params), [*simple, *extended]
    rows = await use.read_points(call.ctx.metrics, series, period, names, params.get("Unit"))
    return {"Label": series.name, "Datapoints": [_render_point(sample.unit, found) for sample, found in rows]}


async def list_metrics(call: OperationCall, params: Params) -> Params:
    if params.get("IncludeLinkedAccounts") or params.get("OwningAccount") is not None:
        raise Invalid("other accounts are not supported; leave IncludeLinkedAccounts and OwningAccount out")
    since = call.now - (RECENT if params.get("RecentlyActive") else use.MAX_AGE)
    wanted = [(pair["Name"], pair.get("Value")) for pair in params.get("Dimensions") or []]
    found = await use.list_series(
        call.ctx.metrics, params.get("Namespace"), params.get("MetricName"), wanted, since
    )
    last = decode_token(params, list)
    if last is not None:
        found = [one for one in found if [one.namespace, one.name, [list(d) for d in one.dimensions]] > last]
    page = found[:PAGE_SIZE]
    more = len(found) > len(page)
    return {
        "Metrics": [_render_metric(one) for one in page],
        "NextToken": encode_token([page[-1].namespace, page[-1].name, page[-1].dimensions]) if more else None,
    }


def _parse_datum(namespace: str, datum: Params, where: str, now: datetime) -> use.Datum:
    given = [m for m in ("Value", "Values", "StatisticValues") if datum.get(m) is not None]
    if not given:
        raise_missing(f"{where}: one of Value, Values and StatisticValues is required.")
    if len(given) > 1:
        _refuse_both(where, *given[:2])
    if datum.get("Counts") is not None and given != ["Values"]:
        raise_bad_combination(f"{where}: Counts requires Values.")
    resolution = datum.get("StorageResolution") or 60
    if resolution not in (1, 60):
        raise Invalid(f"{where}.StorageResolution: {resolution} is neither 1 nor 60.")
    series, at = (
        MetricId.of(namespace, datum["MetricName"], parse_dimensions(datum)),
        datum.get("Timestamp") or now,
    )
    return use.Datum(series, at, _parse_values(datum, where), datum.get("Unit") or "None", resolution)


def _parse_values(datum: Params, where: str) -> dict[float, float] | use.StatisticSet:
    if datum.get("StatisticValues") is not None:
        whole = datum["StatisticValues"]
        for member in ("SampleCount", "Sum", "Minimum", "Maximum"):
            _check_number(whole[member], f"{where}.StatisticValues.{member}")
        return use.StatisticSet(whole["SampleCount"], whole["Sum"], whole["Minimum"], whole["Maximum"])
    values = datum["Values"] if datum.get("Values") is not None else [datum["Value"]]
    counts = datum["Counts"] if datum.get("Counts") is not None else [1.0] * len(values)
    if not values:
        raise Invalid(f"The collection {where}.Values must not be empty.")
    if len(values) > MAX_VALUES:
        raise Invalid(f"The collection {where}.Values must not have a size greater than {MAX_VALUES}.")
    if len(counts) != len(values):
        raise Invalid(f"The parameters {where}.Values and {where}.Counts must be of the same size.")
    found: dict[float, float] = {}
    for value, count in zip(values, counts, strict=True):
        _check_number(value, f"{where}.{'Value' if datum.get('Values') is None else 'Values'}")
        if not _check_number(count, f"{where}.Counts") > 0:
            raise Invalid(f"The value {count} for parameter {where}.Counts is invalid: it must be above 0.")
        found[value] = found.get(value, 0.0) + count
    return found


def _check_number(value: float, where: str) -> float:
    """Raises Invalid, worded as AWS does, with special numbers spelled as in Java."""
    if math.isnan(value) or math.isinf(value):
        named = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        raise Invalid(f"The value {named} for parameter {where} is invalid.")
    if not abs(value) <= LARGEST:
        raise Invalid(f"The value {value} for parameter {where} is invalid: it must be between -2^360 and 2^360.")
    return value


def _refuse_both(where: str, one: str, other: str) -> NoReturn:
    said = f"The parameters {where}.{one} and {where}.{other} are mutually exclusive and you have specified both."
    if (one, other) == ("Value", "Values"):
        raise Invalid(said)
    raise_bad_combination(said)


def _render_point(unit: str, found: dict[str, Datapoint]) -> Params:
    at = next(iter(found.values())).at
    members: dict[str, Any] = {"Timestamp": datetime.fromtimestamp(at, UTC), "Unit": unit}
    members |= {name: point.value for name, point in found.items() if name in STATISTICS}
    extended = {name: point.value for name, point in found.items() if name not in STATISTICS}
    return members | ({"ExtendedStatistics": extended} if extended else {})


def _render_metric(one: MetricId) -> Params:
    return {
        "Namespace": one.namespace,
        "MetricName": one.name,
        "Dimensions": render_dimensions(dict(one.dimensions)),
    }


# --- CloudWatch's operations on tags; only alarms have tags ---


_ARN = re.compile(r"arn:[^:]+:cloudwatch:([^:]*):([^:]*):alarm:(.+)", re.DOTALL)


def list_tags_for_resource(call: TxCall, params: Params) -> Params:
    tags = labels.read(call.tx, ALARM, _find_alarm(call, params).name)
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tag_resource(call: TxCall, params: Params) -> None:
    labels.add(call.tx, ALARM, _find_alarm(call, params).name, parse_tags(params), call.now)


def untag_resource(call: TxCall, params: Params) -> None:
    labels.remove(call.tx, ALARM, _find_alarm(call, params).name, params["TagKeys"], call.now)


def _find_alarm(call: TxCall, params: Params) -> StoredRecord[Alarm]:
    """The alarm that ResourceARN names. Like CloudWatch, the error for a missing one gives no details."""
    match = _ARN.fullmatch(params["ResourceARN"])
    mine = match is not None and (match[1], match[2]) == (call.ctx.region, call.ctx.account)
    saved = call.tx.get(ALARM, match[3]) if match is not None and mine else None
    if saved is None:
        raise NamedError("ResourceNotFoundException", "Unknown")
    return saved


OPERATIONS: Operations = {
    "PutMetricData": AsyncOperation(put_metric_data, Access.USE),
    "GetMetricStatistics": AsyncOperation(get_metric_statistics, Access.READ),
    "ListMetrics": AsyncOperation(list_metrics, Access.READ),
    "ListTagsForResource": TxOperation(list_tags_for_resource, Access.READ),
    "TagResource": TxOperation(tag_resource, Access.CHANGE),
    "UntagResource": TxOperation(untag_resource, Access.CHANGE),
}
