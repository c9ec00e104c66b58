"""The body of the alarm loop: judge the alarms that are due, save the states that changed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from tidegate.domain import alarm_rule
from tidegate.domain.alarm import Alarm
from tidegate.monitoring.alarm_data import evaluate_data, evaluation_cost, needed
from tidegate.monitoring.alarm_evaluation import is_due
from tidegate.monitoring.alarm_events import state_events
from tidegate.monitoring.guard_verdicts import NEVER
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Saved, Store, Tx
from tidegate.reconcile.alarm_reads import read_all
from tidegate.service.alarms import settle
from tidegate.service.record_kinds import ALARM
from tidegate.service.records import read_if_readable

BUDGET = 200_000
"""Steps of evaluation of one call: a fraction of a second's work."""

log = logging.getLogger(__name__)


async def evaluate_due(
    store: Store,
    metrics: Metrics,
    now: datetime,
    last: dict[str, datetime],
    read: Callable[[Store], Awaitable[list[Saved[Alarm]]]] = lambda store: store.run(readable),
) -> list[str]:
    """Judge every alarm that is due; returns the names of those whose state changed.

    ``last`` is the caller's memory of when each alarm was judged; it is brought up to date. ``read`` gives all
    alarms. A record that someone else changed meanwhile is left alone: a redefined alarm is due again at once, one
    set by hand at its next turn. One call takes ``BUDGET`` steps at most; alarms beyond that are judged by the next
    calls, those that have waited longest first.
    """
    alarms = await read(store)
    for gone in last.keys() - {saved.name for saved in alarms}:
        del last[gone]
    due = [saved for saved in alarms if is_due(saved.body, last.get(saved.name), now)]
    due.sort(key=lambda saved: (last.get(saved.name, NEVER), evaluation_cost(saved.body)))
    judged, spent = list[tuple[Saved[Alarm], Alarm]](), 0
    for saved in due:
        if spent and spent + evaluation_cost(saved.body) > BUDGET:
            break
        spent += evaluation_cost(saved.body)
        judged.append((saved, await judge_alarm(metrics, saved.body, now)))
        await asyncio.sleep(0)  # guards of rollouts may be due meanwhile
    moved = [(saved, after) for saved, after in judged if after is not saved.body]
    written = await store.run(lambda tx: save(tx, moved, now)) if moved else []
    last.update({saved.name: now for saved, _ in judged})
    return written + await _settle_composites(store, alarms, moved, now)


async def _settle_composites(
    store: Store, alarms: list[Saved[Alarm]], moved: list[tuple[Saved[Alarm], Alarm]], now: datetime
) -> list[str]:
    """Judge the composite alarms by the states of the others, which may have been written elsewhere."""
    present = {saved.name: saved.body for saved in alarms} | {saved.name: after for saved, after in moved}
    changed = [one.name for one in alarm_rule.judge_all(present, now)]
    return await store.run(lambda tx: settle(tx, changed, now)) if changed else []


def readable(tx: Tx) -> list[Saved[Alarm]]:
    """All alarms that this program can read: one unreadable record must not disable the others."""
    page = tx.find(ALARM)
    for one in page.unreadable:
        log.warning("an alarm is not judged: %s", one.why)
    return page.items


async def judge_alarm(metrics: Metrics, alarm: Alarm, now: datetime) -> Alarm:
    """The alarm after a look at its metric. One that cannot be judged stays as it is, and holds up no other."""
    try:
        return evaluate_data(alarm, await read_all(metrics, needed(alarm, now)), now)
    except Exception as error:
        log.warning("alarm %s cannot be judged: %s: %s", alarm.name, type(error).__name__, error)
        return alarm


def save(tx: Tx, moved: list[tuple[Saved[Alarm], Alarm]], now: datetime) -> list[str]:
    """Write the new states of the records that still are as they were read; returns their names."""
    written = []
    for saved, after in moved:
        present = read_if_readable(tx, ALARM, saved.name)
        if present is not None and present.version == saved.version:
            tx.put(ALARM, saved.name, after, expect=saved.version, now=now, events=state_events(saved.body, after))
            written.append(saved.name)
    return written
