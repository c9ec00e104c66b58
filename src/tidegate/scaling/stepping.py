"""Step scaling: the change depends on how far a metric is past an alarm's threshold. Pure.

Source: Application Auto Scaling user guide, "Step scaling policies".
"""

from datetime import datetime

from tidegate.domain.scaling import Adjustment, ScalerState, ScaleSeen, Step, StepScaling
from tidegate.scaling.proposals import Ask, base, cause, due, in_force


def ask(policy: StepScaling, state: ScalerState, seen: ScaleSeen, now: datetime) -> Ask | None:
    """The largest count that an alarm which acts now asks for; None where none asks for another count."""
    asks = []
    for alarm in seen.alarms.get(policy.name, ()):
        if alarm.value is None or not due(alarm, state, now):
            continue
        step = step_for(policy.steps, alarm.value - alarm.threshold)
        if step is None:
            continue
        grown = adjusted(policy, step.adjustment, base(state, seen, now))
        count = grown if grown > seen.desired else adjusted(policy, step.adjustment, seen.desired)
        if grown <= seen.desired and (count > seen.desired or in_force(state.into, now)):
            continue  # A cooldown holds it.
        asks.append(Ask(count, cause(alarm, policy.name), policy.cooldown))
    return max(asks, key=lambda ask: ask.count, default=None)


def step_for(steps: tuple[Step, ...], breach: float) -> Step | None:
    """Over the threshold a step holds from its lower bound on up to just before its upper one; under it, from just
    above its lower bound to its upper one."""
    for step in steps:
        low = float("-inf") if step.lower is None else step.lower
        high = float("inf") if step.upper is None else step.upper
        under = step.upper is not None and step.upper <= 0
        if (low < breach <= high) if under else (low <= breach < high):
            return step
    return None


def adjusted(policy: StepScaling, adjustment: int, count: int) -> int:
    match policy.adjustment:
        case Adjustment.EXACT:
            return adjustment
        case Adjustment.CHANGE:
            return max(0, count + adjustment)
        case Adjustment.PERCENT:
            change = percent(count, adjustment)
            if change and policy.min_magnitude is not None and abs(change) < policy.min_magnitude:
                change = policy.min_magnitude if change > 0 else -policy.min_magnitude
            return max(0, count + change)


def percent(count: int, adjustment: int) -> int:
    """Instances in so many percent: toward zero, but what is not nothing is at least one."""
    hundredths = count * adjustment
    whole = abs(hundredths) // 100 or bool(hundredths)
    return whole if hundredths > 0 else -whole
