"""The two alarms of a target-tracking policy: ordinary alarms, listed by DescribeAlarms and evaluated by the alarm
loop. If one is deleted by hand, the policy is inactive until it is put again, as on AWS."""

from collections.abc import Iterable
from datetime import datetime

from tidegate.domain.scaling import ScalableTarget, TargetTracking
from tidegate.features.autoscaling import tracking
from tidegate.features.autoscaling.scalable_records import PolicyRecord
from tidegate.ports.store import Tx
from tidegate.service import alarms


def put(tx: Tx, target: ScalableTarget, record: PolicyRecord, now: datetime) -> None:
    """Create the alarms; nothing for other kinds of policies."""
    if record.tracking is not None:
        for alarm in tracking.build_alarms(target, record.tracking, record.arn, now):
            alarms.put(tx, alarm, now)


def remove(tx: Tx, target: ScalableTarget, records: Iterable[PolicyRecord], now: datetime) -> None:
    """Delete the alarms that still exist."""
    found = (alarm_names(target, record.tracking) for record in records if record.tracking is not None)
    alarms.delete(tx, [name for pair in found for name in pair], now)


def alarm_names(target: ScalableTarget, policy: TargetTracking) -> tuple[str, str]:
    """Names of the high and the low alarm."""
    high, low = policy.alarm_ids
    start = f"TargetTracking-{target.resource_id}"
    return f"{start}-AlarmHigh-{high}", f"{start}-AlarmLow-{low}"
