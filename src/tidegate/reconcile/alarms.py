"""The body of the alarm loop: judge the alarms that are due, save the states that changed."""

import asyncio
import contextlib
import logging
from datetime import datetime

from tidegate.domain.alarm import Alarm
from tidegate.domain.errors import TidegateError
from tidegate.monitoring.alarms import evaluate, next_evaluation
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Kind, Saved, Store, Tx
from tidegate.reconcile.alarm_data import points
from tidegate.reconcile.guards import NEVER, cost
from tidegate.service.alarms import state_change_events
from tidegate.service.record_kinds import ALARM

BUDGET = 200_000
"""Steps of evaluation of one call: a fraction of a second's work."""

log = logging.getLogger(__name__)


async def evaluate_due(store: Store, metrics: Metrics, now: datetime, last: dict[str, datetime]) -> list[str]:
    """Judges every alarm that is due; returns the names of those whose state changed.

    ``last`` is the caller's memory of when each alarm was judged; it is brought up to date. A record that someone
    else changed meanwhile is left alone: a redefined alarm is due again at once, one set by hand at its next turn.
    One call takes ``BUDGET`` steps at most; alarms beyond that are judged by the next calls, those that have waited
    longest first.
    """
    alarms = await store.run(readable)
    for gone in last.keys() - {saved.name for saved in alarms}:
        del last[gone]
    due = [saved for saved in alarms if is_due(saved.body, last.get(saved.name), now)]
    due.sort(key=lambda saved: (last.get(saved.name, NEVER), cost(saved.body)))
    judged, spent = list[tuple[Saved[Alarm], Alarm]](), 0
    for saved in due:
        if spent and spent + cost(saved.body) > BUDGET:
            break
        spent += cost(saved.body)
        judged.append((saved, await judge_alone(metrics, saved.body, now)))
        await asyncio.sleep(0)  # guards of rollouts may be due meanwhile
    moved = [(saved, after) for saved, after in judged if after is not saved.body]
    written = await store.run(lambda tx: save(tx, moved, now)) if moved else []
    last.update({saved.name: now for saved, _ in judged})
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


async def judge_alone(metrics: Metrics, alarm: Alarm, now: datetime) -> Alarm:
    """The alarm after a look at its metric. One that cannot be judged stays as it is and stops no other."""
    try:
        return evaluate(alarm, await points(metrics, alarm, now), now)
    except Exception as error:
        log.warning("alarm %s cannot be judged: %s: %s", alarm.name, type(error).__name__, error)
        return alarm


def save(tx: Tx, moved: list[tuple[Saved[Alarm], Alarm]], now: datetime) -> list[str]:
    """Writes the new states of the records that still are as they were read; returns their names."""
    written = []
    for saved, after in moved:
        present = tx.get(ALARM, saved.name)
        if present is not None and present.version == saved.version:
            tx.put(
                ALARM,
                saved.name,
                after,
                expect=saved.version,
                now=now,
                events=state_change_events(saved.body, after),
            )
            written.append(saved.name)
    return written
