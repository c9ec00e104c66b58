"""Combine the proposals of all policies of a target. Pure.

Alarm-based policies follow Application Auto Scaling: the largest proposal to scale out wins; scaling in needs the
agreement of every target tracking policy that may scale in, and the largest of their counts wins. Tidegate's own
policies each propose a count, and the largest overall wins: one policy suffices to scale out, and all must agree to
scale in. Between peaks a calendar proposes the minimum; a forecast without data proposes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.domain.scaling import (
    CalendarPolicy,
    FastPolicy,
    ForecastPolicy,
    NotScaledCode,
    ScalableTarget,
    ScalerState,
    ScalingObservation,
    ScalingPolicy,
    StepScaling,
    TargetTracking,
)
from tidegate.features.autoscaling import calendar, forecast, reactive, stepping, tracking
from tidegate.features.autoscaling.proposals import CountProposal, RefusedProposal, is_due


@dataclass(frozen=True)
class CombinedProposal:
    """``ask`` None: no policy proposes another count. ``state`` includes what the policies remember."""

    state: ScalerState
    ask: CountProposal | None
    refusal: RefusedProposal | None = None


def combine_policies(
    target: ScalableTarget,
    policies: Sequence[ScalingPolicy],
    state: ScalerState,
    seen: ScalingObservation,
    now: datetime,
) -> CombinedProposal:
    alarmed = _alarm_proposal(policies, state, seen, now) if state.running is None else None
    memory = {
        p.name: reactive.update_memory(p, state.fast.get(p.name), seen, now)
        for p in policies
        if isinstance(p, FastPolicy)
    }
    known = {name: m for name, m in memory.items() if m is not None}
    state = replace(state, fast=known, fired=_record_fired(policies, state, seen, now))
    held = any(isinstance(policy, TargetTracking | StepScaling) for policy in policies)
    ask = alarmed if isinstance(alarmed, CountProposal) else None
    if ask is None and held:
        ask = CountProposal(seen.desired, "")
    for own in _native_proposals(target, policies, state, seen, now):
        if ask is None or own.count > ask.count:
            ask = own
    if ask is None or ask.count == seen.desired:
        return CombinedProposal(state, None, alarmed if isinstance(alarmed, RefusedProposal) else None)
    return CombinedProposal(state, ask, _bound_refusal(target, ask, seen))


def record_scale_out(policies: Sequence[ScalingPolicy], state: ScalerState, now: datetime) -> ScalerState:
    """Record a scale-out: fast policies wait for their cooldown after it."""
    names = {policy.name for policy in policies if isinstance(policy, FastPolicy)}
    memory = {name: replace(known, grown_at=now) if name in names else known for name, known in state.fast.items()}
    return replace(state, fast=memory)


def _alarm_proposal(
    policies: Sequence[ScalingPolicy], state: ScalerState, seen: ScalingObservation, now: datetime
) -> CountProposal | RefusedProposal | None:
    tracks = [policy for policy in policies if isinstance(policy, TargetTracking)]
    steps = [stepping.propose(policy, state, seen, now) for policy in policies if isinstance(policy, StepScaling)]
    asks = [
        ask
        for ask in (*(tracking.propose_scale_out(p, state, seen, now) for p in tracks), *steps)
        if ask is not None
    ]
    if more := [ask for ask in asks if ask.count > seen.desired]:
        return max(more, key=lambda ask: ask.count)
    fewer: list[CountProposal] = [ask for ask in asks if ask.count < seen.desired]
    agreed = _agreed_scale_in([policy for policy in tracks if not policy.disable_scale_in], state, seen, now)
    if isinstance(agreed, CountProposal):
        fewer.append(agreed)
    if fewer:
        return max(fewer, key=lambda ask: ask.count)
    return agreed


def _agreed_scale_in(
    tracks: Sequence[TargetTracking], state: ScalerState, seen: ScalingObservation, now: datetime
) -> CountProposal | RefusedProposal | None:
    """Proposal to scale in by target tracking: the low alarm of one policy is due, and all policies agree."""
    if not any(tracking.is_scale_in_due(policy, state, seen, now) for policy in tracks):
        return None
    votes = [tracking.propose_scale_in(policy, state, seen, now) for policy in tracks]
    refusal = next((vote for vote in votes if isinstance(vote, RefusedProposal)), None)
    asks = [vote for vote in votes if isinstance(vote, CountProposal)]
    if refusal is not None and len(asks) + 1 >= len(votes):
        return refusal
    return max(asks, key=lambda ask: ask.count) if len(asks) == len(votes) else None


def _native_proposals(
    target: ScalableTarget,
    policies: Sequence[ScalingPolicy],
    state: ScalerState,
    seen: ScalingObservation,
    now: datetime,
) -> Iterator[CountProposal]:
    idle = state.running is None
    for policy in policies:
        match policy:
            case FastPolicy():
                memory = state.fast.get(policy.name)
                level = f"load of {memory.level:.1f} instance(s)" if memory else "load"
                yield CountProposal(
                    reactive.count(policy, memory, seen, now, idle), f"{level} triggered policy {policy.name}"
                )
            case CalendarPolicy():
                peak = calendar.count(policy, seen.start_up, now)
                if peak is None:
                    yield CountProposal(target.minimum, f"no peak is near by policy {policy.name}")
                else:
                    yield CountProposal(peak[0], f"peak {peak[1]} of policy {policy.name}")
            case ForecastPolicy():
                needed = forecast.count(policy, seen.history, seen.start_up, now)
                if needed is not None:
                    yield CountProposal(max(needed, target.minimum), f"forecast of policy {policy.name}")


def _record_fired(
    policies: Sequence[ScalingPolicy], state: ScalerState, seen: ScalingObservation, now: datetime
) -> dict[str, datetime]:
    """When each alarm last acted. Alarms of deleted policies are dropped."""
    triggers = [alarm for policy in policies for alarm in seen.alarms.get(policy.name, ())]
    before = {alarm.name: state.fired[alarm.name] for alarm in triggers if alarm.name in state.fired}
    return before | {alarm.name: now for alarm in triggers if is_due(alarm, state, now)}


def _bound_refusal(target: ScalableTarget, ask: CountProposal, seen: ScalingObservation) -> RefusedProposal | None:
    if ask.cooldown is None:
        return None
    if ask.count > seen.desired >= target.maximum:
        return RefusedProposal(NotScaledCode.AT_MAXIMUM, ask.cause)
    if ask.count < seen.desired <= target.minimum:
        return RefusedProposal(NotScaledCode.AT_MINIMUM, ask.cause)
    return None
