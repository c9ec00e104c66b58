"""Reads what an alarm looks at: the points of its metric, or of its metric math."""

from dataclasses import replace
from datetime import datetime

from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.monitoring import metric_math
from tidegate.monitoring.alarms import windows
from tidegate.monitoring.datapoint import Datapoint, datapoint
from tidegate.monitoring.samples import merge
from tidegate.ports.metrics import Metrics
from tidegate.service.alarms import series_of

LATENCY = "ModelLatency"
HANGING = "InFlightLatency"
"""The ages, each second, of requests that have been in flight for longer than a second."""
OF_NUMBERS = ("SampleCount", "Sum")
"""Statistics that say how many requests there were rather than how long they took."""


async def points(metrics: Metrics, alarm: Alarm, now: datetime) -> list[Datapoint | None]:
    """One for each of the alarm's windows, newest last, None where there is no data."""
    spans = windows(alarm, now)
    if not alarm.queries:
        found = await _read(metrics, series_of(alarm), spans, alarm.unit)
        if alarm.comparison in (ComparisonOperator.GREATER, ComparisonOperator.GREATER_OR_EQUAL):
            found = await add_hanging(metrics, series_of(alarm), alarm.statistic, spans, found, alarm.unit)
        return [datapoint(at, found.get(at), alarm.statistic) for at in spans]
    read = {}
    for query in alarm.queries:
        if query.metric is not None:
            found = await _read(metrics, query.metric, spans, query.unit)
            found = await add_hanging(metrics, query.metric, query.statistic, spans, found, query.unit)
            made = [datapoint(at, found.get(at), query.statistic) for at in spans]
            read[query.id] = [None if point is None else point.value for point in made]
    watched = next(query.id for query in alarm.queries if query.returned)
    values = metric_math.evaluate(alarm.queries, read, len(spans))[watched]
    return [None if value is None else Datapoint(at, value) for at, value in zip(spans, values, strict=True)]


async def _read(metrics: Metrics, metric: MetricId, spans: range, unit: str | None) -> dict[int, Sample]:
    """In ``unit`` alone, where one is named."""
    if unit is None:
        return await metrics.read(metric, spans.start, spans.stop, spans.step)
    return (await metrics.read_units(metric, spans.start, spans.stop, spans.step)).get(unit, {})


async def add_hanging(
    metrics: Metrics,
    metric: MetricId,
    statistic: str,
    spans: range,
    found: dict[int, Sample],
    unit: str | None = None,
) -> dict[int, Sample]:
    """The samples of a latency with the requests that have no answer yet: a model that answers nothing has no
    latency, and an alarm would see it only after its requests have timed out. A request's age is the least that its
    latency will be; one that hangs for the whole of a span counts in it as one."""
    if (metric.namespace, metric.name) != (SAGEMAKER, LATENCY) or statistic in OF_NUMBERS:
        return found
    hanging = await _read(metrics, replace(metric, name=HANGING), spans, unit)
    if not hanging:
        return found
    whole = dict(found)
    for at, ages in hanging.items():
        sample = _weigh(ages, 1 / spans.step)
        whole[at] = merge([found[at], sample]) if at in found else sample
    return whole


def _weigh(sample: Sample, weight: float) -> Sample:
    return replace(
        sample,
        count=sample.count * weight,
        total=sample.total * weight,
        bins={index: count * weight for index, count in sample.bins.items()},
    )
