"""Use cases of alarms: define, look up, set by hand, delete, and read their history.

The history comes from the journal: every write of an alarm has events whose ``data["item"]`` is the type of the
history item.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tidegate.domain import alarm_rule
from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator
from tidegate.domain.errors import Invalid, UnreadableRecord
from tidegate.domain.metric import MetricId
from tidegate.domain.observation import Event
from tidegate.domain.registry import Tags
from tidegate.monitoring.alarm_data import series_of
from tidegate.monitoring.alarm_definition import check
from tidegate.monitoring.alarm_events import state_events
from tidegate.ports.store import Filter, JournalLine, Tx
from tidegate.service import tags as tagging
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.service.records import read_if_readable, require

MAX_HISTORY_DATA = 4095
"""Characters of one history item's data."""
JOURNAL_PAGE = 100
"""Journal lines read at a time."""


@dataclass(frozen=True)
class AlarmFilter:
    """Filter of a listing; None matches all."""

    names: tuple[str, ...] | None = None
    prefix: str | None = None
    state: AlarmState | None = None
    action_prefix: str | None = None
    composite: bool | None = None
    """Composite alarms, or the others; None: both."""

    def keeps(self, alarm: Alarm) -> bool:
        actions = (*alarm.ok_actions, *alarm.alarm_actions, *alarm.insufficient_data_actions)
        return (
            (self.prefix is None or alarm.name.startswith(self.prefix))
            and (self.state is None or alarm.state is self.state)
            and (self.composite is None or bool(alarm.rule) is self.composite)
            and (self.action_prefix is None or any(a.startswith(self.action_prefix) for a in actions))
        )


@dataclass(frozen=True)
class HistoryFilter:
    name: str | None = None
    item: str | None = None
    """ConfigurationUpdate, StateUpdate or Action."""
    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = True
    composite: bool | None = False
    """Items of composite alarms, or of the others; None: of both."""


@dataclass(frozen=True)
class HistoryItem:
    name: str
    composite: bool
    at: datetime
    item: str
    summary: str
    data: str
    """JSON."""


def put(tx: Tx, alarm: Alarm, now: datetime, tags: Tags | None = None) -> None:
    """Create the alarm, or redefine it and keep its state and tags. Raises Invalid, also for a rule that names an
    alarm that does not exist, or the alarm itself, through others or not."""
    check(alarm)
    old = tx.get(ALARM, alarm.name)
    if old is not None and bool(old.body.rule) is not bool(alarm.rule):
        kind = "composite" if old.body.rule else "metric"
        raise Invalid(f'alarm "{alarm.name}" exists as a {kind} alarm: delete it first, or choose another name')
    if alarm.rule:
        read_rule_alarms(tx, alarm)
    new = replace(alarm, configured_at=now)
    if old is not None:
        new = _with_state_of(old.body, new)
    word = "created" if old is None else "updated"
    event = Event("alarm", f'Alarm "{alarm.name}" {word}', {"item": "ConfigurationUpdate", "type": word})
    tx.put(ALARM, alarm.name, new, expect=old.version if old else 0, now=now, events=[_mark(event, alarm)])
    if old is None and tags:
        tagging.add(tx, ALARM, alarm.name, tags, now)
    if alarm.rule:
        settle(tx, find_dependents(tx, [alarm.name]) | {alarm.name}, now)


def read_rule_alarms(tx: Tx, alarm: Alarm) -> dict[str, Alarm]:
    """The alarms that the rule of ``alarm`` names, and those that their rules name, by name. Raises Invalid for a
    missing one, and for a rule that names the alarm itself."""
    found, waiting = dict[str, Alarm](), [alarm]
    while waiting:
        one = waiting.pop()
        for name in alarm_rule.named_alarms(one.rule) if one.rule else ():
            if name == alarm.name:
                raise Invalid(f'AlarmRule of "{alarm.name}": it depends on the alarm itself, through "{one.name}"')
            if name in found:
                continue
            saved = tx.get(ALARM, name)
            if saved is None:
                raise Invalid(f'AlarmRule of "{one.name}": there is no alarm "{name}"; define it first')
            found[name] = saved.body
            waiting.append(saved.body)
    return found


def find_dependents(tx: Tx, names: Iterable[str]) -> set[str]:
    """Names of the composite alarms that depend on these, directly or through others."""
    rules = {one.name: alarm_rule.named_alarms(one.rule) for one in find_all(tx) if one.rule}
    found, waiting = set[str](), set(names)
    while waiting:
        waiting = {name for name, named in rules.items() if not waiting.isdisjoint(named)} - found
        found |= waiting
    return found


def settle(tx: Tx, names: Iterable[str], now: datetime) -> list[str]:
    """Bring composite alarms into the states that follow from the others; returns the names of those that changed.
    One that depends on others of ``names`` comes after them."""
    found = {saved.name: saved for name in names if (saved := read_if_readable(tx, ALARM, name)) is not None}
    written = []
    for one in alarm_rule.order(saved.body for saved in found.values()):
        named = ((name, read_if_readable(tx, ALARM, name)) for name in alarm_rule.named_alarms(one.rule))
        after = alarm_rule.judge(one, {name: saved.body for name, saved in named if saved is not None}, now)
        if after is not one:
            events = [_mark(event, one) for event in state_events(one, after)]
            tx.put(ALARM, one.name, after, expect=found[one.name].version, now=now, events=events)
            written.append(one.name)
    return written


def _mark(event: Event, alarm: Alarm) -> Event:
    """History items of composite alarms are listed by that type alone."""
    return replace(event, data={**event.data, "composite": True}) if alarm.rule else event


def find(
    tx: Tx, where: AlarmFilter, limit: int | None = None, after: str | None = None
) -> tuple[list[Alarm], bool]:
    """Alarms in the order of their names, from the name after ``after``, and whether there are more. Unknown names
    are skipped."""
    if where.names is None:
        found = find_all(tx, where.prefix)
    else:
        found = [alarm for alarm in (read_shown(tx, name) for name in set(where.names)) if alarm is not None]
    found.sort(key=lambda alarm: alarm.name)
    kept = [alarm for alarm in found if where.keeps(alarm) and (after is None or alarm.name > after)]
    return kept[:limit], limit is not None and len(kept) > limit


def find_all(tx: Tx, prefix: str | None = None) -> list[Alarm]:
    """Return the alarms to show, in no order. One that cannot be read is among them, too (``stand_in``)."""
    page = tx.find(ALARM, Filter(name_prefix=prefix))
    return [*(saved.body for saved in page.items), *(stand_in(one.name, one.why) for one in page.unreadable)]


def read_shown(tx: Tx, name: str) -> Alarm | None:
    """Return the alarm to show, or None if there is none."""
    try:
        saved = tx.get(ALARM, name)
    except UnreadableRecord as error:
        return stand_in(name, str(error))
    return None if saved is None else saved.body


def stand_in(name: str, why: str) -> Alarm:
    """Make the alarm to show for one that cannot be read. Nothing is known of it, which is never good news."""
    return Alarm(
        name,
        "",
        "",
        {},
        "",
        60,
        1,
        1,
        0.0,
        ComparisonOperator.GREATER,
        datetime.fromtimestamp(0, UTC),
        state_reason=why,
    )


def find_for_metric(
    tx: Tx, metric: MetricId, statistic: str | None = None, period: int | None = None, unit: str | None = None
) -> list[Alarm]:
    """Alarms on exactly this series."""
    alarms, _ = find(tx, AlarmFilter())
    return [
        a
        for a in alarms
        if series_of(a) == metric
        and (statistic is None or a.statistic == statistic)
        and (period is None or a.period == period)
        and (unit is None or a.unit == unit)
    ]


def delete(tx: Tx, names: Sequence[str], now: datetime) -> None:
    """Delete alarms, whether or not they can be read. Unknown names are skipped, as in CloudWatch, so deleting again
    is no error."""
    for name in dict.fromkeys(names):
        event = Event("alarm", f'Alarm "{name}" deleted', {"item": "ConfigurationUpdate", "type": "deleted"})
        saved = read_if_readable(tx, ALARM, name)
        event = event if saved is None else _mark(event, saved.body)
        if tx.delete(ALARM, name, expect=None, now=now, events=[event]):
            tagging.drop(tx, ALARM, name, now)


def set_state(tx: Tx, name: str, state: AlarmState, reason: str, data: str | None, now: datetime) -> None:
    """Set the state by hand. The next evaluation replaces it with the state by the metric."""
    saved = require(tx, ALARM, name)
    old = saved.body
    new = replace(old, state=state, state_reason=reason, state_reason_data=data, state_updated_at=now)
    if state is not old.state:
        new = replace(new, state_changed_at=now)
    tx.put(
        ALARM, name, new, expect=saved.version, now=now, events=[_mark(one, old) for one in state_events(old, new)]
    )
    settle(tx, find_dependents(tx, [name]), now)


def set_actions(tx: Tx, names: Sequence[str], enabled: bool, now: datetime) -> None:
    """Enable or disable actions. Unknown names are skipped, as in CloudWatch."""
    for name in dict.fromkeys(names):
        saved = tx.get(ALARM, name)
        if saved is not None and saved.body.actions_enabled != enabled:
            word = "enabled" if enabled else "disabled"
            event = Event("alarm", f'Actions of "{name}" {word}', {"item": "ConfigurationUpdate", "type": word})
            body = replace(saved.body, actions_enabled=enabled)
            tx.put(ALARM, name, body, expect=saved.version, now=now, events=[_mark(event, body)])


def guarded_endpoints(tx: Tx, names: Iterable[str]) -> list[str]:
    """Endpoints with a rollout in progress that names one of these alarms, or a composite alarm that depends on
    one."""
    wanted = set(names)
    wanted |= find_dependents(tx, wanted)
    return [
        saved.name
        for saved in tx.find(ENDPOINT).items
        if saved.body.rollout is not None and wanted.intersection(saved.body.rollout.plan.alarms)
    ]


def history(tx: Tx, where: HistoryFilter, limit: int, after: int = 0) -> tuple[list[HistoryItem], int | None]:
    """History items after the journal line ``after``, and the line to continue from if there are more. Items of one
    line stay together, so a page may have a few more than ``limit``."""
    items: list[HistoryItem] = []
    while True:
        lines = tx.journal(
            kind=ALARM.name,
            name=where.name,
            since=where.since,
            until=where.until,
            after=after,
            limit=JOURNAL_PAGE,
            newest_first=where.newest_first,
            bodies=False,
        )
        for line in lines:
            if len(items) >= limit:
                return items, after
            kept = (item for item in _history_items(line) if where.composite in (None, item.composite))
            items += [item for item in kept if where.item in (None, item.item)]
            after = line.seq
        if len(lines) < JOURNAL_PAGE:
            return items, None


def _history_items(line: JournalLine) -> list[HistoryItem]:
    found = []
    for event in line.events:
        data = {key: value for key, value in event.data.items() if key not in ("item", "composite")}
        text = json.dumps(data)
        if len(text) > MAX_HISTORY_DATA:
            text = json.dumps({**data, "stateReasonData": None})
        if len(text) > MAX_HISTORY_DATA:
            text = json.dumps({"note": "too long to show"})
        found.append(
            HistoryItem(
                line.name,
                "composite" in event.data,
                line.at,
                str(event.data.get("item")),
                event.message[:255],
                text,
            )
        )
    return found


def _with_state_of(old: Alarm, new: Alarm) -> Alarm:
    return replace(
        new,
        state=old.state,
        state_reason=old.state_reason,
        state_reason_data=old.state_reason_data,
        state_updated_at=old.state_updated_at,
        state_changed_at=old.state_changed_at,
    )
