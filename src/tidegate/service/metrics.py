"""Use cases of metrics: write values and read statistics."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.domain.errors import Invalid, Unavailable
from tidegate.domain.metric import AWS_PREFIX, MetricId, Sample, is_platform_namespace
from tidegate.monitoring import sketch
from tidegate.monitoring.finite import LARGEST
from tidegate.monitoring.samples import Datapoint, datapoint
from tidegate.ports.metrics import Metrics

MAX_AGE = timedelta(days=14)
MAX_AHEAD = timedelta(hours=2)
MINUTE = 60


@dataclass(frozen=True)
class StatisticSet:
    """Statistics of values that are not known individually."""

    count: float
    total: float
    low: float
    high: float


@dataclass(frozen=True)
class Datum:
    """Values of one series at one time: value -> count, or a statistic set. ``resolution`` is 1 or 60 seconds."""

    metric: MetricId
    at: datetime
    values: Mapping[float, float] | StatisticSet
    unit: str = "None"
    resolution: int = MINUTE


@dataclass(frozen=True)
class Period:
    """Spans of ``seconds`` from ``start`` (epoch seconds) to before ``end``."""

    start: int
    end: int
    seconds: int

    @classmethod
    def of(cls, start: datetime, end: datetime, seconds: int) -> "Period":
        """The start is rounded down: to the minute, or to the period where that is shorter."""
        begin = int(start.timestamp())
        begin -= begin % (seconds if seconds < MINUTE else MINUTE)
        return cls(begin, math.ceil(end.timestamp()), seconds)

    @property
    def points(self) -> int:
        return max(0, -(-(self.end - self.start) // self.seconds))


def to_sample(datum: Datum, now: datetime) -> Sample:
    """Convert the datum to a sample. Raises Invalid for a time or a number that cannot be stored."""
    name = datum.metric.name
    if not now - MAX_AGE <= datum.at <= now + MAX_AHEAD:
        raise Invalid(
            f"{name}: timestamp {datum.at.isoformat()} is outside the two weeks before and the two hours after now"
        )
    at = int(datum.at.timestamp()) // datum.resolution * datum.resolution
    if isinstance(datum.values, StatisticSet):
        whole = datum.values
        _check_range(name, whole.count, whole.total, whole.low, whole.high)
        bins = {sketch.index(whole.low): whole.count} if whole.low == whole.high else {}
    else:
        _check_range(name, *datum.values, *datum.values.values())
        bins = sketch.merge({sketch.index(value): count} for value, count in datum.values.items())
        total = math.fsum(value * count for value, count in datum.values.items())
        whole = StatisticSet(sum(datum.values.values()), total, min(datum.values), max(datum.values))
        _check_range(name, whole.count, whole.total)
    if whole.count <= 0 or whole.low > whole.high or min(bins.values(), default=0) < 0:
        raise Invalid(
            f"{name}: a sample count of {whole.count} with minimum {whole.low} and maximum {whole.high} is not valid"
        )
    return Sample(
        datum.metric, at, whole.count, whole.total, whole.low, whole.high, bins, datum.unit, datum.resolution
    )


def _check_range(name: str, *numbers: float) -> None:
    for number in numbers:
        if not abs(number) <= LARGEST:
            raise Invalid(f"{name}: {number} is not a number between -2^360 and 2^360")


def _check_namespace(namespace: str) -> None:
    """Raises Invalid, worded as CloudWatch does for its own."""
    if namespace.startswith(AWS_PREFIX):
        raise Invalid(f"The value {AWS_PREFIX} for parameter Namespace is invalid.")
    if is_platform_namespace(namespace):
        raise Invalid(
            f"The value {namespace} for parameter Namespace is invalid: the platform alone writes there; choose a"
            " namespace of your own."
        )


async def put(metrics: Metrics, data: Sequence[Datum], now: datetime) -> None:
    """Write all data, or nothing if one datum is Invalid. Data that the database cannot take now stay in memory and
    are written later: a client that retried would have them counted twice. Namespaces of the platform are
    Invalid: what guards a rollout must not be fed by a client."""
    for namespace in {datum.metric.namespace for datum in data}:
        _check_namespace(namespace)
    with suppress(Unavailable):
        await metrics.put([to_sample(datum, now) for datum in data])


async def read_points(
    metrics: Metrics, metric: MetricId, period: Period, names: Sequence[str], unit: str | None = None
) -> list[tuple[Sample, dict[str, Datapoint]]]:
    """For each unit with data (only ``unit``, if given) and each of its spans, oldest first: the sample, and the
    named statistics that can be computed from it."""
    (found,) = await metrics.read_units([metric], period.start, period.end, period.seconds)
    rows = []
    for each in [unit] if unit is not None else sorted(found):
        for at, one in sorted(found.get(each, {}).items()):
            made = {name: datapoint(at, one, name) for name in names}
            values = {name: point for name, point in made.items() if point is not None}
            if values:
                rows.append((one, values))
    return rows


async def list_series(
    metrics: Metrics,
    namespace: str | None,
    name: str | None,
    dimensions: Sequence[tuple[str, str | None]],
    since: datetime,
) -> list[MetricId]:
    """Sorted series with data since that time."""
    return sorted(await metrics.series(namespace, name, dimensions, int(since.timestamp())))
