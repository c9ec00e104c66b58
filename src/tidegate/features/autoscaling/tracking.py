"""Target tracking as in Application Auto Scaling, with its two alarms. Pure.

The high alarm fires above the target in 3 of 3 minutes, the low alarm below 0.9 of it in 15 of 15. The count changes
in proportion to the metric and is rounded up, so that scaling in cannot raise the metric over the target. AWS
publishes neither for SageMaker; the numbers are those of its ECS targets. For 10-second metrics they are unknown, and
the same number of points is used."""

from dataclasses import dataclass
from datetime import datetime

from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator
from tidegate.domain.metric import SAGEMAKER, MetricId, Query
from tidegate.domain.scaling import (
    CustomMetric,
    NotScaledCode,
    PolicyAlarm,
    PredefinedMetricType,
    ScalableTarget,
    ScalerState,
    ScalingObservation,
    TargetTracking,
)
from tidegate.features.autoscaling.proposals import (
    CountProposal,
    RefusedProposal,
    alarm_cause,
    is_cooling_down,
    is_due,
    round_up,
    scale_out_base,
)

HIGH, LOW = 3, 15
"""Points."""
LOW_FACTOR = 0.9


@dataclass(frozen=True)
class _PredefinedMetric:
    """Metric that a predefined name refers to. ``period`` is seconds."""

    name: str
    statistic: str
    period: int = 60


PREDEFINED = {
    PredefinedMetricType.INVOCATIONS: _PredefinedMetric("InvocationsPerInstance", "Sum"),
    PredefinedMetricType.CONCURRENT: _PredefinedMetric("ConcurrentRequestsPerModel", "Average", 10),
    PredefinedMetricType.UTILIZATION: _PredefinedMetric("ServerlessProvisionedConcurrencyUtilization", "Maximum"),
}


@dataclass(frozen=True)
class _TrackedMetric:
    """``metric`` None: metric math, in ``queries``."""

    metric: MetricId | None = None
    statistic: str = ""
    unit: str | None = None
    period: int = 60
    queries: tuple[Query, ...] = ()


def _tracked_metric(target: ScalableTarget, policy: TargetTracking) -> _TrackedMetric:
    given = policy.metric
    if isinstance(given, PredefinedMetricType):
        known = PREDEFINED[given]
        named = {"EndpointName": target.endpoint, "VariantName": target.variant}
        return _TrackedMetric(MetricId.of(SAGEMAKER, known.name, named), known.statistic, period=known.period)
    if isinstance(given, CustomMetric):
        return _TrackedMetric(given.metric, given.statistic, given.unit)
    return _TrackedMetric(queries=given)


def build_alarms(target: ScalableTarget, policy: TargetTracking, arn: str, now: datetime) -> tuple[Alarm, Alarm]:
    """High and low alarm of a policy, which are created and deleted with it. ``arn`` is the policy's."""
    watched = _tracked_metric(target, policy)

    def alarm(which: int, periods: int, threshold: float, comparison: ComparisonOperator) -> Alarm:
        side = ("AlarmHigh", "AlarmLow")[which]
        return Alarm(
            name=f"TargetTracking-{target.resource_id}-{side}-{policy.alarm_ids[which]}",
            namespace=watched.metric.namespace if watched.metric else "",
            metric=watched.metric.name if watched.metric else "",
            dimensions=dict(watched.metric.dimensions) if watched.metric else {},
            statistic=watched.statistic,
            period=watched.period,
            evaluation_periods=periods,
            datapoints_to_alarm=periods,
            threshold=threshold,
            comparison=comparison,
            configured_at=now,
            unit=watched.unit,
            queries=watched.queries,
            description=f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {arn}.",
            alarm_actions=(arn,),
        )

    return (
        alarm(0, HIGH, policy.target, ComparisonOperator.GREATER),
        alarm(1, LOW, LOW_FACTOR * policy.target, ComparisonOperator.LESS),
    )


def propose_scale_out(
    policy: TargetTracking, state: ScalerState, seen: ScalingObservation, now: datetime
) -> CountProposal | None:
    """Proposal of the high alarm now, if any."""
    high = _own_alarms(policy, seen)[0]
    if high is None or high.value is None or not is_due(high, state, now):
        return None
    count = round_up(scale_out_base(state, seen, now) * high.value / policy.target)
    return (
        CountProposal(count, alarm_cause(high, policy.name), policy.scale_out_cooldown)
        if count > seen.desired
        else None
    )


def propose_scale_in(
    policy: TargetTracking, state: ScalerState, seen: ScalingObservation, now: datetime
) -> CountProposal | RefusedProposal | None:
    """Proposal of the low alarm, whether or not it is due now; None if it does not agree to scale in."""
    low = _own_alarms(policy, seen)[1]
    if low is None or low.value is None or low.state is not AlarmState.ALARM or is_cooling_down(state.into, now):
        return None
    count = round_up(seen.desired * low.value / policy.target)
    if count >= seen.desired:
        return RefusedProposal(NotScaledCode.FLAPPING, alarm_cause(low, policy.name))
    return CountProposal(count, alarm_cause(low, policy.name), policy.scale_in_cooldown)


def is_scale_in_due(policy: TargetTracking, state: ScalerState, seen: ScalingObservation, now: datetime) -> bool:
    low = _own_alarms(policy, seen)[1]
    return low is not None and is_due(low, state, now)


def _own_alarms(policy: TargetTracking, seen: ScalingObservation) -> tuple[PolicyAlarm | None, PolicyAlarm | None]:
    pair = seen.alarms.get(policy.name, ())
    return (pair[0], pair[1]) if len(pair) == 2 else (None, None)
