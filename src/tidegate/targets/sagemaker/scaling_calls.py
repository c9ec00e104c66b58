"""Application Auto Scaling for the autoscaling of a spec."""

from datetime import datetime

from tidegate.domain.desired import DesiredDeployment, DesiredScaling
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import SAGEMAKER
from tidegate.domain.scaling import (
    CalendarPeak,
    CalendarPolicy,
    CustomMetric,
    FastPolicy,
    ForecastPolicy,
    PredefinedMetricType,
    StepScaling,
    TargetTracking,
)
from tidegate.targets.aws.scheduled_peaks import peak_actions
from tidegate.targets.sagemaker import limits
from tidegate.targets.sagemaker.alarm_calls import metric_params
from tidegate.targets.sagemaker.calls import Findings, Params, RunningConfig, SagemakerCall

SERVICE = "application-autoscaling"
NAMESPACE = "sagemaker"


def resource_id(endpoint: str, variant: str) -> str:
    return f"endpoint/{endpoint}/variant/{variant}"


def deregister(endpoint: str, variant: str, dimension: str, why: str) -> SagemakerCall:
    return SagemakerCall(
        SERVICE,
        "DeregisterScalableTarget",
        {
            "ServiceNamespace": NAMESPACE,
            "ResourceId": resource_id(endpoint, variant),
            "ScalableDimension": dimension,
        },
        why,
    )


def compile_deregistrations(
    endpoint: str, wanted: dict[str, str], serving: RunningConfig | None, scaling: DesiredScaling | None
) -> tuple[SagemakerCall, ...]:
    """Scalable targets in the way of an update: UpdateEndpoint fails with another instance type, or without a variant
    that is scaled. ``wanted``: variant -> instance type."""
    found = []
    for one in serving.variants if serving else ():
        for dimension in one.scalable:
            if one.name not in wanted:
                why = f"variant {one.name} goes, and UpdateEndpoint fails while it is scaled"
            elif wanted[one.name] != one.instance_type:
                why = f"the instance type changes, and UpdateEndpoint fails while {one.name} is scaled"
            elif scaling is None or (scaling.variant, scaling.dimension.value) != (one.name, dimension):
                why = "the spec does not scale it any more"
            else:
                continue
            found.append(deregister(endpoint, one.name, dimension, why))
    return tuple(found)


def compile_scaling(wish: DesiredDeployment, now: datetime, found: Findings) -> tuple[SagemakerCall, ...]:
    scaling = wish.autoscaling
    if scaling is None:
        return ()
    where: Params = {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource_id(wish.endpoint, scaling.variant),
        "ScalableDimension": scaling.dimension.value,
    }
    if scaling.minimum < 1 and wish.config.asynchronous is None and not wish.config.serverless:
        found.refuse("autoscaling.min: 0 works for asynchronous endpoints and provisioned concurrency only")
    calls = [
        SagemakerCall(
            SERVICE,
            "RegisterScalableTarget",
            {**where, "MinCapacity": scaling.minimum, "MaxCapacity": scaling.maximum},
            "bounds of autoscaling; the first one of an account makes the service-linked role",
        )
    ]
    found.note(
        "autoscaling: SageMaker does not scale while an update runs, so have the peak's count before it begins"
    )
    for policy in scaling.policies:
        calls += _policy(policy, where, scaling, now, found)
    if scaling.from_zero:
        calls += _from_zero(wish.endpoint, where)
    return tuple(calls)


def _policy(
    policy: object, where: Params, scaling: DesiredScaling, now: datetime, found: Findings
) -> list[SagemakerCall]:
    match policy:
        case TargetTracking(metric=tuple()):
            found.refuse(
                "autoscaling.metric: SageMaker knows no tokens in flight: use metric: concurrency with rule: aws"
            )
            return []
        case TargetTracking():
            return [_tracking(policy, where)]
        case FastPolicy():
            found.note(
                "autoscaling.rule fast: SageMaker has target tracking only, which reacts in minutes and not in"
                " seconds; the target is the same, concurrent requests per instance"
            )
            return [
                _tracking(
                    TargetTracking(
                        policy.name,
                        policy.in_flight,
                        PredefinedMetricType.CONCURRENT,
                        scale_in_cooldown=max(60, int(policy.scale_in_window)),
                        disable_scale_in=policy.disable_scale_in,
                    ),
                    where,
                )
            ]
        case CalendarPolicy():
            return [call for peak in policy.peaks for call in _peak(peak, where, scaling, now, found)]
        case ForecastPolicy():
            found.note("autoscaling.forecast: Application Auto Scaling forecasts no endpoints; it is left out")
            return []
        case StepScaling():
            found.refuse(f"autoscaling policy {policy.name}: step scaling is not made from a spec")
            return []
    raise TypeError(f"not a scaling policy: {policy!r}")


def _tracking(policy: TargetTracking, where: Params) -> SagemakerCall:
    target: Params = {
        "TargetValue": float(policy.target),
        "ScaleOutCooldown": policy.scale_out_cooldown,
        "ScaleInCooldown": policy.scale_in_cooldown,
        "DisableScaleIn": policy.disable_scale_in,
    }
    if isinstance(policy.metric, PredefinedMetricType):
        target["PredefinedMetricSpecification"] = {"PredefinedMetricType": policy.metric.value}
    else:
        assert isinstance(policy.metric, CustomMetric), "a spec makes no metric math"
        custom = {**metric_params(policy.metric.metric), "Statistic": policy.metric.statistic}
        target["CustomizedMetricSpecification"] = custom | (
            {"Unit": policy.metric.unit} if policy.metric.unit else {}
        )
    params = {
        **where,
        "PolicyName": f"tidegate-{policy.name}",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": target,
    }
    return SagemakerCall(SERVICE, "PutScalingPolicy", params, "scales by load")


def _from_zero(endpoint: str, where: Params) -> list[SagemakerCall]:
    """Target tracking divides by the instances, of which there are none: a backlog starts the first one."""
    step = SagemakerCall(
        SERVICE,
        "PutScalingPolicy",
        {
            **where,
            "PolicyName": "tidegate-from-zero",
            "PolicyType": "StepScaling",
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Average",
                "Cooldown": 300,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
            },
        },
        "the first instance, when requests wait and there is none",
        key="from_zero",
    )
    alarm = SagemakerCall(
        "cloudwatch",
        "PutMetricAlarm",
        {
            "AlarmName": f"tidegate-from-zero-{endpoint}",
            "Namespace": SAGEMAKER,
            "MetricName": "HasBacklogWithoutCapacity",
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
            "Statistic": "Average",
            "Period": 60,
            "EvaluationPeriods": 2,
            "DatapointsToAlarm": 2,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "missing",
            "AlarmActions": ["${from_zero.PolicyARN}"],
        },
        "starts the first instance",
    )
    return [step, alarm]


def _peak(
    peak: CalendarPeak, where: Params, scaling: DesiredScaling, now: datetime, found: Findings
) -> list[SagemakerCall]:
    """Scheduled actions for the next occurrences."""
    try:
        actions = list(peak_actions(peak, scaling, now))
    except Invalid as error:
        found.refuse(f"autoscaling.calendar {peak.name}: {error.message}")
        return []
    calls = []
    for one in actions:
        params = {
            "ServiceNamespace": NAMESPACE,
            "ScheduledActionName": one.name,
            "ResourceId": where["ResourceId"],
            "ScalableDimension": where["ScalableDimension"],
            "Schedule": one.schedule,
            "ScalableTargetAction": {"MinCapacity": one.minimum, "MaxCapacity": scaling.maximum},
        }
        calls.append(SagemakerCall(SERVICE, "PutScheduledAction", params, f"peak {peak.name}, {one.word}"))
    found.note(
        f"autoscaling.calendar {peak.name}: its next {len(calls) // 2} occurrences are scheduled; deploy again before"
        " the last of them"
    )
    if len(calls) > limits.SCHEDULED_ACTIONS:
        found.refuse(
            f"autoscaling.calendar: more than {limits.SCHEDULED_ACTIONS} scheduled actions; use fewer peaks"
        )
    return calls
