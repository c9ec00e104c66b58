"""The machine of one scalable target: one pure function, like the rollout machine.

The caller loads the target, its rules and its state, looks, decides, saves what came back together with the change of
the endpoint's count in one transaction, and only then acts. Unknown is None, and nothing is scaled on it. On its own
output, seen as what is wanted now, the decision stands: it is a fixpoint.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tidegate.domain.alarm import AlarmState
from tidegate.domain.scaling import (
    Activity,
    Calendar,
    Cooldown,
    Fast,
    Forecast,
    Policy,
    ScalableTarget,
    ScalerState,
    ScaleSeen,
    ScheduledAction,
)
from tidegate.scaling import calendar, forecast, pending_change, reactive, scheduled_actions
from tidegate.scaling.combine import Choice, chosen, grown
from tidegate.scaling.proposals import Ask, again, base


@dataclass(frozen=True)
class Decision:
    """``desired`` differs from what was seen only when the count is to be changed now. ``target`` has new bounds
    after a scheduled action. ``activities`` are those to save: new ones, and the one that ended. ``wake_at`` is the
    next instant at which time alone could change the decision; None: never."""

    desired: int
    reason: str
    target: ScalableTarget
    state: ScalerState
    activities: tuple[Activity, ...] = ()
    wake_at: datetime | None = None


def decide(
    target: ScalableTarget,
    policies: Sequence[Policy],
    schedules: Sequence[ScheduledAction],
    state: ScalerState,
    seen: ScaleSeen,
    now: datetime,
    *,
    activity_id: str,
) -> Decision:
    """``activity_id`` names the activity that may begin now; one that was not used may be given again."""
    target, state = scheduled_actions.scheduled(target, schedules, state, now)
    state, activities = pending_change.settled(target, state, seen, now)
    choice = Choice(state, None) if seen.busy else chosen(target, policies, state, seen, now)
    state = choice.state
    desired, why, ask = (seen.desired, seen.busy, None) if seen.busy else _wanted(target, choice, seen, now)
    if desired != seen.desired:
        state = _cooling(state, ask, desired, seen, now)
        if desired > seen.desired:
            state = grown(policies, state, now)
        state, begun = pending_change.started(target, state, seen, desired, why, activity_id, now)
        activities += begun
    elif choice.refusal is not None:
        state, told = pending_change.refused(target, state, seen, choice.refusal, activity_id, now)
        activities += told
    wake = min((t for t in _instants(target, policies, schedules, state, seen, now) if t > now), default=None)
    return Decision(desired, why, target, state, activities, wake)


def _wanted(target: ScalableTarget, choice: Choice, seen: ScaleSeen, now: datetime) -> tuple[int, str, Ask | None]:
    """The count, why, and the ask behind it where that is what counts. Bounds hold whatever is suspended."""
    ask = choice.ask
    wish = seen.desired if ask is None or _suspended(target, ask, seen) else ask.count
    desired = min(target.maximum, max(target.minimum, wish))
    retry_at = choice.state.retry_at
    if desired > seen.desired and retry_at is not None and now < retry_at:
        return seen.desired, "the last scale-out could not be had; waiting before the next", None
    if desired == seen.desired:
        return desired, "nothing asks for another count", None
    if seen.desired < target.minimum and desired == target.minimum:
        return desired, f"minimum capacity was set to {target.minimum}", None
    if seen.desired > target.maximum and desired == target.maximum:
        return desired, f"maximum capacity was set to {target.maximum}", None
    assert ask is not None
    return desired, ask.cause, ask


def _suspended(target: ScalableTarget, ask: Ask, seen: ScaleSeen) -> bool:
    held = target.suspended
    return held.scale_out if ask.count > seen.desired else held.scale_in


def _cooling(state: ScalerState, ask: Ask | None, desired: int, seen: ScaleSeen, now: datetime) -> ScalerState:
    """Scaling out ends the cooldown of scaling in. Within its own, the count before the first change stays the
    base."""
    if ask is None or ask.cooldown is None:
        return state
    if desired < seen.desired:
        return replace(state, into=Cooldown(ask.cooldown, seen.desired))
    return replace(state, out=Cooldown(ask.cooldown, base(state, seen, now)), into=None)


def _instants(
    target: ScalableTarget,
    policies: Sequence[Policy],
    schedules: Sequence[ScheduledAction],
    state: ScalerState,
    seen: ScaleSeen,
    now: datetime,
) -> Iterator[datetime]:
    yield from (time for action in schedules if (time := scheduled_actions.next_time(action, now)) is not None)
    if seen.busy:
        return
    if state.retry_at is not None:
        yield state.retry_at
    for policy in policies:
        match policy:
            case Fast():
                yield now + timedelta(seconds=reactive.LOOK)
            case Forecast():
                yield forecast.next_tick(now)
            case Calendar() if (change := calendar.next_change(policy, seen.start_up, now)) is not None:
                yield change
        for alarm in seen.alarms.get(policy.name, ()):
            if alarm.state is AlarmState.ALARM and alarm.name in state.fired:
                yield state.fired[alarm.name] + again(alarm)
