"""The data that an alarm is judged by: which samples it needs, and the datapoints that they make. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.monitoring import metric_math
from tidegate.monitoring.alarm_evaluation import EXTRA, evaluate, windows
from tidegate.monitoring.samples import Datapoint, datapoint, merge, parse_trimmed

LATENCY = "ModelLatency"
HANGING = "InFlightLatency"
"""The ages, each second, of requests that have been in flight for longer than a second."""
OF_NUMBERS = ("SampleCount", "Sum")
"""Statistics that say how many requests there were rather than how long they took, besides trimmed ones."""


@dataclass(frozen=True)
class SampleQuery:
    """Samples of one series, one for each span. ``unit``: of this unit alone; None: of the newest."""

    metric: MetricId
    unit: str | None
    spans: range


Data = Mapping[SampleQuery, Mapping[int, Sample]]
"""By begin of the span; spans without data are absent."""


def series_of(alarm: Alarm) -> MetricId:
    return MetricId.of(alarm.namespace, alarm.metric, alarm.dimensions)


def watched_endpoints(alarm: Alarm) -> set[str]:
    """Return the endpoints whose metrics the alarm watches."""
    named = [alarm.dimensions, *(dict(q.metric.dimensions) for q in alarm.queries if q.metric is not None)]
    return {dimensions["EndpointName"] for dimensions in named if "EndpointName" in dimensions}


def evaluation_cost(alarm: Alarm) -> int:
    """Return the steps of one evaluation: the datapoints, and what metric math does with each. Math that this program
    cannot read, because another version accepted it, costs nothing more: judging it fails, for this alarm alone."""
    spans = alarm.evaluation_periods + EXTRA
    try:
        return spans * (metric_math.size(alarm.queries) if alarm.queries else 1)
    except Invalid:
        return spans


def needed(alarm: Alarm, now: datetime) -> list[SampleQuery]:
    """List the data that must be read to judge the alarm at ``now``; empty for a composite alarm."""
    if alarm.rule:
        return []
    spans, found = windows(alarm, now), list[SampleQuery]()
    if not alarm.queries:
        found.append(SampleQuery(series_of(alarm), alarm.unit, spans))
        if alarm.comparison in (ComparisonOperator.GREATER, ComparisonOperator.GREATER_OR_EQUAL):
            found += _complete_series(found[0], alarm.statistic)
        return found
    for query in alarm.queries:
        if query.metric is not None:
            found.append(SampleQuery(query.metric, query.unit, spans))
            found += _complete_series(found[-1], query.statistic)
    return list(dict.fromkeys(found))


def evaluate_data(alarm: Alarm, data: Data, now: datetime) -> Alarm:
    """The alarm after a look at ``data``, which holds what is ``needed`` at ``now``."""
    return evaluate(alarm, points(alarm, data, now), now)


def needed_since(alarm: Alarm, start: int, now: datetime) -> list[SampleQuery]:
    """List the data that must be read, besides what is ``needed``, to know the alarm's data of ``start`` (epoch
    seconds) and later: the rest of the span in which ``start`` lies."""
    parts = (_rest_of_span(one, start) for one in needed(alarm, now))
    return [part for part in parts if part is not None]


def rests_on_data_since(alarm: Alarm, data: Data, rests: Data, start: int, now: datetime) -> bool:
    """Whether one of the datapoints that speak for ALARM still does with the data of ``start`` and later alone.
    ``rests``: what is ``needed_since``."""
    later = {one: _keep_since(one, samples, rests, start) for one, samples in data.items()}
    breaches = alarm.comparison.breaches
    if any(point is not None and breaches(point.value, alarm.threshold) for point in points(alarm, later, now)):
        return True
    whole = zip(windows(alarm, now), points(alarm, data, now), strict=True)
    missing = any(point is None and at + alarm.period > start for at, point in whole)
    return missing and alarm.missing is MissingData.BREACHING


def _rest_of_span(one: SampleQuery, start: int) -> SampleQuery | None:
    """The part of a span that begins at ``start``; None if a span begins there, or none contains it."""
    into = (start - one.spans.start) % one.spans.step
    if not into or not one.spans.start <= start < one.spans.stop:
        return None
    end = start - into + one.spans.step
    return replace(one, spans=range(start, end, end - start))


def _keep_since(one: SampleQuery, samples: Mapping[int, Sample], rests: Data, start: int) -> dict[int, Sample]:
    kept = {at: sample for at, sample in samples.items() if at >= start}
    rest = _rest_of_span(one, start)
    if rest is not None and (sample := rests.get(rest, {}).get(start)) is not None:
        kept[rest.spans.stop - one.spans.step] = sample
    return kept


def points(alarm: Alarm, data: Data, now: datetime) -> list[Datapoint | None]:
    """One for each of the alarm's windows, newest last, None where there is no data; none for a composite alarm."""
    if alarm.rule:
        return []
    spans = windows(alarm, now)
    if not alarm.queries:
        series = SampleQuery(series_of(alarm), alarm.unit, spans)
        return _datapoints(series, alarm.statistic, data)
    values = {}
    for query in alarm.queries:
        if query.metric is not None:
            made = _datapoints(SampleQuery(query.metric, query.unit, spans), query.statistic, data)
            values[query.id] = [None if point is None else point.value for point in made]
    watched = next(query.id for query in alarm.queries if query.returned)
    found = metric_math.evaluate(alarm.queries, values, spans)[watched]
    return [None if value is None else Datapoint(at, value) for at, value in zip(spans, found, strict=True)]


def _datapoints(series: SampleQuery, statistic: str, data: Data) -> list[Datapoint | None]:
    samples = add_hanging(series, statistic, data)
    return [datapoint(at, samples.get(at), statistic) for at in series.spans]


def add_hanging(series: SampleQuery, statistic: str, data: Data) -> Mapping[int, Sample]:
    """The samples of a series. A latency gets the requests without an answer yet: a model that answers nothing has no
    latency, and an alarm would see it only after its requests have timed out. A request's age is the least that its
    latency will be; one that hangs for the whole of a span counts in it as one."""
    found = data[series]
    hanging = [data[one] for one in _complete_series(series, statistic) if data.get(one)]
    if not hanging:
        return found
    whole = dict(found)
    for at, ages in hanging[0].items():
        sample = _weigh(ages, 1 / series.spans.step)
        whole[at] = merge([found[at], sample]) if at in found else sample
    return whole


def _complete_series(series: SampleQuery, statistic: str) -> list[SampleQuery]:
    """The series that a latency is completed by."""
    if (
        (series.metric.namespace, series.metric.name) != (SAGEMAKER, LATENCY)
        or statistic in OF_NUMBERS
        or _is_number(statistic)
    ):
        return []
    return [replace(series, metric=replace(series.metric, name=HANGING))]


def _is_number(statistic: str) -> bool:
    trimmed = parse_trimmed(statistic)
    return trimmed is not None and trimmed.kind in ("TC", "TS")


def _weigh(sample: Sample, weight: float) -> Sample:
    return replace(
        sample,
        count=sample.count * weight,
        total=sample.total * weight,
        bins={index: count * weight for index, count in sample.bins.items()},
    )
