"""The records that autoscaling keeps."""

from typing import Any

from tidegate.features.autoscaling.scalable_records import ActivityRecord, Scalable
from tidegate.ports.store import Kind

SCALABLE = Kind("scalable", Scalable)
ACTIVITY = Kind("activity", ActivityRecord)
KINDS: tuple[Kind[Any], ...] = (
    SCALABLE,
    ACTIVITY,
)
