"""Records of autoscaling: one per scalable target, with its policies, scheduled actions and state. So a decision is
one read and one write, and deregistering leaves nothing behind."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidegate.domain.scaling import (
    Activity,
    CalendarPolicy,
    Dimension,
    FastPolicy,
    ForecastPolicy,
    ScalableTarget,
    ScalerState,
    ScalingPolicy,
    ScheduledAction,
    StepScaling,
    TargetTracking,
)
from tidegate.ports.store import Kind


@dataclass(frozen=True)
class PolicyRecord:
    """One policy; exactly one of the five kinds is set."""

    id: str
    arn: str
    created_at: datetime
    tracking: TargetTracking | None = None
    steps: StepScaling | None = None
    fast: FastPolicy | None = None
    calendar: CalendarPolicy | None = None
    forecast: ForecastPolicy | None = None
    by_spec: bool = False
    """Created by a spec, and deleted when the spec no longer has it."""
    wire: dict[str, object] = field(default_factory=dict)
    """Its configuration as given in Application Auto Scaling's API."""

    @property
    def policy(self) -> ScalingPolicy:
        found = self.tracking or self.steps or self.fast or self.calendar or self.forecast
        assert found is not None, "one of the kinds is set"
        return found


@dataclass(frozen=True)
class ActionRecord:
    action: ScheduledAction
    arn: str
    by_spec: bool = False


@dataclass(frozen=True)
class Scalable:
    """``id`` is the end of the target's ARN."""

    id: str
    target: ScalableTarget
    policies: tuple[PolicyRecord, ...] = ()
    actions: tuple[ActionRecord, ...] = ()
    state: ScalerState = field(default_factory=ScalerState)
    by_spec: bool = False
    """Registered by a spec."""

    @property
    def name(self) -> str:
        return record_name(self.target.endpoint, self.target.variant, self.target.dimension)

    def policy(self, name: str) -> PolicyRecord | None:
        return next((one for one in self.policies if one.policy.name == name), None)

    def action(self, name: str) -> ActionRecord | None:
        return next((one for one in self.actions if one.action.name == name), None)


@dataclass(frozen=True)
class ActivityRecord:
    """One activity, of a target that may have been deregistered since."""

    endpoint: str
    variant: str
    dimension: Dimension
    activity: Activity

    @property
    def name(self) -> str:
        """Sorts the activities of one target by start time."""
        began = int(self.activity.started.timestamp() * 1000)
        return f"{record_name(self.endpoint, self.variant, self.dimension)}/{began:014d}-{self.activity.id}"

    @property
    def resource_id(self) -> str:
        return f"endpoint/{self.endpoint}/variant/{self.variant}"


def record_name(endpoint: str, variant: str, dimension: Dimension) -> str:
    return f"{endpoint}/{variant}/{dimension.name.lower()}"


def policies_of(scalable: Scalable) -> Iterator[ScalingPolicy]:
    return (record.policy for record in scalable.policies)


# --- the records that autoscaling keeps ---


SCALABLE = Kind("scalable", Scalable)
ACTIVITY = Kind("activity", ActivityRecord)
KINDS: tuple[Kind[Any], ...] = (
    SCALABLE,
    ACTIVITY,
)
