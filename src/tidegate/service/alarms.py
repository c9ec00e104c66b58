"""What people do with alarms: define, look up, set by hand, delete; and the history of all that.

The history is the journal: every write of an alarm carries events whose ``data["item"]`` is the kind of history
item that it makes.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId
from tidegate.domain.observation import Event
from tidegate.domain.registry import Tags
from tidegate.monitoring import metric_math
from tidegate.monitoring.alarms import EXTRA, INTERVALS, MINUTE
from tidegate.monitoring.datapoint import STATISTICS, check_percentile
from tidegate.ports.store import Filter, JournalLine, Tx
from tidegate.service import tags as tagging
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.service.records import require

DAY = 86_400
MAX_PERIODS = 10_000
"""Of one alarm: somewhat more than a day of 10 seconds, CloudWatch's shortest period for a day."""
MAX_HISTORY_DATA = 4095
"""Characters of one history item's data."""
MAX_QUERIES = 20
"""Of one alarm's metric math."""
JOURNAL_PAGE = 100
"""Journal lines read at a time."""


@dataclass(frozen=True)
class AlarmFilter:
    """What a listing keeps; None keeps all."""

    names: tuple[str, ...] | None = None
    prefix: str | None = None
    state: AlarmState | None = None
    action_prefix: str | None = None

    def keeps(self, alarm: Alarm) -> bool:
        actions = (*alarm.ok_actions, *alarm.alarm_actions, *alarm.insufficient_data_actions)
        return (
            (self.prefix is None or alarm.name.startswith(self.prefix))
            and (self.state is None or alarm.state is self.state)
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


@dataclass(frozen=True)
class HistoryItem:
    name: str
    at: datetime
    item: str
    summary: str
    data: str
    """JSON."""


def check(alarm: Alarm) -> None:
    """Raises Invalid for an alarm that cannot be evaluated."""
    period, periods = alarm.period, alarm.evaluation_periods
    if period not in INTERVALS and (period <= 0 or period % MINUTE):
        raise Invalid(f"alarm {alarm.name}: period {period} is not 1, 5, 10, 20, 30 or a multiple of 60 seconds")
    if not 1 <= alarm.datapoints_to_alarm <= periods:
        raise Invalid(
            f"alarm {alarm.name}: datapoints to alarm ({alarm.datapoints_to_alarm}) must be between 1 and the "
            f"evaluation periods ({periods})"
        )
    longest = 7 * DAY if period >= 3600 else DAY
    if period * periods > longest:
        raise Invalid(
            f"alarm {alarm.name}: {periods} periods of {period} s are longer than {longest // DAY} day(s), the "
            "most for this period"
        )
    if periods > MAX_PERIODS:
        raise Invalid(
            f"alarm {alarm.name}: {periods:,} evaluation periods are more than {MAX_PERIODS:,}, the most there may "
            "be: use a longer period"
        )
    if not math.isfinite(alarm.threshold):
        raise Invalid(f"alarm {alarm.name}: threshold {alarm.threshold} is not a number to compare with")
    if alarm.queries:
        _check_math(alarm)
    elif alarm.statistic not in STATISTICS:
        check_percentile(alarm.statistic)


def _check_math(alarm: Alarm) -> None:
    if len(alarm.queries) > MAX_QUERIES:
        raise Invalid(
            f"alarm {alarm.name}: {len(alarm.queries)} lines of metric math; at most {MAX_QUERIES} may be"
        )
    if sum(query.returned for query in alarm.queries) != 1:
        raise Invalid(f"alarm {alarm.name}: exactly one of Metrics must have ReturnData true: what is watched")
    metric_math.check(alarm.queries)
    most = metric_math.MOST_WATCHED
    if (steps := metric_math.size(alarm.queries) * (alarm.evaluation_periods + EXTRA)) > most:
        raise Invalid(
            f"alarm {alarm.name}: its metric math takes {steps:,} steps each time that it is looked at; at most "
            f"{most:,} may be: fewer evaluation periods, or shorter expressions"
        )


def put(tx: Tx, alarm: Alarm, now: datetime, tags: Tags | None = None) -> None:
    """Defines the alarm, or redefines it: then the state stays, and so do the tags."""
    check(alarm)
    old = tx.get(ALARM, alarm.name)
    new = replace(alarm, configured_at=now)
    if old is not None:
        new = _with_state_of(old.body, new)
    word = "created" if old is None else "updated"
    event = Event("alarm", f'Alarm "{alarm.name}" {word}', {"item": "ConfigurationUpdate", "type": word})
    tx.put(ALARM, alarm.name, new, expect=old.version if old else 0, now=now, events=[event])
    if old is None and tags:
        tagging.add(tx, ALARM, alarm.name, tags, now)


def find(
    tx: Tx, where: AlarmFilter, limit: int | None = None, after: str | None = None
) -> tuple[list[Alarm], bool]:
    """Alarms in the order of their names, those behind the name ``after``; and whether there are more. Names that
    are not there are left out."""
    if where.names is None:
        saved = tx.find(ALARM, Filter(name_prefix=where.prefix)).items
    else:
        saved = [s for s in (tx.get(ALARM, name) for name in set(where.names)) if s is not None]
    saved = sorted(saved, key=lambda s: s.name)
    kept = [s.body for s in saved if where.keeps(s.body) and (after is None or s.name > after)]
    return kept[:limit], limit is not None and len(kept) > limit


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


def series_of(alarm: Alarm) -> MetricId:
    return MetricId.of(alarm.namespace, alarm.metric, alarm.dimensions)


def delete(tx: Tx, names: Sequence[str], now: datetime) -> None:
    """Names that are not there are passed over, as in CloudWatch: to delete again what is gone is no error."""
    for name in dict.fromkeys(names):
        if tx.get(ALARM, name) is None:
            continue
        event = Event("alarm", f'Alarm "{name}" deleted', {"item": "ConfigurationUpdate", "type": "deleted"})
        tx.delete(ALARM, name, expect=None, now=now, events=[event])
        tagging.drop(tx, ALARM, name, now)


def set_state(tx: Tx, name: str, state: AlarmState, reason: str, data: str | None, now: datetime) -> None:
    """By hand and at once; the next evaluation says again what the metric says."""
    saved = require(tx, ALARM, name)
    old = saved.body
    new = replace(old, state=state, state_reason=reason, state_reason_data=data, state_updated_at=now)
    if state is not old.state:
        new = replace(new, state_changed_at=now)
    tx.put(ALARM, name, new, expect=saved.version, now=now, events=state_change_events(old, new))


def set_actions(tx: Tx, names: Sequence[str], enabled: bool, now: datetime) -> None:
    """Switches actions on or off; names that are not there are passed over, as in CloudWatch."""
    for name in dict.fromkeys(names):
        saved = tx.get(ALARM, name)
        if saved is not None and saved.body.actions_enabled != enabled:
            word = "enabled" if enabled else "disabled"
            event = Event("alarm", f'Actions of "{name}" {word}', {"item": "ConfigurationUpdate", "type": word})
            body = replace(saved.body, actions_enabled=enabled)
            tx.put(ALARM, name, body, expect=saved.version, now=now, events=[event])


def state_change_events(old: Alarm, new: Alarm) -> list[Event]:
    """The events of a change of state: the change, and each action that it calls for. Nothing when it stayed.

    Actions are recorded, not carried out: no notification leaves this server. Scaling policies look at the state of
    the alarms that name them.
    """
    if new.state is old.state:
        return []
    change: dict[str, object] = {
        "item": "StateUpdate",
        "version": "1.0",
        "oldState": {"stateValue": old.state.value, "stateReason": old.state_reason},
        "newState": {"stateValue": new.state.value, "stateReason": new.state_reason},
        "stateReasonData": new.state_reason_data,
    }
    events = [Event("alarm", f"Alarm updated from {old.state} to {new.state}", change)]
    actions = {
        AlarmState.OK: new.ok_actions,
        AlarmState.ALARM: new.alarm_actions,
        AlarmState.INSUFFICIENT_DATA: new.insufficient_data_actions,
    }[new.state]
    if new.actions_enabled:
        events += [
            Event("alarm", f"Action due, {_describe_handling(arn)}: {arn}", {"item": "Action", "action": arn})
            for arn in actions
        ]
    return events


def _describe_handling(arn: str) -> str:
    return "left to its policy" if ":autoscaling:" in arn else "not carried out"


def guarded_endpoints(tx: Tx, names: Iterable[str]) -> list[str]:
    """Endpoints whose rollout under way names one of these alarms."""
    wanted = set(names)
    return [
        saved.name
        for saved in tx.find(ENDPOINT).items
        if saved.body.rollout is not None and wanted.intersection(saved.body.rollout.plan.alarms)
    ]


def history(tx: Tx, where: HistoryFilter, limit: int, after: int = 0) -> tuple[list[HistoryItem], int | None]:
    """Items behind the journal line ``after``, and the line to go on from when there are more. The items of one
    line stay together, so a page may hold a few more than ``limit``."""
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
            items += [i for i in _history_items(line) if where.item in (None, i.item)]
            after = line.seq
        if len(lines) < JOURNAL_PAGE:
            return items, None


def _history_items(line: JournalLine) -> list[HistoryItem]:
    found = []
    for event in line.events:
        data = {key: value for key, value in event.data.items() if key != "item"}
        text = json.dumps(data)
        if len(text) > MAX_HISTORY_DATA:
            text = json.dumps({**data, "stateReasonData": None})
        if len(text) > MAX_HISTORY_DATA:
            text = json.dumps({"note": "too long to show"})
        found.append(HistoryItem(line.name, line.at, str(event.data.get("item")), event.message[:255], text))
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
