"""Scaling decision of one target: one pure function, like the rollout's ``step``.

The caller loads target, policies and state, observes, decides, and saves the result together with the endpoint's new
count in one transaction before it acts. Unknown is None, and nothing is scaled on it. The decision is a fixpoint:
with its own result as the desired count it changes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

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
from tidegate.features.autoscaling import calendar, forecast, pending_change, reactive, scheduled_actions
from tidegate.features.autoscaling.combine import CombinedProposal, combine_policies, record_scale_out
from tidegate.features.autoscaling.proposals import CountProposal, repeat_interval, scale_out_base


@dataclass(frozen=True)
class ScalingDecision:
    """``desired`` differs from the observed count only if the count is to be changed now. ``target`` has new bounds
    after a scheduled action. ``activities`` are to be saved: new ones, and one that ended. ``wake_at`` is the next
    time at which time alone could change the decision; None: never."""

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
    """``activity_id`` is for the activity that may start now; an unused one may be passed again."""
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
        state, recorded = pending_change.record_refusal(target, state, seen, choice.refusal, activity_id, now)
        activities += recorded
    wake = min((t for t in _wake_times(target, policies, schedules, state, seen, now) if t > now), default=None)
    return ScalingDecision(desired, why, target, state, activities, wake)


def _desired_count(
    target: ScalableTarget, choice: CombinedProposal, seen: ScalingObservation, now: datetime
) -> tuple[int, str, CountProposal | None]:
    """Desired count, reason, and the proposal if that decided. Bounds apply even if scaling is suspended."""
    ask = choice.ask
    proposed = seen.desired if ask is None or _is_suspended(target, ask, seen) else ask.count
    desired = min(target.maximum, max(target.minimum, proposed))
    retry_at = choice.state.retry_at
    if desired > seen.desired and retry_at is not None and now < retry_at:
        return seen.desired, "the last scale-out failed; waiting before the next", None
    if desired == seen.desired:
        return desired, "no policy proposes another count", None
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
    """Start the cooldown of a change. Scaling out ends the cooldown of scaling in. During its own cooldown, the count
    before the first change stays the base."""
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
                yield reactive.next_sample(state.fast.get(policy.name), now)
            case ForecastPolicy():
                yield forecast.next_tick(now)
            case CalendarPolicy() if (change := calendar.next_change(policy, seen.start_up, now)) is not None:
                yield change
        for alarm in seen.alarms.get(policy.name, ()):
            if alarm.state is AlarmState.ALARM and alarm.name in state.fired:
                yield state.fired[alarm.name] + repeat_interval(alarm)
