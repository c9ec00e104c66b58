"""The records that drift keeps."""

from typing import Any

from tidegate.domain.drift import DriftRecord, DriftSchedule
from tidegate.ports.store import Kind

DRIFT_SCHEDULE = Kind("drift-schedule", DriftSchedule)
DRIFT = Kind("drift", DriftRecord)
KINDS: tuple[Kind[Any], ...] = (
    DRIFT_SCHEDULE,
    DRIFT,
)
