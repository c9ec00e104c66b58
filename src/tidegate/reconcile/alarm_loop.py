"""The body of the alarm loop: judge the alarms that are due, save the states that changed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from tidegate.domain import alarm_rule
from tidegate.domain.alarm import Alarm
from tidegate.monitoring.alarm_data import evaluate_data, evaluation_cost, needed, watched_endpoints
from tidegate.monitoring.alarm_evaluation import is_due
from tidegate.monitoring.alarm_events import state_events
from tidegate.monitoring.guard_verdicts import NEVER
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store, StoredRecord, Tx
from tidegate.reconcile.reads import read_all
from tidegate.service.alarms import settle
from tidegate.service.record_kinds import ALARM
from tidegate.service.records import read_if_readable

COUNTING_PATIENCE = 5.0
"""Seconds that counts may be behind the present before an alarm is judged without the rest."""
BUDGET = 200_000
"""Steps of evaluation of one call: a fraction of a second's work."""

log = logging.getLogger(__name__)


async def evaluate_due(
    store: Store,
    metrics: Metrics,
    now: datetime,
    last: dict[str, datetime],
    read: Callable[[Store], Awaitable[list[StoredRecord[Alarm]]]] = lambda store: store.run(readable),
    guards: Mapping[str, Alarm] = MappingProxyType({}),
    counted: Mapping[str, int] = MappingProxyType({}),
) -> list[str]:
    """Judge every alarm that is due; returns the names of those whose state changed.

    ``guards``: alarms that guard rollouts, as judged there, each second. An alarm has one state: that one, at once.
    ``counted``: endpoint -> up to which epoch second its requests are counted. An alarm is judged by complete counts:
    a period that just ended is judged a moment later, not a period later.

    ``last`` is the caller's memory of when each alarm was judged; it is brought up to date. ``read`` gives all
    alarms. A record that someone else changed meanwhile is left alone: a redefined alarm is due again at once, one
    set by hand at its next turn. One call takes ``BUDGET`` steps at most; alarms beyond that are judged by the next
    calls, those that have waited longest first.
    """
    alarms = await read(store)
    for gone in last.keys() - {saved.name for saved in alarms}:
        del last[gone]
    at = {saved.name: _find_counted_end(saved.body, counted, now) for saved in alarms}
    due = [saved for saved in alarms if is_due(saved.body, last.get(saved.name), at[saved.name])]
    names, judged = {saved.name for saved in due}, list[tuple[StoredRecord[Alarm], Alarm]]()
    for saved in alarms:
        if (guard := guards.get(saved.name)) is not None and guard.same_definition(saved.body):
            judged.append((saved, adopt_state(saved.body, guard, now, due=saved.name in names)))
    guarded = {saved.name for saved, _ in judged}
    due.sort(key=lambda saved: (last.get(saved.name, NEVER), evaluation_cost(saved.body)))
    spent = 0
    for saved in due:
        if saved.name in guarded:
            last[saved.name] = at[saved.name]
            continue
        if spent and spent + evaluation_cost(saved.body) > BUDGET:
            break
        spent += evaluation_cost(saved.body)
        judged.append((saved, await judge_alarm(metrics, saved.body, at[saved.name])))
        await asyncio.sleep(0)  # guards of rollouts may be due meanwhile
    moved = [(saved, after) for saved, after in judged if after is not saved.body]
    written = await store.run(lambda tx: save(tx, moved, now)) if moved else []
    last.update({saved.name: at[saved.name] for saved, _ in judged if saved.name not in guarded})
    return written + await _settle_composites(store, alarms, moved, now)


async def _settle_composites(
    store: Store, alarms: list[StoredRecord[Alarm]], moved: list[tuple[StoredRecord[Alarm], Alarm]], now: datetime
) -> list[str]:
    """Judge the composite alarms by the states of the others, which may have been written elsewhere."""
    present = {saved.name: saved.body for saved in alarms} | {saved.name: after for saved, after in moved}
    changed = [one.name for one in alarm_rule.judge_all(present, now)]
    return await store.run(lambda tx: settle(tx, changed, now)) if changed else []


def _find_counted_end(alarm: Alarm, counted: Mapping[str, int], now: datetime) -> datetime:
    """Up to when the requests are counted that the alarm is about. Counts that are late do not hold it up."""
    reached = [counted[name] for name in watched_endpoints(alarm) if name in counted]
    if not reached or not 0 <= now.timestamp() - min(reached) <= COUNTING_PATIENCE:
        return now
    return datetime.fromtimestamp(min(reached), UTC)


def adopt_state(present: Alarm, guard: Alarm, now: datetime, *, due: bool = False) -> Alarm:
    """The alarm in the state that it has as a guard. One that was set by hand since that state began keeps its own
    until it is due."""
    began, written = guard.state_changed_at, present.state_updated_at
    set_since = written is not None and (began is None or began <= written)
    if guard.state is present.state or (set_since and not due):
        return present
    return replace(
        present,
        state=guard.state,
        state_reason=guard.state_reason,
        state_reason_data=guard.state_reason_data,
        state_updated_at=now,
        state_changed_at=now,
    )


def save_guard_states(tx: Tx, guards: Iterable[Alarm], now: datetime) -> list[str]:
    """Write the states that guards have, where they are newer; returns the names of those that changed."""
    written = []
    for guard in guards:
        saved = read_if_readable(tx, ALARM, guard.name)
        if saved is None or not guard.same_definition(saved.body):
            continue
        after = adopt_state(saved.body, guard, now)
        if after is not saved.body:
            tx.put(ALARM, saved.name, after, expect=saved.version, now=now, events=state_events(saved.body, after))
            written.append(saved.name)
    return written


def readable(tx: Tx) -> list[StoredRecord[Alarm]]:
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


def save(tx: Tx, moved: list[tuple[StoredRecord[Alarm], Alarm]], now: datetime) -> list[str]:
    """Write the new states of the records that still are as they were read; returns their names."""
    written = []
    for saved, after in moved:
        present = read_if_readable(tx, ALARM, saved.name)
        if present is not None and present.version == saved.version:
            tx.put(ALARM, saved.name, after, expect=saved.version, now=now, events=state_events(saved.body, after))
            written.append(saved.name)
    return written
