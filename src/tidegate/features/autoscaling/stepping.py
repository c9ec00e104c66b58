"""Step scaling: the change depends on how far a metric is past an alarm's threshold. Pure.

Source: Application Auto Scaling user guide, "Step scaling policies".
"""

from datetime import datetime

from tidegate.domain.scaling import Adjustment, ScalerState, ScalingObservation, ScalingStep, StepScaling
from tidegate.features.autoscaling.proposals import (
    CountProposal,
    alarm_cause,
    is_cooling_down,
    is_due,
    scale_out_base,
)


def propose(
    policy: StepScaling, state: ScalerState, seen: ScalingObservation, now: datetime
) -> CountProposal | None:
    """Largest count proposed by an alarm that acts now; None: no proposal."""
    asks = []
    for alarm in seen.alarms.get(policy.name, ()):
        if alarm.value is None or not is_due(alarm, state, now):
            continue
        step = find_step(policy.steps, alarm.value - alarm.threshold)
        if step is None:
            continue
        grown = adjust(policy, step.adjustment, scale_out_base(state, seen, now))
        count = grown if grown > seen.desired else adjust(policy, step.adjustment, seen.desired)
        if grown <= seen.desired and (count > seen.desired or is_cooling_down(state.into, now)):
            continue  # a cooldown is active
        asks.append(CountProposal(count, alarm_cause(alarm, policy.name), policy.cooldown))
    return max(asks, key=lambda one: one.count, default=None)


def find_step(steps: tuple[ScalingStep, ...], breach: float) -> ScalingStep | None:
    """Above the threshold a step includes its lower bound; below it, its upper bound."""
    for step in steps:
        low = float("-inf") if step.lower is None else step.lower
        high = float("inf") if step.upper is None else step.upper
        under = step.upper is not None and step.upper <= 0
        if (low < breach <= high) if under else (low <= breach < high):
            return step
    return None


def adjust(policy: StepScaling, adjustment: int, count: int) -> int:
    match policy.adjustment:
        case Adjustment.EXACT:
            return adjustment
        case Adjustment.CHANGE:
            return max(0, count + adjustment)
        case Adjustment.PERCENT:
            change = _percent_change(count, adjustment)
            if change and policy.min_magnitude is not None and abs(change) < policy.min_magnitude:
                change = policy.min_magnitude if change > 0 else -policy.min_magnitude
            return max(0, count + change)


def _percent_change(count: int, adjustment: int) -> int:
    """Change in instances: rounded toward zero, but at least one unless it is zero."""
    hundredths = count * adjustment
    whole = abs(hundredths) // 100 or bool(hundredths)
    return whole if hundredths > 0 else -whole
