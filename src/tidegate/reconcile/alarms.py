"""The body of the alarm loop: judge the alarms that are due, save the states that changed."""

import contextlib
import logging
from datetime import datetime

from tidegate.evidence.alarms import evaluate, next_evaluation
from tidegate.model.alarm import Alarm
from tidegate.model.errors import TidegateError
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Kind, Saved, Store, Tx
from tidegate.reconcile.reading import points
from tidegate.service.alarms import changed
from tidegate.service.kinds import ALARM

log = logging.getLogger(__name__)


async def evaluate_due(store: Store, metrics: Metrics, now: datetime, last: dict[str, datetime]) -> list[str]:
    """Judges every alarm that is due; returns the names of those whose state changed.

    ``last`` is the caller's memory of when each alarm was judged; it is brought up to date. A record that someone
    else changed meanwhile is left alone: a redefined alarm is due again at once, one set by hand at its next turn.
    """
    alarms = await store.run(readable)
    for gone in last.keys() - {saved.name for saved in alarms}:
        del last[gone]
    due = [saved for saved in alarms if is_due(saved.body, last.get(saved.name), now)]
    judged = [(saved, await judged_now(metrics, saved.body, now)) for saved in due]
    moved = [(saved, after) for saved, after in judged if after is not saved.body]
    written = await store.run(lambda tx: save(tx, moved, now)) if moved else []
    last.update({saved.name: now for saved in due})
    return written


def readable(tx: Tx) -> list[Saved[Alarm]]:
    """Every alarm but those that this program cannot read: one of them must not blind all the others."""
    try:
        return tx.find(ALARM).items
    except TidegateError as error:
        log.warning("an alarm is not judged: %s", error)
    found = []
    for name in [saved.name for saved in tx.find(Kind(ALARM.name, object)).items]:
        with contextlib.suppress(TidegateError):
            if (saved := tx.get(ALARM, name)) is not None:
                found.append(saved)
    return found


def is_due(alarm: Alarm, last: datetime | None, now: datetime) -> bool:
    """A clock that was set back does not put an alarm to sleep until it is where it was."""
    set_back = now < alarm.configured_at or (last is not None and now < last)
    return set_back or next_evaluation(alarm, last) <= now


async def judged_now(metrics: Metrics, alarm: Alarm, now: datetime) -> Alarm:
    """The alarm after a look at its metric."""
    return evaluate(alarm, await points(metrics, alarm, now), now)


def save(tx: Tx, moved: list[tuple[Saved[Alarm], Alarm]], now: datetime) -> list[str]:
    """Writes the new states of the records that still are as they were read; returns their names."""
    written = []
    for saved, after in moved:
        present = tx.get(ALARM, saved.name)
        if present is not None and present.version == saved.version:
            tx.put(ALARM, saved.name, after, expect=saved.version, now=now, events=changed(saved.body, after))
            written.append(saved.name)
    return written
