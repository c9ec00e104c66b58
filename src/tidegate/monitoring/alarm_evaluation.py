"""How an alarm judges its metric: CloudWatch's published algorithm, M out of N with missing data.

Source: CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data". Where the guide is silent
the choice is said at its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tidegate.domain.alarm import Alarm, AlarmState, MissingData
from tidegate.monitoring import reasons
from tidegate.monitoring.samples import PERCENTILE, Datapoint

MINUTE = 60
EXTRA = 2
"""Periods read beyond N, so that late or sparse data is bridged (the guide's example: N = 3 reads 5)."""

INTERVALS = {1: 1, 5: 5, 10: 10, 20: 10, 30: 10}
"""Seconds between evaluations for the periods below a minute; from a minute on it is every minute."""


@dataclass(frozen=True)
class AlarmVerdict:
    """The state of an alarm by its points. ``used``: the real points that determine it, oldest first; ``filled``:
    number of missing periods that were filled in by the alarm's treatment of missing data."""

    state: AlarmState
    used: tuple[Datapoint, ...]
    filled: int


def windows(alarm: Alarm, now: datetime) -> range:
    """The begins (epoch seconds) of the spans to read, oldest first: ``N + EXTRA`` spans of one period.

    They slide: the newest ends at the last whole second, or at the last whole minute for periods from a minute
    on (standard-resolution data lies on whole minutes; a minute that is not over would show too small a sum).
    They are not aligned to the period: at minute 6 a period of 300 s covers minutes 1 to 5.
    """
    end = int(now.timestamp())
    if alarm.period >= MINUTE:
        end -= end % MINUTE
    return range(end - (alarm.evaluation_periods + EXTRA) * alarm.period, end, alarm.period)


def next_evaluation(alarm: Alarm, last: datetime | None) -> datetime:
    """Return when to evaluate next after ``last``: at whole multiples of the alarm's interval, or at once if it was
    never evaluated, or has changed since."""
    if last is None or last < alarm.configured_at:
        return alarm.configured_at
    interval = INTERVALS.get(alarm.period, MINUTE)
    return datetime.fromtimestamp((int(last.timestamp()) // interval + 1) * interval, UTC)


def is_due(alarm: Alarm, last: datetime | None, now: datetime) -> bool:
    """Whether to evaluate the alarm now. A clock that was set back does not suspend it until the clock catches up. A
    composite alarm follows those that its rule names (``alarm_rule``)."""
    if alarm.rule:
        return False
    set_back = now < alarm.configured_at or (last is not None and now < last)
    return set_back or next_evaluation(alarm, last) <= now


def evaluate(alarm: Alarm, points: Sequence[Datapoint | None], now: datetime) -> Alarm:
    """The alarm after looking at ``points``: one for each of ``windows``, newest last, None where there is no
    data. The same object when nothing changed."""
    verdict = judge(alarm, points)
    if verdict.state is alarm.state:
        return alarm
    return replace(
        alarm,
        state=verdict.state,
        state_reason=reasons.text(alarm, verdict.state, verdict.used, verdict.filled),
        state_reason_data=reasons.data(alarm, verdict.used, now),
        state_updated_at=now,
        state_changed_at=now,
    )


def judge(alarm: Alarm, points: Sequence[Datapoint | None]) -> AlarmVerdict:
    """The guide's rules: with N real points or more, the N newest count and the treatment of missing data does
    not; with fewer, all of them count and the rest is filled by the treatment."""
    wanted = alarm.evaluation_periods
    real = tuple(p for p in points if p is not None)[-wanted:]
    if alarm.ignore_low_samples and any(p.samples < enough_samples(alarm.statistic) for p in real):
        return AlarmVerdict(alarm.state, real, 0)
    filled = wanted - len(real)
    breaching = sum(alarm.comparison.breaches(p.value, alarm.threshold) for p in real)
    counted = breaching + (filled if alarm.missing is MissingData.BREACHING else 0)
    if counted >= alarm.datapoints_to_alarm:
        state = AlarmState.ALARM
    elif (
        not filled or breaching < len(real) or alarm.missing in (MissingData.BREACHING, MissingData.NOT_BREACHING)
    ):
        state = AlarmState.OK
    else:
        state = _undecided(alarm, points)
    return AlarmVerdict(state, real, filled)


def enough_samples(statistic: str) -> float:
    """Return the number of samples that a percentile needs to be meaningful: 10 / (1 - p) from the median up, 10 / p
    below; other statistics need none."""
    percent = PERCENTILE.fullmatch(statistic)
    if percent is None:
        return 0.0
    share = float(percent[1]) / 100
    tail = 1 - share if share >= 0.5 else share
    return 10 / tail if tail > 0 else 0.0


def _undecided(alarm: Alarm, points: Sequence[Datapoint | None]) -> AlarmState:
    """Fewer than M breaching points, nothing that speaks against them, and missing data stays missing.

    The guide goes to ALARM when the oldest breaching point is at least M periods old and every newer one is
    breaching or missing; before that it waits for the next point. "Waits" is read as: the state stays. A real
    point that does not breach, also an older one, rules this out (the guide's row ``0-X--`` is OK).
    """
    age = next((len(points) - place for place, point in enumerate(points) if point is not None), 0)
    if alarm.missing is MissingData.IGNORE:
        return alarm.state
    if age == 0:
        return AlarmState.INSUFFICIENT_DATA
    return AlarmState.ALARM if age >= alarm.datapoints_to_alarm else alarm.state
