"""What one rule asks for, and the questions that several rules have in common."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.domain.alarm import AlarmState
from tidegate.domain.scaling import Cooldown, NotScaled, PolicyAlarm, ScalerState, ScalingObservation

REPEAT_SECONDS = 60.0
"""Seconds after which an alarm that stays in ALARM acts again (unlike one that sends messages)."""
EPSILON = 1e-9
MAX_COUNT = 1e9
"""Instances: more are never wanted."""


@dataclass(frozen=True)
class CountProposal:
    """``count`` may lie outside the target's bounds. ``cooldown`` is seconds from when the change is all there."""

    count: int
    alarm_cause: str
    cooldown: float | None = None
    """None: it is not by an alarm, and no cooldown follows."""


@dataclass(frozen=True)
class RefusedProposal:
    """An alarm asked and nothing can be changed."""

    code: NotScaled
    alarm_cause: str


def round_up(instances: float) -> int:
    """Rounded up, but not for an error of the arithmetic. A metric may be as large as a float can be."""
    return math.ceil(min(instances, MAX_COUNT) - EPSILON)


def is_due(alarm: PolicyAlarm, state: ScalerState, now: datetime) -> bool:
    """Whether the alarm acts now: when it went off, then once a minute, or a period where that is shorter."""
    if alarm.state is not AlarmState.ALARM or alarm.value is None:
        return False
    last = state.fired.get(alarm.name)
    return last is None or alarm.since > last or now - last >= repeat_interval(alarm)


def repeat_interval(alarm: PolicyAlarm) -> timedelta:
    return timedelta(seconds=min(REPEAT_SECONDS, alarm.period))


def is_cooling_down(cooldown: Cooldown | None, now: datetime) -> bool:
    return cooldown is not None and (cooldown.until is None or now < cooldown.until)


def scale_out_base(state: ScalerState, seen: ScalingObservation, now: datetime) -> int:
    """The count that a scale-out starts from. In the cooldown of an earlier one that is the count before it, so what
    was added counts as part of what is asked now."""
    return state.out.base if state.out is not None and is_cooling_down(state.out, now) else seen.desired


def alarm_cause(alarm: PolicyAlarm, policy: str) -> str:
    """Application Auto Scaling's words."""
    return f"monitor alarm {alarm.name} in state ALARM triggered policy {policy}"
