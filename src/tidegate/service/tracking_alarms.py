"""The two alarms of a target-tracking policy: ordinary alarms, seen by DescribeAlarms and judged by the alarm loop.
Whoever deletes one by hand makes its policy deaf on that side until the policy is put again, as on AWS.

Names, descriptions and 3 x 1 minute over, 15 x 1 minute under 90 % are widely reported of Application Auto
Scaling; no primary text gives them for SageMaker. For 10-second metrics no counts are known: 3 over, 15 under."""

from collections.abc import Iterable
from datetime import datetime

from tidegate.model.alarm import Alarm, Comparison
from tidegate.model.metric import SAGEMAKER, MetricId
from tidegate.model.scaling import Predefined, ScalableTarget, TargetTracking
from tidegate.ports.store import Tx
from tidegate.service import alarms
from tidegate.service.kinds import ALARM
from tidegate.service.scaling_records import PolicyRecord

ABOVE, BELOW = 3, 15
"""Datapoints."""
SLACK = 0.9
"""Of the target: below it there is too much capacity."""

_PREDEFINED: dict[Predefined, tuple[str, str, int]] = {
    Predefined.INVOCATIONS: ("InvocationsPerInstance", "Sum", 60),
    Predefined.CONCURRENT: ("ConcurrentRequestsPerModel", "Average", 10),
    Predefined.UTILIZATION: ("ServerlessProvisionedConcurrencyUtilization", "Maximum", 60),
}
"""Metric, statistic, period."""


def put(tx: Tx, target: ScalableTarget, record: PolicyRecord, now: datetime) -> None:
    for alarm in made(target, record, now):
        alarms.put(tx, alarm, now)


def remove(tx: Tx, target: ScalableTarget, records: Iterable[PolicyRecord], now: datetime) -> None:
    """Those that are still there."""
    found = (names(target, record.tracking) for record in records if record.tracking is not None)
    there = [name for pair in found for name in pair if tx.get(ALARM, name) is not None]
    alarms.delete(tx, there, now)


def names(target: ScalableTarget, policy: TargetTracking) -> tuple[str, str]:
    """High, low."""
    high, low = policy.alarm_ids
    return (
        f"TargetTracking-{target.resource_id}-AlarmHigh-{high}",
        f"TargetTracking-{target.resource_id}-AlarmLow-{low}",
    )


def made(target: ScalableTarget, record: PolicyRecord, now: datetime) -> list[Alarm]:
    """High, low; none for a policy of another kind."""
    policy = record.tracking
    if policy is None:
        return []
    metric, statistic, period, unit = _metric(target, policy)
    high, low = names(target, policy)

    def alarm(name: str, comparison: Comparison, threshold: float, points: int) -> Alarm:
        return Alarm(
            name,
            metric.namespace,
            metric.name,
            dict(metric.dimensions),
            statistic,
            period,
            points,
            points,
            threshold,
            comparison,
            now,
            unit=unit,
            description=f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {record.arn}.",
            alarm_actions=(record.arn,),
        )

    over = alarm(high, Comparison.GREATER, policy.target, ABOVE)
    return [over, alarm(low, Comparison.LESS, policy.target * SLACK, BELOW)]


def _metric(target: ScalableTarget, policy: TargetTracking) -> tuple[MetricId, str, int, str | None]:
    given = policy.metric
    if not isinstance(given, Predefined):
        return given.metric, given.statistic, 60, given.unit
    name, statistic, period = _PREDEFINED[given]
    named = {"EndpointName": target.endpoint, "VariantName": target.variant}
    return MetricId.of(SAGEMAKER, name, named), statistic, period, None
