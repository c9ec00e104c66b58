"""The guards of rollouts: in which order they are judged, and what their verdicts rest on. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tidegate.domain import alarm_rule
from tidegate.domain.alarm import Alarm, AlarmState, MissingData
from tidegate.domain.metric import SIGNALS, Coverage
from tidegate.domain.observation import GuardCheck
from tidegate.monitoring.alarm_data import Data, evaluate_data, evaluation_cost, points, watched_endpoints
from tidegate.monitoring.alarm_evaluation import windows

BUDGET = 100_000
"""Steps of evaluation that one round may take. What does not fit waits for the next round, cheap guards going first:
an expensive guard holds its own rollout, never another's."""
EXPENSIVE = BUDGET // 100
NEVER = datetime.min.replace(tzinfo=UTC)

Counted = Mapping[str, tuple[datetime, Coverage]]
"""By endpoint: when its requests were counted last, and over which span without a hole."""
Key = tuple[str, str]
"""The id of a rollout, and the name of an alarm."""


@dataclass(frozen=True)
class GuardVerdict:
    """A guard after it was judged, when, and up to when the data reach that it was judged by. ``from_before``: it is
    in ALARM, and was not when the rollout began, by data of before that alone: those say nothing of it. ``unread``:
    the readings of its signal end before what was counted does."""

    alarm: Alarm
    at: datetime
    through: datetime
    from_before: bool = False
    unread: bool = False


@dataclass(frozen=True)
class QueuedGuard:
    key: Key
    alarm: Alarm
    endpoint: str
    last: datetime | None
    """When it was judged."""


def judge_guard(alarm: Alarm, endpoint: str, data: Data, counted: Counted, now: datetime) -> GuardVerdict:
    """Evaluate a guard of a rollout of ``endpoint``."""
    judged, spans = evaluate_data(alarm, data, now), windows(alarm, now)
    named = {endpoint, *watched_endpoints(alarm)}
    through = min([spans.stop, *(counted[name][1].through for name in named if name in counted)])
    read = through
    if alarm.namespace == SIGNALS and judged.state is AlarmState.OK and alarm.missing is MissingData.MISSING:
        read = min(through, _find_last_reading(alarm, data, now))
    return GuardVerdict(judged, now, _instant(read), unread=read < through)


def _find_last_reading(alarm: Alarm, data: Data, now: datetime) -> int:
    """Return up to when (epoch seconds) the readings of a signal reach by which its alarm is OK. Those of before its
    server died do not say that the signal is still good. Neither does the first one after that, as long as the alarm
    would fire if those that are missing were bad."""
    known = list(zip(windows(alarm, now), points(alarm, data, now), strict=True))
    read = [at for at, point in known if point is not None]
    last = read[-1] + alarm.period
    worst = evaluate_data(replace(alarm, missing=MissingData.BREACHING), data, now)
    if worst.state is AlarmState.OK:
        return last
    return min([last, *(at for at, point in known if point is None and at > read[0])])


def judge_composite(
    alarm: Alarm, named: Mapping[str, GuardVerdict | None], now: datetime, *, excused: bool = True
) -> GuardVerdict | None:
    """Evaluate a guard with a rule by the verdicts on the alarms that it names; None while these leave it open. It is
    as old as the oldest of them. It is in ALARM by data of before the rollout alone if the rule would not hold
    without the alarms that are; ``excused``: it was not in ALARM for another reason before."""
    verdicts = {name: verdict for name, verdict in named.items() if verdict is not None}
    states = {name: verdict.alarm.state for name, verdict in verdicts.items()}
    if alarm_rule.holds(alarm_rule.parse(alarm.rule), states) is None:
        return None
    after = alarm_rule.judge(alarm, {name: verdict.alarm for name, verdict in verdicts.items()}, now)
    at = min((one.at for one in verdicts.values()), default=now)
    through = min((one.through for one in verdicts.values()), default=now)
    since = {name: AlarmState.OK if one.from_before else states[name] for name, one in verdicts.items()}
    rests_on_before = since != states and not alarm_rule.holds(alarm_rule.parse(alarm.rule), since)
    before = excused and after.state is AlarmState.ALARM and rests_on_before
    return GuardVerdict(after, at, through, from_before=before)


def pick_round(queue: Iterable[QueuedGuard]) -> list[QueuedGuard]:
    """The guards of one round. Cheap ones come first; of the expensive ones those that have waited longest."""
    picked, spent = [], 0
    for one in sorted(queue, key=_rank):
        cost = evaluation_cost(one.alarm)
        if not spent or spent + cost <= BUDGET:
            picked.append(one)
            spent += cost
    return picked


def _rank(queued: QueuedGuard) -> tuple[bool, datetime, int]:
    cost = evaluation_cost(queued.alarm)
    expensive = cost > EXPENSIVE
    return expensive, queued.last if expensive and queued.last is not None else NEVER, cost


def evidence(
    counted: tuple[datetime, Coverage] | None, verdicts: Sequence[GuardVerdict | None]
) -> GuardCheck | None:
    """Return the evidence on which a step of a rollout may rest; None if part of it was never counted or judged."""
    if counted is None or None in verdicts:
        return None
    at, coverage = counted
    judged = [verdict for verdict in verdicts if verdict is not None]
    return GuardCheck(
        judged_at=min([at, *(verdict.at for verdict in judged)]),
        since=_instant(coverage.since),
        through=min([_instant(coverage.through), *(verdict.through for verdict in judged)]),
        read_through={verdict.alarm.name: verdict.through for verdict in judged if verdict.unread},
    )


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
