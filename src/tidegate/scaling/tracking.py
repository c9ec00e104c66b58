"""Target tracking: Application Auto Scaling's rule, and the two alarms that it shows. Pure.

The alarms: above the target in 3 of 3 minutes, below 0.9 of it in 15 of 15. The change is in proportion to the metric
and rounded up, so that scaling in cannot lift the metric over the target. Amazon publishes neither for SageMaker; the
numbers are those of its ECS targets. For metrics of 10 seconds they are unknown: as many points are taken.
"""

from dataclasses import dataclass
from datetime import datetime

from tidegate.domain.alarm import Alarm, AlarmState, Comparison
from tidegate.domain.metric import SAGEMAKER, MetricId, Query
from tidegate.domain.scaling import (
    AlarmSeen,
    CustomMetric,
    NotScaled,
    Predefined,
    ScalableTarget,
    ScalerState,
    ScaleSeen,
    TargetTracking,
)
from tidegate.scaling.proposals import Ask, Refusal, base, cause, due, in_force, up

HIGH, LOW = 3, 15
"""Points."""
BELOW = 0.9


@dataclass(frozen=True)
class Known:
    """What a predefined metric stands for. ``period`` is seconds."""

    name: str
    statistic: str
    period: int = 60


PREDEFINED = {
    Predefined.INVOCATIONS: Known("InvocationsPerInstance", "Sum"),
    Predefined.CONCURRENT: Known("ConcurrentRequestsPerModel", "Average", 10),
    Predefined.UTILIZATION: Known("ServerlessProvisionedConcurrencyUtilization", "Maximum"),
}


@dataclass(frozen=True)
class Watched:
    """``metric`` None: metric math, in ``queries``."""

    metric: MetricId | None = None
    statistic: str = ""
    unit: str | None = None
    period: int = 60
    queries: tuple[Query, ...] = ()


def _watched(target: ScalableTarget, policy: TargetTracking) -> Watched:
    given = policy.metric
    if isinstance(given, Predefined):
        known = PREDEFINED[given]
        named = {"EndpointName": target.endpoint, "VariantName": target.variant}
        return Watched(MetricId.of(SAGEMAKER, known.name, named), known.statistic, period=known.period)
    if isinstance(given, CustomMetric):
        return Watched(given.metric, given.statistic, given.unit)
    return Watched(queries=given)


def alarms(target: ScalableTarget, policy: TargetTracking, arn: str, now: datetime) -> tuple[Alarm, Alarm]:
    """The high and the low alarm of a policy. They are made and removed with it; ``arn`` is the policy's."""
    watched = _watched(target, policy)

    def alarm(which: int, periods: int, threshold: float, comparison: Comparison) -> Alarm:
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
        alarm(0, HIGH, policy.target, Comparison.GREATER),
        alarm(1, LOW, BELOW * policy.target, Comparison.LESS),
    )


def out(policy: TargetTracking, state: ScalerState, seen: ScaleSeen, now: datetime) -> Ask | None:
    """What the high alarm asks for now."""
    high = _pair(policy, seen)[0]
    if high is None or high.value is None or not due(high, state, now):
        return None
    count = up(base(state, seen, now) * high.value / policy.target)
    return Ask(count, cause(high, policy.name), policy.scale_out_cooldown) if count > seen.desired else None


def into(policy: TargetTracking, state: ScalerState, seen: ScaleSeen, now: datetime) -> Ask | Refusal | None:
    """What the low alarm would have, whether or not it acts just now: None when it does not agree to fewer."""
    low = _pair(policy, seen)[1]
    if low is None or low.value is None or low.state is not AlarmState.ALARM or in_force(state.into, now):
        return None
    count = up(seen.desired * low.value / policy.target)
    if count >= seen.desired:
        return Refusal(NotScaled.FLAPPING, cause(low, policy.name))
    return Ask(count, cause(low, policy.name), policy.scale_in_cooldown)


def acts_in(policy: TargetTracking, state: ScalerState, seen: ScaleSeen, now: datetime) -> bool:
    low = _pair(policy, seen)[1]
    return low is not None and due(low, state, now)


def _pair(policy: TargetTracking, seen: ScaleSeen) -> tuple[AlarmSeen | None, AlarmSeen | None]:
    pair = seen.alarms.get(policy.name, ())
    return (pair[0], pair[1]) if len(pair) == 2 else (None, None)
