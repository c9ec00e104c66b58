"""What an alarm looks at, read: the points of its metric, or of its metric math."""

from datetime import datetime

from tidegate.evidence import metric_math
from tidegate.evidence.alarms import windows
from tidegate.evidence.datapoint import Datapoint, datapoint
from tidegate.model.alarm import Alarm
from tidegate.ports.metrics import Metrics
from tidegate.service.alarms import series_of


async def points(metrics: Metrics, alarm: Alarm, now: datetime) -> list[Datapoint | None]:
    """One for each of the alarm's windows, newest last, None where there is no data."""
    spans = windows(alarm, now)
    if not alarm.queries:
        found = await metrics.read(series_of(alarm), spans.start, spans.stop, spans.step)
        return [datapoint(at, found.get(at), alarm.statistic, alarm.unit) for at in spans]
    read = {}
    for query in alarm.queries:
        if query.metric is not None:
            found = await metrics.read(query.metric, spans.start, spans.stop, spans.step)
            made = [datapoint(at, found.get(at), query.statistic, query.unit) for at in spans]
            read[query.id] = [None if point is None else point.value for point in made]
    watched = next(query.id for query in alarm.queries if query.returned)
    values = metric_math.evaluate(alarm.queries, read, len(spans))[watched]
    return [None if value is None else Datapoint(at, value) for at, value in zip(spans, values, strict=True)]
