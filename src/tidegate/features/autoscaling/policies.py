"""Scaling policies and scheduled actions of a scalable target."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from tidegate.domain.errors import Invalid, LimitExceeded, NotFound
from tidegate.domain.observation import Event
from tidegate.domain.scaling import Adjustment, ScalingStep, ScheduledAction, StepScaling, TargetTracking
from tidegate.features.autoscaling import tracking_alarms
from tidegate.features.autoscaling.scalable_records import ActionRecord, PolicyRecord, Scalable
from tidegate.features.autoscaling.service import ScalableKey, get, save
from tidegate.ports.store import Tx
from tidegate.schedules.schedule import check_new

MAX_POLICIES = 50
MAX_ACTIONS = 200
MAX_STEPS = 20
REGISTER_FIRST = "No scalable target registered for"


def put_policy(
    tx: Tx, key: ScalableKey, name: str, make: Callable[[PolicyRecord | None], PolicyRecord], now: datetime
) -> PolicyRecord:
    """Create or replace a policy. ``make`` gets the existing one. Raises NotFound without a target, LimitExceeded, or
    Invalid."""
    saved = get(tx, key, REGISTER_FIRST)
    before = saved.body.policy(name)
    if before is None and len(saved.body.policies) >= MAX_POLICIES:
        raise LimitExceeded(f"the target has {MAX_POLICIES} policies, which is the maximum: delete one first")
    record = make(before)
    _check(record)
    if before is not None and (record.tracking is None) != (before.tracking is None):
        raise Invalid(f'the policy "{name}" is of another type: delete it first')
    after = _put_policy(saved.body, record)
    save(tx, saved, after, Event("scaling.PolicyPut", f"policy {name}"), now)
    tracking_alarms.put(tx, after.target, record, now)
    return record


def _put_policy(scalable: Scalable, record: PolicyRecord) -> Scalable:
    """Add the record, or replace the one of the same name in place."""
    name = record.policy.name
    if scalable.policy(name) is None:
        return replace(scalable, policies=(*scalable.policies, record))
    kept = (record if one.policy.name == name else one for one in scalable.policies)
    return replace(scalable, policies=tuple(kept))


def delete_policy(tx: Tx, key: ScalableKey, name: str, now: datetime) -> None:
    """Delete the policy and its alarms. Raises NotFound."""
    saved = get(tx, key, "No scaling policy found for")
    record = saved.body.policy(name)
    if record is None:
        raise NotFound(f"No scaling policy found for {key}, policy name: {name}")
    tracking_alarms.remove(tx, saved.body.target, [record], now)
    left = tuple(one for one in saved.body.policies if one is not record)
    save(tx, saved, replace(saved.body, policies=left), Event("scaling.PolicyDeleted", f"policy {name}"), now)


def put_action(
    tx: Tx, key: ScalableKey, name: str, make: Callable[[ActionRecord | None], ActionRecord], now: datetime
) -> None:
    """Raises NotFound, LimitExceeded or Invalid."""
    saved = get(tx, key, REGISTER_FIRST)
    before = saved.body.action(name)
    if before is None and len(saved.body.actions) >= MAX_ACTIONS:
        raise LimitExceeded(f"the target has {MAX_ACTIONS} scheduled actions, which is the maximum: delete one")
    record = make(before)
    _check_action(record.action)
    if before is None or _time(before.action) != _time(record.action):
        check_new(*_time(record.action), now)
    kept = tuple(one for one in saved.body.actions if one is not before)
    event = Event("scaling.ActionPut", f"scheduled action {name}: {record.action.schedule}")
    save(tx, saved, _forget(replace(saved.body, actions=(*kept, record)), name), event, now)


def delete_action(tx: Tx, key: ScalableKey, name: str, now: datetime) -> None:
    """Raises NotFound."""
    saved = get(tx, key, "No scheduled action found for")
    record = saved.body.action(name)
    if record is None:
        raise NotFound(f"No scheduled action found for {key}, scheduled action name: {name}")
    left = tuple(one for one in saved.body.actions if one is not record)
    after = _forget(replace(saved.body, actions=left), name)
    save(tx, saved, after, Event("scaling.ActionDeleted", f"scheduled action {name}"), now)


def _forget(scalable: Scalable, action: str) -> Scalable:
    """Forget when the action was last processed: a replaced action starts over."""
    seen = {name: until for name, until in scalable.state.scheduled.items() if name != action}
    return replace(scalable, state=replace(scalable.state, scheduled=seen))


def _check(record: PolicyRecord) -> None:
    if record.tracking is not None:
        _check_tracking(record.tracking)
    if record.steps is not None:
        _check_steps(record.steps)


def _check_tracking(policy: TargetTracking) -> None:
    if not 0 < policy.target < float("inf"):
        raise Invalid(f"TargetValue {policy.target:g} must be above 0")
    if min(policy.scale_in_cooldown, policy.scale_out_cooldown) < 0:
        raise Invalid("ScaleInCooldown and ScaleOutCooldown must be 0 or more")


def _check_steps(policy: StepScaling) -> None:
    if not policy.steps:
        raise Invalid("StepAdjustments needs at least one step")
    if len(policy.steps) > MAX_STEPS:
        raise LimitExceeded(f"{len(policy.steps)} step adjustments: the maximum is {MAX_STEPS}")
    if policy.cooldown < 0:
        raise Invalid("Cooldown must be 0 or more")
    if policy.min_magnitude is not None and policy.adjustment is not Adjustment.PERCENT:
        raise Invalid("MinAdjustmentMagnitude applies to PercentChangeInCapacity only")
    if policy.adjustment is Adjustment.EXACT and any(step.adjustment < 0 for step in policy.steps):
        raise Invalid("ExactCapacity must not be negative")
    steps = sorted(policy.steps, key=lambda step: float("-inf") if step.lower is None else step.lower)
    for step in steps:
        if step.lower is None and step.upper is None and len(steps) > 1:
            raise Invalid("a step without bounds must be the only one")
        if step.lower is not None and step.upper is not None and not step.lower < step.upper:
            raise Invalid("MetricIntervalLowerBound must be below MetricIntervalUpperBound")
    for one, following in pairwise(steps):
        _check_neighbours(one, following)


def _check_neighbours(one: ScalingStep, following: ScalingStep) -> None:
    if following.lower is None or one.upper is None:
        raise Invalid("only the first step may lack a lower bound, and only the last one an upper bound")
    if following.lower < one.upper:
        raise Invalid("step adjustments must not overlap")
    if following.lower > one.upper:
        raise Invalid("there must be no gap between step adjustments")


def _time(action: ScheduledAction) -> tuple[str, str]:
    return action.schedule, action.timezone


def _check_action(action: ScheduledAction) -> None:
    if action.minimum is None and action.maximum is None:
        raise Invalid("ScalableTargetAction needs MinCapacity, MaxCapacity or both")
    if min(action.minimum or 0, action.maximum or 0) < 0:
        raise Invalid("MinCapacity and MaxCapacity must not be negative")
    if action.minimum is not None and action.maximum is not None and action.minimum > action.maximum:
        raise Invalid(f"MaxCapacity {action.maximum} cannot be less than MinCapacity {action.minimum}")
    if action.start is not None and action.end is not None and action.end <= action.start:
        raise Invalid("EndTime must be after StartTime")
