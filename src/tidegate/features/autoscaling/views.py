"""Autoscaling of an endpoint for display: plain JSON data."""

from collections.abc import Iterable
from dataclasses import fields

import msgspec

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.domain.scaling import Activity, ScalingPolicy
from tidegate.features.autoscaling import activities, tracking_alarms
from tidegate.features.autoscaling import observation as scaling_observation
from tidegate.features.autoscaling import service as scalables
from tidegate.features.autoscaling.scalable_records import ActivityRecord, Scalable
from tidegate.ports.store import Tx
from tidegate.service import alarms

ScalingDocument = dict[str, object]

KINDS = {
    "TargetTracking": "target tracking",
    "StepScaling": "steps",
    "FastPolicy": "fast",
    "CalendarPolicy": "calendar",
    "ForecastPolicy": "forecast",
}


def scaling_view(
    tx: Tx, endpoint: Endpoint, seen: Observation | None, limit: int, everything: bool
) -> ScalingDocument:
    """Return the targets with their policies and scheduled actions, and the last ``limit`` activities, newest first.
    ``everything`` includes refused ones."""
    done = [
        record
        for record in activities.find(tx, f"{endpoint.name}/")
        if everything or not record.activity.not_scaled
    ]
    return {
        "endpoint": endpoint.name,
        "targets": scaling_targets(tx, endpoint, seen),
        "activities": [_activity(record) for record in done[:limit]],
    }


def scaling_targets(tx: Tx, endpoint: Endpoint, seen: Observation | None) -> list[ScalingDocument]:
    """List the endpoint's scalable targets with their policies and scheduled actions."""
    return [_target(tx, saved.body, endpoint, seen) for saved in scalables.list_for_endpoint(tx, endpoint.name)]


def scaling_summary(
    scaled: Iterable[Scalable], endpoint: Endpoint, seen: Observation | None
) -> list[ScalingDocument]:
    """Return the scaling section of a status document from the endpoint's targets."""
    return [_counts(scalable, endpoint, seen) for scalable in scaled]


def _counts(scalable: Scalable, endpoint: Endpoint, seen: Observation | None) -> ScalingDocument:
    target = scalable.target
    counted = scaling_observation.read_counts(endpoint, target, seen)
    running = scalable.state.running
    return {
        "variant": target.variant,
        "dimension": target.dimension.value,
        "min": target.minimum,
        "max": target.maximum,
        "desired": counted.desired,
        "ready": counted.ready,
        "running": running.description if running is not None else None,
    }


def _target(tx: Tx, scalable: Scalable, endpoint: Endpoint, seen: Observation | None) -> ScalingDocument:
    held = scalable.target.suspended
    return {
        **_counts(scalable, endpoint, seen),
        "busy": scaling_observation.read_counts(endpoint, scalable.target, seen).busy,
        "suspended": {"in": held.scale_in, "out": held.scale_out, "scheduled": held.scheduled},
        "policies": [
            {
                "name": record.policy.name,
                "kind": KINDS[type(record.policy).__name__],
                "by_spec": record.by_spec,
                "content": _content(record.policy),
                "alarms": _alarms(tx, scalable, record.arn),
            }
            for record in scalable.policies
        ],
        "scheduled_actions": [msgspec.to_builtins(record.action) for record in scalable.actions],
    }


def _content(policy: ScalingPolicy) -> ScalingDocument:
    return {
        field.name: msgspec.to_builtins(getattr(policy, field.name))
        for field in fields(policy)
        if field.name not in ("name", "alarm_ids")
    }


def _alarms(tx: Tx, scalable: Scalable, arn: str) -> list[ScalingDocument]:
    """List the alarms of a target tracking policy. Those of a step policy belong to the user."""
    record = next(one for one in scalable.policies if one.arn == arn)
    if record.tracking is None:
        return []
    found = (
        (name, alarms.read_shown(tx, name))
        for name in tracking_alarms.alarm_names(scalable.target, record.tracking)
    )
    return [{"name": name, "state": str(alarm.state) if alarm else "deleted"} for name, alarm in found]


def _activity(record: ActivityRecord) -> ScalingDocument:
    one: Activity = record.activity
    return {
        "id": one.id,
        "variant": record.variant,
        "dimension": record.dimension.value,
        "status": one.status.value,
        "started_at": one.started.isoformat(),
        "ended_at": one.ended.isoformat() if one.ended is not None else None,
        "before": one.before,
        "desired": one.desired,
        "description": one.description,
        "cause": one.cause,
        "message": one.message,
        "not_scaled": [reason.code.value for reason in one.not_scaled],
    }
