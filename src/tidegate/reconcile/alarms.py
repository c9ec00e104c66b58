"""The body of the alarm loop: judge the alarms that are due, save the states that changed."""

from datetime import datetime

from tidegate.evidence.alarms import evaluate, next_evaluation, windows
from tidegate.evidence.datapoint import datapoint
from tidegate.model.alarm import Alarm
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Saved, Store, Tx
from tidegate.service.alarms import changed, series_of
from tidegate.service.kinds import ALARM


async def evaluate_due(store: Store, metrics: Metrics, now: datetime, last: dict[str, datetime]) -> list[str]:
    """Judges every alarm that is due; returns the names of those whose state changed.

    ``last`` is the caller's memory of when each alarm was judged; it is brought up to date. A record that someone
    else changed meanwhile is left alone: a redefined alarm is due again at once, one set by hand at its next turn.
    """
    alarms = await store.run(lambda tx: tx.find(ALARM).items)
    for gone in last.keys() - {saved.name for saved in alarms}:
        del last[gone]
    due = [saved for saved in alarms if next_evaluation(saved.body, last.get(saved.name)) <= now]
    judged = [(saved, await judged_now(metrics, saved.body, now)) for saved in due]
    moved = [(saved, after) for saved, after in judged if after is not saved.body]
    written = await store.run(lambda tx: save(tx, moved, now)) if moved else []
    last.update({saved.name: now for saved in due})
    return written


async def judged_now(metrics: Metrics, alarm: Alarm, now: datetime) -> Alarm:
    """The alarm after a look at its metric."""
    spans = windows(alarm, now)
    found = await metrics.read(series_of(alarm), spans.start, spans.stop, spans.step)
    return evaluate(alarm, [datapoint(at, found.get(at), alarm.statistic, alarm.unit) for at in spans], now)


def save(tx: Tx, moved: list[tuple[Saved[Alarm], Alarm]], now: datetime) -> list[str]:
    """Writes the new states of the records that still are as they were read; returns their names."""
    written = []
    for saved, after in moved:
        present = tx.get(ALARM, saved.name)
        if present is not None and present.version == saved.version:
            tx.put(ALARM, saved.name, after, expect=saved.version, now=now, events=changed(saved.body, after))
            written.append(saved.name)
    return written
