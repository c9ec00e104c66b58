"""Application Auto Scaling's operations on scaling policies."""

from collections.abc import Iterator

from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId, Query
from tidegate.domain.scaling import (
    Adjustment,
    Aggregation,
    CustomMetric,
    Dimension,
    PredefinedMetricType,
    ScalingStep,
    StepScaling,
    TargetTracking,
)
from tidegate.features.autoscaling import policies as use
from tidegate.features.autoscaling import service as scalables
from tidegate.features.autoscaling import tracking_alarms
from tidegate.features.autoscaling.members import autoscaling_arn, new_arn_id, parse_key, render_key
from tidegate.features.autoscaling.scalable_records import PolicyRecord, Scalable
from tidegate.features.autoscaling.service import ScalableKey
from tidegate.features.autoscaling.target_operations import describe_parts, target_key
from tidegate.wire.cloudwatch_members import parse_dimensions
from tidegate.wire.member_notes import OperationNotes, note
from tidegate.wire.metric_queries import parse_query, render_queries
from tidegate.wire.operation import OperationCall, Operations, Params, TxCall, TxOperation

PAGE_SIZE = 10
DEFAULT_COOLDOWN = 300
"""Default of every cooldown, in seconds."""
TRACKING, STEPS = "TargetTrackingScaling", "StepScaling"
_CONFIGURATIONS = {
    TRACKING: "TargetTrackingScalingPolicyConfiguration",
    STEPS: "StepScalingPolicyConfiguration",
}
_OF_DIMENSION = {
    PredefinedMetricType.INVOCATIONS: Dimension.INSTANCES,
    PredefinedMetricType.CONCURRENT: Dimension.INSTANCES,
    PredefinedMetricType.UTILIZATION: Dimension.PROVISIONED,
}


def put_scaling_policy(call: TxCall, params: Params) -> Params:
    which = parse_key(params)

    def make(before: PolicyRecord | None) -> PolicyRecord:
        return _make_record(call, which, params, before)

    record = use.put_policy(call.tx, which, params["PolicyName"], make, call.now)
    scalable = scalables.get(call.tx, which).body
    return {"PolicyARN": record.arn, "Alarms": _render_alarms(call, scalable, record)}


def _make_record(
    call: OperationCall, which: ScalableKey, params: Params, before: PolicyRecord | None
) -> PolicyRecord:
    """Omitted members keep their value."""
    name, kind = params["PolicyName"], params.get("PolicyType") or _policy_type(before)
    if kind is None:
        raise Invalid("PolicyType must be given when a policy is created")
    if kind not in _CONFIGURATIONS:
        raise Invalid(f"PolicyType {kind} is not supported for {which.dimension}: use {TRACKING} or {STEPS}")
    member = _CONFIGURATIONS[kind]
    for other in (*_CONFIGURATIONS.values(), "PredictiveScalingPolicyConfiguration"):
        if other != member and params.get(other) is not None:
            raise Invalid(f"{other} does not go with PolicyType {kind}")
    config: Params | None = params.get(member) or (dict(before.wire) if before is not None else None)
    if not config:
        raise Invalid(f"{member} must be given for PolicyType {kind}")
    id = before.id if before is not None else new_arn_id(call.ctx.ids)
    arn = autoscaling_arn(call, "scalingPolicy", id, which, f"policyName/{name}")
    created = before.created_at if before is not None else call.now
    if kind == STEPS:
        return PolicyRecord(id, arn, created, steps=_parse_steps(name, config), wire=config)
    old = before.tracking if before is not None else None
    ends = old.alarm_ids if old is not None else (new_arn_id(call.ctx.ids), new_arn_id(call.ctx.ids))
    return PolicyRecord(id, arn, created, tracking=_parse_tracking(name, which, config, ends), wire=config)


def _policy_type(record: PolicyRecord | None) -> str | None:
    if record is None:
        return None
    return TRACKING if record.tracking is not None else STEPS if record.steps is not None else None


def _parse_tracking(name: str, which: ScalableKey, config: Params, ends: tuple[str, str]) -> TargetTracking:
    return TargetTracking(
        name,
        float(config["TargetValue"]),
        _parse_metric(which, config),
        scale_out_cooldown=config.get("ScaleOutCooldown", DEFAULT_COOLDOWN),
        scale_in_cooldown=config.get("ScaleInCooldown", DEFAULT_COOLDOWN),
        disable_scale_in=config.get("DisableScaleIn", False),
        alarm_ids=ends,
    )


def _parse_metric(which: ScalableKey, config: Params) -> PredefinedMetricType | CustomMetric | tuple[Query, ...]:
    given, custom = config.get("PredefinedMetricSpecification"), config.get("CustomizedMetricSpecification")
    if (given is None) == (custom is None):
        raise Invalid(
            "exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given"
        )
    if given is not None:
        kind = given["PredefinedMetricType"]
        if (
            kind not in list(PredefinedMetricType)
            or _OF_DIMENSION[PredefinedMetricType(kind)] is not which.dimension
        ):
            allowed = [one.value for one, dimension in _OF_DIMENSION.items() if dimension is which.dimension]
            raise Invalid(f"metric type {kind} does not go with {which.dimension}: use {' or '.join(allowed)}")
        return PredefinedMetricType(kind)
    assert custom is not None
    if custom.get("Metrics"):
        for member in ("MetricName", "Namespace", "Dimensions", "Statistic", "Unit"):
            if custom.get(member):
                raise Invalid(f"CustomizedMetricSpecification: {member} does not go with Metrics")
        return tuple(parse_query(line) for line in custom["Metrics"])
    for member in ("MetricName", "Namespace", "Statistic"):
        if custom.get(member) is None:
            raise Invalid(f"CustomizedMetricSpecification.{member} must be given")
    metric = MetricId.of(custom["Namespace"], custom["MetricName"], parse_dimensions(custom))
    return CustomMetric(metric, custom["Statistic"], custom.get("Unit"))


def _parse_steps(name: str, config: Params) -> StepScaling:
    if config.get("AdjustmentType") is None:
        raise Invalid("StepScalingPolicyConfiguration.AdjustmentType must be given")
    return StepScaling(
        name,
        Adjustment(config["AdjustmentType"]),
        tuple(
            ScalingStep(
                step["ScalingAdjustment"],
                step.get("MetricIntervalLowerBound"),
                step.get("MetricIntervalUpperBound"),
            )
            for step in config.get("StepAdjustments", [])
        ),
        config.get("MinAdjustmentMagnitude"),
        config.get("Cooldown", DEFAULT_COOLDOWN),
        Aggregation(config.get("MetricAggregationType", "Average")),
    )


def _render_alarms(call: OperationCall, scalable: Scalable, record: PolicyRecord) -> list[Params]:
    if record.tracking is None:
        return []
    return [
        {"AlarmName": name, "AlarmARN": call.arn(f"alarm:{name}", "cloudwatch")}
        for name in tracking_alarms.alarm_names(scalable.target, record.tracking)
    ]


def delete_scaling_policy(call: TxCall, params: Params) -> None:
    use.delete_policy(call.tx, parse_key(params), params["PolicyName"], call.now)


def describe_scaling_policies(call: TxCall, params: Params) -> Params:
    """Policies of kinds that Application Auto Scaling lacks are left out."""
    wanted = params.get("PolicyNames")

    def requested(scalable: Scalable) -> Iterator[tuple[str, PolicyRecord]]:
        for record in scalable.policies:
            named = not wanted or record.policy.name in wanted or record.arn in wanted
            if named and _policy_type(record) is not None:
                yield record.policy.name, record

    shown, token = describe_parts(call, params, PAGE_SIZE, requested)
    return {"ScalingPolicies": [_render_policy(call, *one) for one in shown], "NextToken": token}


def _render_policy(call: OperationCall, scalable: Scalable, record: PolicyRecord) -> Params:
    kind = _policy_type(record)
    assert kind is not None
    config = record.wire or (_render_tracking(record.tracking) if record.tracking else _render_steps(record.steps))
    return {
        "PolicyARN": record.arn,
        "PolicyName": record.policy.name,
        **render_key(target_key(scalable)),
        "PolicyType": kind,
        _CONFIGURATIONS[kind]: config,
        "Alarms": _render_alarms(call, scalable, record),
        "CreationTime": record.created_at,
    }


def _render_tracking(policy: TargetTracking) -> Params:
    """Render a policy that was not created through this API."""
    metric = policy.metric
    if isinstance(metric, PredefinedMetricType):
        said: Params = {"PredefinedMetricSpecification": {"PredefinedMetricType": metric.value}}
    elif not isinstance(metric, CustomMetric):
        said = {"CustomizedMetricSpecification": {"Metrics": render_queries(metric)}}
    else:
        said = {
            "CustomizedMetricSpecification": {
                "MetricName": metric.metric.name,
                "Namespace": metric.metric.namespace,
                "Dimensions": [{"Name": name, "Value": value} for name, value in metric.metric.dimensions],
                "Statistic": metric.statistic,
                "Unit": metric.unit,
            }
        }
    return {
        "TargetValue": policy.target,
        **said,
        "ScaleOutCooldown": policy.scale_out_cooldown,
        "ScaleInCooldown": policy.scale_in_cooldown,
        "DisableScaleIn": policy.disable_scale_in,
    }


def _render_steps(policy: StepScaling | None) -> Params:
    assert policy is not None
    return {
        "AdjustmentType": policy.adjustment.value,
        "StepAdjustments": [
            {
                "MetricIntervalLowerBound": step.lower,
                "MetricIntervalUpperBound": step.upper,
                "ScalingAdjustment": step.adjustment,
            }
            for step in policy.steps
        ],
        "MinAdjustmentMagnitude": policy.min_magnitude,
        "Cooldown": policy.cooldown,
        "MetricAggregationType": policy.aggregation.value,
    }


OPERATIONS: Operations = {
    "PutScalingPolicy": TxOperation(put_scaling_policy, Access.CHANGE),
    "DeleteScalingPolicy": TxOperation(delete_scaling_policy, Access.CHANGE),
    "DescribeScalingPolicies": TxOperation(describe_scaling_policies, Access.READ),
}


# --- how members of these operations are treated that are not served ---


NOTES: OperationNotes = {
    ("application-autoscaling", "RegisterScalableTarget"): note(ignored=("RoleARN",)),
    ("application-autoscaling", "PutScalingPolicy"): note(
        ignored=("TargetTrackingScalingPolicyConfiguration.PredefinedMetricSpecification.ResourceLabel",),
        refused=("PredictiveScalingPolicyConfiguration",),
    ),
}
