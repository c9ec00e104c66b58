"""All rules of a target together. Pure.

By alarms (Amazon's): the largest of those that ask for more; else fewer, when every target tracking policy that may
scale in agrees, and again the largest. Our own rules each say a count, and the largest of all wins: so fewer needs
the agreement of every rule, and more the wish of one. Between two peaks a calendar agrees to the minimum; a forecast
that knows nothing yet has no say.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.domain.scaling import (
    Calendar,
    Fast,
    Forecast,
    NotScaled,
    Policy,
    ScalableTarget,
    ScalerState,
    ScaleSeen,
    StepScaling,
    TargetTracking,
)
from tidegate.scaling import calendar, forecast, reactive, stepping, tracking
from tidegate.scaling.proposals import Ask, Refusal, due


@dataclass(frozen=True)
class Choice:
    """``ask`` None: nothing asks for another count. ``state`` remembers what was looked at."""

    state: ScalerState
    ask: Ask | None
    refusal: Refusal | None = None


def chosen(
    target: ScalableTarget, policies: Sequence[Policy], state: ScalerState, seen: ScaleSeen, now: datetime
) -> Choice:
    alarmed = _alarmed(policies, state, seen, now) if state.running is None else None
    memory = {
        p.name: reactive.remembered(p, state.fast.get(p.name), seen, now) for p in policies if isinstance(p, Fast)
    }
    known = {name: m for name, m in memory.items() if m is not None}
    state = replace(state, fast=known, fired=_fired(policies, state, seen, now))
    held = any(isinstance(policy, TargetTracking | StepScaling) for policy in policies)
    ask = alarmed if isinstance(alarmed, Ask) else None
    if ask is None and held:
        ask = Ask(seen.desired, "")
    for own in _own(target, policies, state, seen, now):
        if ask is None or own.count > ask.count:
            ask = own
    if ask is None or ask.count == seen.desired:
        return Choice(state, None, alarmed if isinstance(alarmed, Refusal) else None)
    return Choice(state, ask, _at_bound(target, ask, seen))


def grown(policies: Sequence[Policy], state: ScalerState, now: datetime) -> ScalerState:
    """After a scale-out the fast rules wait a moment."""
    names = {policy.name for policy in policies if isinstance(policy, Fast)}
    memory = {name: replace(known, grown_at=now) if name in names else known for name, known in state.fast.items()}
    return replace(state, fast=memory)


def _alarmed(
    policies: Sequence[Policy], state: ScalerState, seen: ScaleSeen, now: datetime
) -> Ask | Refusal | None:
    tracks = [policy for policy in policies if isinstance(policy, TargetTracking)]
    steps = [stepping.ask(policy, state, seen, now) for policy in policies if isinstance(policy, StepScaling)]
    asks = [ask for ask in (*(tracking.out(p, state, seen, now) for p in tracks), *steps) if ask is not None]
    if more := [ask for ask in asks if ask.count > seen.desired]:
        return max(more, key=lambda ask: ask.count)
    fewer: list[Ask] = [ask for ask in asks if ask.count < seen.desired]
    agreed = _agreed([policy for policy in tracks if not policy.disable_scale_in], state, seen, now)
    if isinstance(agreed, Ask):
        fewer.append(agreed)
    if fewer:
        return max(fewer, key=lambda ask: ask.count)
    return agreed


def _agreed(
    tracks: Sequence[TargetTracking], state: ScalerState, seen: ScaleSeen, now: datetime
) -> Ask | Refusal | None:
    """Scaling in by target tracking: one acts, and all agree."""
    if not any(tracking.acts_in(policy, state, seen, now) for policy in tracks):
        return None
    votes = [tracking.into(policy, state, seen, now) for policy in tracks]
    refusal = next((vote for vote in votes if isinstance(vote, Refusal)), None)
    asks = [vote for vote in votes if isinstance(vote, Ask)]
    if refusal is not None and len(asks) + 1 >= len(votes):
        return refusal
    return max(asks, key=lambda ask: ask.count) if len(asks) == len(votes) else None


def _own(
    target: ScalableTarget, policies: Sequence[Policy], state: ScalerState, seen: ScaleSeen, now: datetime
) -> Iterator[Ask]:
    idle = state.running is None
    for policy in policies:
        match policy:
            case Fast():
                memory = state.fast.get(policy.name)
                level = f"load of {memory.level:.1f} instance(s)" if memory else "load"
                yield Ask(
                    reactive.count(policy, memory, seen, now, idle), f"{level} triggered policy {policy.name}"
                )
            case Calendar():
                peak = calendar.count(policy, seen.start_up, now)
                if peak is None:
                    yield Ask(target.minimum, f"no peak is near by policy {policy.name}")
                else:
                    yield Ask(peak[0], f"peak {peak[1]} of policy {policy.name}")
            case Forecast():
                needed = forecast.count(policy, seen.history, seen.start_up, now)
                if needed is not None:
                    yield Ask(max(needed, target.minimum), f"forecast of policy {policy.name}")


def _fired(policies: Sequence[Policy], state: ScalerState, seen: ScaleSeen, now: datetime) -> dict[str, datetime]:
    """Memory of the alarms that act now; those of policies that are gone are forgotten."""
    heard = [alarm for policy in policies for alarm in seen.alarms.get(policy.name, ())]
    before = {alarm.name: state.fired[alarm.name] for alarm in heard if alarm.name in state.fired}
    return before | {alarm.name: now for alarm in heard if due(alarm, state, now)}


def _at_bound(target: ScalableTarget, ask: Ask, seen: ScaleSeen) -> Refusal | None:
    if ask.cooldown is None:
        return None
    if ask.count > seen.desired >= target.maximum:
        return Refusal(NotScaled.AT_MAXIMUM, ask.cause)
    if ask.count < seen.desired <= target.minimum:
        return Refusal(NotScaled.AT_MINIMUM, ask.cause)
    return None
