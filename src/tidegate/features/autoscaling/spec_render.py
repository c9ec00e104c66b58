"""The section ``autoscaling`` of a deployment, as plain data without defaults."""

from typing import Any

from tidegate.domain.desired import DesiredDeployment
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
from tidegate.features.autoscaling import spec_build as autoscaling
from tidegate.spec.unit_texts import duration_text, number


def render_scaling(deployed: DesiredDeployment) -> dict[str, Any]:
    given = deployed.autoscaling
    assert given is not None
    made: dict[str, Any] = {"min": given.minimum, "max": given.maximum}
    if [given.variant] != [one.name for one in deployed.config.variants]:
        made["variant"] = given.variant
    made |= {"rule": "aws"} if given.from_zero else {}
    for policy in given.policies:
        made |= _policy(policy, autoscaling.default_metric(deployed.config))
    return made


def _policy(policy: ScalingPolicy, usual_metric: str) -> dict[str, Any]:
    match policy:
        case FastPolicy():
            return _fast(policy)
        case TargetTracking():
            return _tracking(policy, usual_metric)
        case CalendarPolicy():
            return {"calendar": [_peak(one) for one in policy.peaks]}
        case ForecastPolicy():
            made: dict[str, Any] = {"per_instance": number(policy.per_instance)}
            usual = ForecastPolicy(policy.name, policy.per_instance)
            made |= {} if policy.season == usual.season else {"season": duration_text(policy.season)}
            return {"forecast": made}
        case _:
            return {}  # steps are of "from zero", or made by the API


def _fast(policy: FastPolicy) -> dict[str, Any]:
    made: dict[str, Any] = {"target": number(policy.in_flight)}
    if policy.queue_time is not None:
        made["queue_time"] = duration_text(policy.queue_time)
    usual = FastPolicy(policy.name, policy.in_flight).scale_in_window
    return made | (
        {} if policy.scale_in_window == usual else {"scale_in_after": duration_text(policy.scale_in_window)}
    )


def _tracking(policy: TargetTracking, usual_metric: str) -> dict[str, Any]:
    made: dict[str, Any] = {"target": number(policy.target), "rule": "aws"}
    word = _metric(policy.metric)
    made |= {} if word == usual_metric else {"metric": word}
    if policy.scale_in_cooldown != autoscaling.COOLDOWN:
        made["scale_in_after"] = duration_text(policy.scale_in_cooldown)
    return made


def _metric(metric: object) -> str:
    if isinstance(metric, PredefinedMetricType):
        return autoscaling.WORDS[metric]
    if isinstance(metric, CustomMetric):
        return "cpu" if metric.metric.name == "CPUUtilization" else "backlog"
    return "tokens"  # a spec makes no other metric math


def _peak(peak: CalendarPeak) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": peak.name,
        "starts": peak.starts,
        "lasts": duration_text(peak.lasts),
        "count": peak.count,
    }
    made |= {} if peak.timezone == "UTC" else {"timezone": peak.timezone}
    return made | ({"holidays": peak.holidays} if peak.holidays else {})
