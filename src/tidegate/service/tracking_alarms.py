"""The two alarms of a target-tracking policy: ordinary alarms, seen by DescribeAlarms and judged by the alarm loop.
Whoever deletes one by hand makes its policy deaf until it is put again, as on AWS."""

from collections.abc import Iterable
from datetime import datetime

from tidegate.domain.scaling import ScalableTarget, TargetTracking
from tidegate.ports.store import Tx
from tidegate.scaling import tracking
from tidegate.service import alarms
from tidegate.service.record_kinds import ALARM
from tidegate.service.scaling_records import PolicyRecord


def put(tx: Tx, target: ScalableTarget, record: PolicyRecord, now: datetime) -> None:
    """Nothing for a policy of another kind."""
    if record.tracking is not None:
        for alarm in tracking.build_alarms(target, record.tracking, record.arn, now):
            alarms.put(tx, alarm, now)


def remove(tx: Tx, target: ScalableTarget, records: Iterable[PolicyRecord], now: datetime) -> None:
    """Those that are still there."""
    found = (alarm_names(target, record.tracking) for record in records if record.tracking is not None)
    there = [name for pair in found for name in pair if tx.get(ALARM, name) is not None]
    alarms.delete(tx, there, now)


def alarm_names(target: ScalableTarget, policy: TargetTracking) -> tuple[str, str]:
    """High, low."""
    high, low = policy.alarm_ids
    start = f"TargetTracking-{target.resource_id}"
    return f"{start}-AlarmHigh-{high}", f"{start}-AlarmLow-{low}"
