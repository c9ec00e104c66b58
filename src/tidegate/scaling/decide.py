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
    CalendarPolicy,
    Cooldown,
    FastPolicy,
    ForecastPolicy,
    ScalableTarget,
    ScalerState,
    ScalingObservation,
    ScalingPolicy,
    ScheduledAction,
)
from tidegate.scaling import calendar, forecast, pending_change, reactive, scheduled_actions
from tidegate.scaling.combine import CombinedProposal, combine_policies, record_scale_out
from tidegate.scaling.proposals import CountProposal, repeat_interval, scale_out_base


@dataclass(frozen=True)
class ScalingDecision:
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
    policies: Sequence[ScalingPolicy],
    schedules: Sequence[ScheduledAction],
    state: ScalerState,
    seen: ScalingObservation,
    now: datetime,
    *,
    activity_id: str,
) -> ScalingDecision:
    """``activity_id`` names the activity that may begin now; one that was not used may be given again."""
    target, state = scheduled_actions.apply_actions(target, schedules, state, now)
    state, activities = pending_change.finish_change(target, state, seen, now)
    choice = CombinedProposal(state, None) if seen.busy else combine_policies(target, policies, state, seen, now)
    state = choice.state
    desired, why, ask = (seen.desired, seen.busy, None) if seen.busy else _desired_count(target, choice, seen, now)
    if desired != seen.desired:
        state = _start_cooldown(state, ask, desired, seen, now)
        if desired > seen.desired:
            state = record_scale_out(policies, state, now)
        state, begun = pending_change.start_change(target, state, seen, desired, why, activity_id, now)
        activities += begun
    elif choice.refusal is not None:
        state, told = pending_change.record_refusal(target, state, seen, choice.refusal, activity_id, now)
        activities += told
    wake = min((t for t in _wake_times(target, policies, schedules, state, seen, now) if t > now), default=None)
    return ScalingDecision(desired, why, target, state, activities, wake)


def _desired_count(
    target: ScalableTarget, choice: CombinedProposal, seen: ScalingObservation, now: datetime
) -> tuple[int, str, CountProposal | None]:
    """The count, why, and the ask behind it where that is what counts. Bounds hold whatever is suspended."""
    ask = choice.ask
    wish = seen.desired if ask is None or _is_suspended(target, ask, seen) else ask.count
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


def _is_suspended(target: ScalableTarget, ask: CountProposal, seen: ScalingObservation) -> bool:
    held = target.suspended
    return held.scale_out if ask.count > seen.desired else held.scale_in


def _start_cooldown(
    state: ScalerState, ask: CountProposal | None, desired: int, seen: ScalingObservation, now: datetime
) -> ScalerState:
    """Scaling out ends the cooldown of scaling in. Within its own, the count before the first change stays the
    base."""
    if ask is None or ask.cooldown is None:
        return state
    if desired < seen.desired:
        return replace(state, into=Cooldown(ask.cooldown, seen.desired))
    return replace(state, out=Cooldown(ask.cooldown, scale_out_base(state, seen, now)), into=None)


def _wake_times(
    target: ScalableTarget,
    policies: Sequence[ScalingPolicy],
    schedules: Sequence[ScheduledAction],
    state: ScalerState,
    seen: ScalingObservation,
    now: datetime,
) -> Iterator[datetime]:
    yield from (time for action in schedules if (time := scheduled_actions.next_time(action, now)) is not None)
    if seen.busy:
        return
    if state.retry_at is not None:
        yield state.retry_at
    for policy in policies:
        match policy:
            case FastPolicy():
                yield now + timedelta(seconds=reactive.SAMPLE_INTERVAL)
            case ForecastPolicy():
                yield forecast.next_tick(now)
            case CalendarPolicy() if (change := calendar.next_change(policy, seen.start_up, now)) is not None:
                yield change
        for alarm in seen.alarms.get(policy.name, ()):
            if alarm.state is AlarmState.ALARM and alarm.name in state.fired:
                yield state.fired[alarm.name] + repeat_interval(alarm)
