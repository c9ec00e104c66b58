"""The autoscaling of a spec as resources of CloudFormation: Application Auto Scaling of a service. Pure."""

from dataclasses import dataclass, field
from datetime import datetime

from tidegate.domain.desired import DesiredScaling
from tidegate.domain.errors import TargetRefused
from tidegate.domain.scaling import (
    CalendarPeak,
    CalendarPolicy,
    CustomMetric,
    FastPolicy,
    ForecastPolicy,
    PredefinedMetricType,
    ScalingPolicy,
    TargetTracking,
)
from tidegate.targets.aws.scheduled_peaks import PEAKS_AHEAD, peak_actions
from tidegate.targets.ecs.options import EcsOptions

_BALANCER = "AWS/ApplicationELB"
_GROUP = {"Fn::GetAtt": ["Group", "TargetGroupFullName"]}


@dataclass
class ScalingResources:
    """``notes``: where Application Auto Scaling does other than the spec asks."""

    resources: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def scaling_resources(settings: EcsOptions, scaling: DesiredScaling, now: datetime) -> ScalingResources:
    """Return the resources of a template that scale its service. Raises Invalid or TargetRefused."""
    made = ScalingResources()
    name = {"Fn::Join": ["/", ["service", settings.cluster, {"Fn::GetAtt": ["Service", "Name"]}]]}
    target: dict[str, object] = {
        "ServiceNamespace": "ecs",
        "ScalableDimension": "ecs:service:DesiredCount",
        "ResourceId": name,
        "MinCapacity": scaling.minimum,
        "MaxCapacity": scaling.maximum,
    }
    actions: list[dict[str, object]] = []
    for number, policy in enumerate(scaling.policies, 1):
        if isinstance(policy, CalendarPolicy):
            for peak in policy.peaks:
                actions += _peak(peak, scaling, now, made.notes)
        elif isinstance(policy, ForecastPolicy):
            made.notes.append(
                "autoscaling.forecast: Application Auto Scaling has no such forecast; it is left out"
            )
        else:
            properties = _policy(settings, policy, made.notes)
            made.resources[f"ScalingPolicy{number}"] = {
                "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
                "Properties": {**properties, "ScalingTargetId": {"Ref": "ScalingTarget"}},
            }
    if actions:
        target["ScheduledActions"] = actions
    if settings.strategy != "ROLLING":
        made.notes.append(
            "autoscaling: requests are counted for one of the two target groups, so during and after a deployment by"
            f" {settings.strategy} the other's do not count"
        )
    made.resources["ScalingTarget"] = {
        "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
        "Properties": target,
    }
    return made


def _policy(settings: EcsOptions, policy: ScalingPolicy, notes: list[str]) -> dict[str, object]:
    match policy:
        case TargetTracking():
            return _tracking(settings, policy)
        case FastPolicy():
            notes.append(
                "autoscaling.rule fast: Application Auto Scaling reacts in minutes and not in seconds; the target is"
                " the same, concurrent requests per task"
            )
            cooldown = max(60, int(policy.scale_in_window))
            same = TargetTracking(
                policy.name, policy.in_flight, PredefinedMetricType.CONCURRENT, scale_in_cooldown=cooldown
            )
            return _tracking(settings, same, policy.disable_scale_in)
    raise TargetRefused(f"autoscaling policy {policy.name}: step scaling is not made from a spec")


def _tracking(settings: EcsOptions, policy: TargetTracking, disable_scale_in: bool = False) -> dict[str, object]:
    return {
        "PolicyName": f"tidegate-{policy.name}",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": float(policy.target),
            "ScaleOutCooldown": policy.scale_out_cooldown,
            "ScaleInCooldown": policy.scale_in_cooldown,
            "DisableScaleIn": policy.disable_scale_in or disable_scale_in,
            **_metric(settings, policy),
        },
    }


def _metric(settings: EcsOptions, policy: TargetTracking) -> dict[str, object]:
    metric = policy.metric
    if metric is PredefinedMetricType.INVOCATIONS:
        label = {"Fn::Join": ["/", [_balancer(settings), _GROUP]]}
        named: dict[str, object] = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}
        return {"PredefinedMetricSpecification": named}
    if metric is PredefinedMetricType.CONCURRENT:
        return {"CustomizedMetricSpecification": {"Metrics": _concurrent(settings)}}
    if isinstance(metric, CustomMetric) and metric.metric.name == "CPUUtilization":
        return {"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}
    if isinstance(metric, CustomMetric):
        known = metric.metric
        custom: dict[str, object] = {
            "Namespace": known.namespace,
            "MetricName": known.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dict(known.dimensions).items()],
            "Statistic": metric.statistic,
            **({"Unit": metric.unit} if metric.unit else {}),
        }
        return {"CustomizedMetricSpecification": custom}
    raise TargetRefused(f"autoscaling policy {policy.name}: its metric is none of a service's")


def _concurrent(settings: EcsOptions) -> list[dict[str, object]]:
    """Requests at a time for each task, by Little's law: those of a minute, times the time that one takes."""
    dimensions = [
        {"Name": "LoadBalancer", "Value": _balancer(settings)},
        {"Name": "TargetGroup", "Value": _GROUP},
    ]
    wanted = (
        ("requests", "RequestCount", "Sum"),
        ("seconds", "TargetResponseTime", "Average"),
        ("tasks", "HealthyHostCount", "Average"),
    )
    lines: list[dict[str, object]] = [
        {
            "Id": id,
            "MetricStat": {
                "Metric": {"Namespace": _BALANCER, "MetricName": name, "Dimensions": dimensions},
                "Stat": statistic,
            },
            "ReturnData": False,
        }
        for id, name, statistic in wanted
    ]
    return [*lines, {"Id": "each", "Expression": "requests * seconds / 60 / tasks", "ReturnData": True}]


def _balancer(settings: EcsOptions) -> str:
    """Return the load balancer's name as metrics and labels have it: ``app/NAME/ID``."""
    return "/".join(settings.listener.partition(":listener/")[2].split("/")[:-1])


def _peak(peak: CalendarPeak, scaling: DesiredScaling, now: datetime, notes: list[str]) -> list[dict[str, object]]:
    notes.append(
        f"autoscaling.calendar {peak.name}: its next {PEAKS_AHEAD} occurrences are scheduled; render again before the"
        " last of them"
    )
    return [
        {
            "ScheduledActionName": one.name,
            "Schedule": one.schedule,
            "ScalableTargetAction": {"MinCapacity": one.minimum, "MaxCapacity": scaling.maximum},
        }
        for one in peak_actions(peak, scaling, now)
    ]
