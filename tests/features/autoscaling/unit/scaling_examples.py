"""Targets, alarms and looks for the tests of autoscaling."""

from datetime import datetime, timedelta

from tidegate.domain.alarm import AlarmState
from tidegate.domain.scaling import (
    Dimension,
    PolicyAlarm,
    PredefinedMetricType,
    ScalableTarget,
    ScalerState,
    ScalingObservation,
    ScalingPolicy,
    ScheduledAction,
    TargetTracking,
)
from tidegate.features.autoscaling.decide import ScalingDecision, decide
from tidegate.features.autoscaling.simulation import START

PER_MINUTE = TargetTracking("tracking", 100.0, PredefinedMetricType.INVOCATIONS)


def target(minimum: int = 1, maximum: int = 10) -> ScalableTarget:
    return ScalableTarget("fraud", "AllTraffic", Dimension.INSTANCES, minimum, maximum, START)


def high(value: float | None, state: AlarmState = AlarmState.ALARM, name: str = "tracking") -> PolicyAlarm:
    return PolicyAlarm(f"{name}-AlarmHigh", state, START, 100.0, value)


def low(value: float | None, state: AlarmState = AlarmState.OK, name: str = "tracking") -> PolicyAlarm:
    return PolicyAlarm(f"{name}-AlarmLow", state, START, 90.0, value)


def loaded(count: int, value: float, name: str = "tracking") -> ScalingObservation:
    """All instances are there, and the alarms say what this value makes them say."""
    over = AlarmState.ALARM if value > 100 else AlarmState.OK
    under = AlarmState.ALARM if value < 90 else AlarmState.OK
    return ScalingObservation(count, count, alarms={name: (high(value, over, name), low(value, under, name))})


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def asked(
    seen: ScalingObservation,
    *policies: ScalingPolicy,
    state: ScalerState | None = None,
    at: float = 0.0,
    of: ScalableTarget | None = None,
    schedules: tuple[ScheduledAction, ...] = (),
) -> ScalingDecision:
    return decide(of or target(), policies, schedules, state or ScalerState(), seen, after(at), activity_id="a1")
