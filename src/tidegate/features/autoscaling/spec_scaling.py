"""Apply the autoscaling section of a spec: target, policies, and the alarm that scales from zero."""

import uuid
from dataclasses import replace
from datetime import datetime

from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.domain.arns import resource_arn
from tidegate.domain.desired import DesiredScaling
from tidegate.domain.metric import SAGEMAKER
from tidegate.domain.observation import Event
from tidegate.domain.scaling import (
    Adjustment,
    CalendarPolicy,
    FastPolicy,
    ForecastPolicy,
    ScalableTarget,
    ScalingPolicy,
    ScalingStep,
    StepScaling,
    TargetTracking,
)
from tidegate.features.autoscaling import service as scalables
from tidegate.features.autoscaling import tracking_alarms
from tidegate.features.autoscaling.scalable_records import PolicyRecord, Scalable
from tidegate.features.autoscaling.service import BoundsUpdate, ScalableKey
from tidegate.ports.store import StoredRecord, Tx
from tidegate.service import alarms
from tidegate.service.endpoint_extension import DeploymentIds
from tidegate.service.record_kinds import ALARM

FROM_ZERO = "from-zero"


def apply_scaling(
    tx: Tx, endpoint: str, desired: DesiredScaling | None, ids: DeploymentIds, now: datetime
) -> None:
    """Create or update what the spec has, and remove what an earlier spec created. Everything else on the target
    stays. Raises Invalid."""
    key = ScalableKey(endpoint, desired.variant, desired.dimension) if desired is not None else None
    for saved in scalables.list_for_endpoint(tx, endpoint):
        if key is None or saved.name != key.name:
            _withdraw(tx, saved, now)
    if desired is None or key is None:
        return
    new = uuid.UUID(ids.id(f"{key.name}/target")).hex
    bounds = BoundsUpdate(desired.minimum, desired.maximum)
    scalables.register(tx, key, bounds, {}, id=new, now=now)
    saved = scalables.get(tx, key)
    target = saved.body.target
    policies = [*desired.policies, *([_steps_from_zero()] if desired.from_zero else [])]
    records = [_record(saved.body, policy, ids, now) for policy in policies]
    old = [record for record in saved.body.policies if record.by_spec]
    gone = [record for record in old if record.policy.name not in {policy.name for policy in policies}]
    tracking_alarms.remove(tx, target, gone, now)
    others = [record for record in saved.body.policies if not record.by_spec]
    after = replace(saved.body, policies=(*others, *records), by_spec=True)
    if after != saved.body:
        scalables.save(tx, saved, after, Event("scaling.Asked", f"{len(records)} policies by the spec"), now)
        for record in records:
            tracking_alarms.put(tx, target, record, now)
    _put_wake_alarm(tx, target, records, now)


def _record(scalable: Scalable, policy: ScalingPolicy, ids: DeploymentIds, now: datetime) -> PolicyRecord:
    """Make the record of a policy. One of the same name keeps its id and ARN, and so the state of its alarms."""
    before = scalable.policy(policy.name)
    id = before.id if before is not None else ids.id(policy.name)
    arn = before.arn if before is not None else _policy_arn(ids, scalable.target, id, policy.name)
    blank = PolicyRecord(id, arn, before.created_at if before is not None else now, by_spec=True)
    match policy:
        case TargetTracking():
            old = before.tracking if before is not None else None
            ends = old.alarm_ids if old is not None else (ids.id(f"{policy.name}/h"), ids.id(f"{policy.name}/l"))
            return replace(blank, tracking=replace(policy, alarm_ids=ends))
        case StepScaling():
            return replace(blank, steps=policy)
        case FastPolicy():
            return replace(blank, fast=policy)
        case CalendarPolicy():
            return replace(blank, calendar=policy)
        case ForecastPolicy():
            return replace(blank, forecast=policy)


def _policy_arn(ids: DeploymentIds, target: ScalableTarget, id: str, name: str) -> str:
    resource = f"scalingPolicy:{id}:resource/sagemaker/{target.resource_id}:policyName/{name}"
    return resource_arn("autoscaling", ids.region, ids.account, resource)


def read_declared(tx: Tx, endpoint: str) -> DesiredScaling | None:
    """Return the scaling that the last spec declared, or None. Targets and policies that were made by the API are
    left out, since a deploy does not change them."""
    found = (saved.body for saved in scalables.list_for_endpoint(tx, endpoint))
    scalable = next((one for one in found if one.by_spec), None)
    if scalable is None:
        return None
    target, policies = scalable.target, [one.policy for one in scalable.policies if one.by_spec]
    return DesiredScaling(
        target.variant,
        target.dimension,
        target.minimum,
        target.maximum,
        tuple(policy for policy in policies if policy.name != FROM_ZERO),
        from_zero=any(policy.name == FROM_ZERO for policy in policies),
    )


def _withdraw(tx: Tx, saved: StoredRecord[Scalable], now: datetime) -> None:
    """Remove what specs created on a target, and the target itself if nothing else is left on it."""
    if not saved.body.by_spec:
        return
    target = saved.body.target
    mine = [record for record in saved.body.policies if record.by_spec]
    left = tuple(record for record in saved.body.policies if not record.by_spec)
    alarms.delete(tx, [_wake_alarm_name(target)], now)
    if not left and not saved.body.actions:
        scalables.deregister(tx, ScalableKey(target.endpoint, target.variant, target.dimension), now)
        return
    tracking_alarms.remove(tx, target, mine, now)
    after = replace(saved.body, policies=left, by_spec=False)
    scalables.save(tx, saved, after, Event("scaling.Withdrawn", "the spec no longer asks for it"), now)


def _steps_from_zero() -> StepScaling:
    return StepScaling(FROM_ZERO, Adjustment.CHANGE, (ScalingStep(1, lower=0.0),), cooldown=60)


def _wake_alarm_name(target: ScalableTarget) -> str:
    return f"{target.endpoint}-{target.variant}-backlog-without-capacity"


def _put_wake_alarm(tx: Tx, target: ScalableTarget, records: list[PolicyRecord], now: datetime) -> None:
    """Create the alarm by which SageMaker's guide scales an asynchronous endpoint from zero."""
    name, steps = _wake_alarm_name(target), next((one for one in records if one.policy.name == FROM_ZERO), None)
    if steps is None:
        alarms.delete(tx, [name], now)
        return
    alarm = Alarm(
        name,
        SAGEMAKER,
        "HasBacklogWithoutCapacity",
        {"EndpointName": target.endpoint},
        "Average",
        60,
        2,
        2,
        1.0,
        ComparisonOperator.GREATER_OR_EQUAL,
        now,
        description=f"Requests wait at {target.endpoint} and no instance is there.",
        alarm_actions=(steps.arn,),
    )
    old = tx.get(ALARM, name)
    if old is None or old.body.alarm_actions != alarm.alarm_actions:
        alarms.put(tx, alarm, now)
