"""Proposal of one policy, and helpers that several policies share."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.domain.alarm import AlarmState
from tidegate.domain.scaling import Cooldown, NotScaledCode, PolicyAlarm, ScalerState, ScalingObservation

REPEAT_SECONDS = 60.0
"""Seconds after which an alarm that stays in ALARM acts again (unlike one that sends messages)."""
EPSILON = 1e-9
MAX_COUNT = 1e9
"""No proposal exceeds this count."""


@dataclass(frozen=True)
class CountProposal:
    """``count`` may lie outside the target's bounds. ``cooldown``: seconds from the completion of the change."""

    count: int
    cause: str
    cooldown: float | None = None
    """None: the proposal is not by an alarm and has no cooldown."""


@dataclass(frozen=True)
class RefusedProposal:
    """An alarm acted, but nothing can be changed."""

    code: NotScaledCode
    cause: str


def round_up(instances: float) -> int:
    """Round up, ignoring floating-point errors. Capped, since a metric may be as large as a float can be."""
    return math.ceil(min(instances, MAX_COUNT) - EPSILON)


def is_due(alarm: PolicyAlarm, state: ScalerState, now: datetime) -> bool:
    """Whether the alarm acts now: when it fires, then once a minute, or once a period if that is shorter."""
    if alarm.state is not AlarmState.ALARM or alarm.value is None:
        return False
    last = state.fired.get(alarm.name)
    return last is None or alarm.since > last or now - last >= repeat_interval(alarm)


def repeat_interval(alarm: PolicyAlarm) -> timedelta:
    return timedelta(seconds=min(REPEAT_SECONDS, alarm.period))


def is_cooling_down(cooldown: Cooldown | None, now: datetime) -> bool:
    return cooldown is not None and (cooldown.until is None or now < cooldown.until)


def scale_out_base(state: ScalerState, seen: ScalingObservation, now: datetime) -> int:
    """Count that a scale-out starts from. During a scale-out cooldown that is the count before it, so that what was
    added counts toward the new proposal."""
    return state.out.base if state.out is not None and is_cooling_down(state.out, now) else seen.desired


def alarm_cause(alarm: PolicyAlarm, policy: str) -> str:
    """Cause in Application Auto Scaling's format."""
    return f"monitor alarm {alarm.name} in state ALARM triggered policy {policy}"
