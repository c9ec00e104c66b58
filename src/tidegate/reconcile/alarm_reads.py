"""Reads what alarms are judged by."""

from collections.abc import Iterable

from tidegate.monitoring.alarm_data import Data, SampleQuery
from tidegate.ports.metrics import Metrics


async def read_all(metrics: Metrics, needed: Iterable[SampleQuery]) -> Data:
    """One after the other, as an alarm's patience is for all of them. Raises Unavailable."""
    found = {}
    for one in needed:
        spans = one.spans
        if one.unit is None:
            found[one] = await metrics.read(one.metric, spans.start, spans.stop, spans.step)
        else:
            units = await metrics.read_units(one.metric, spans.start, spans.stop, spans.step)
            found[one] = units.get(one.unit, {})
    return found
