"""Observe a scalable target: counts and load from the endpoint's record and the last observation. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.domain.rollout import Phase
from tidegate.domain.scaling import Activity, Dimension, ScalableTarget
from tidegate.features.autoscaling import tracking_alarms
from tidegate.features.autoscaling.scalable_records import Scalable
from tidegate.rollout import desired_state
from tidegate.rollout.commands import VariantChange
from tidegate.rollout.steady_state import CHANGE_UNDONE

START_UP_QUANTILE = 0.9
"""Quantile of measured start-up times that scaling plans with."""


@dataclass(frozen=True)
class ScalingCounts:
    """``desired`` None: there is nothing to scale. ``ready`` None: not observed."""

    desired: int | None
    ready: int | None
    busy: str | None = None
    failure: str | None = None


def read_counts(endpoint: Endpoint, target: ScalableTarget, seen: Observation | None) -> ScalingCounts:
    specs = list(variant_fleets(endpoint, target.variant))
    counts = [found for spec in specs if (found := _count(spec, target.dimension)) is not None]
    if not counts:
        return ScalingCounts(None, None)
    return ScalingCounts(max(counts), _ready(specs, target.dimension, seen), _busy(endpoint), _failure(endpoint))


def variant_fleets(endpoint: Endpoint, variant: str) -> Iterable[FleetSpec]:
    """Desired fleets of the variant: two during an update."""
    return (spec for id, spec in desired_state.fleets(endpoint).items() if id.variant == variant)


def variant_change(dimension: Dimension, count: int) -> VariantChange:
    return VariantChange(count=count) if dimension is Dimension.INSTANCES else VariantChange(provisioned=count)


def _count(spec: FleetSpec, dimension: Dimension) -> int | None:
    """Count as set for the variant. A stage of a rollout may run only a part of it."""
    serverless = spec.variant.serverless
    if dimension is Dimension.PROVISIONED:
        return serverless.provisioned if serverless is not None else None
    return spec.variant.instance_count if serverless is None else None


def _ready(specs: Iterable[FleetSpec], dimension: Dimension, seen: Observation | None) -> int | None:
    """Largest count minus the largest shortfall of a fleet."""
    if seen is None or seen.fleets is None:
        return None
    behind, most = 0, 0
    for spec in specs:
        count, found = _count(spec, dimension) or 0, seen.fleets.get(spec.id)
        most = max(most, count)
        behind = max(behind, _shortfall(spec, dimension, found))
    return max(0, most - behind)


def _shortfall(spec: FleetSpec, dimension: Dimension, found: FleetStatus | None) -> int:
    if dimension is Dimension.INSTANCES:
        return spec.count - min(spec.count, found.ready if found is not None else 0)
    kept = spec.variant.serverless.provisioned if spec.variant.serverless is not None else 0
    asked = found.serverless.provisioned if found is not None and found.serverless is not None else 0
    return kept - min(kept, asked)


def _busy(endpoint: Endpoint) -> str | None:
    """Why counts cannot change now. They may change while an update bakes, but not while it moves instances or
    traffic."""
    if endpoint.deleting:
        return "the endpoint is being deleted"
    if endpoint.failed:
        return "the endpoint could not be created"
    if endpoint.rollout is not None and endpoint.rollout.phase is not Phase.BAKING:
        return f"Cannot update in-progress endpoint: its update is {endpoint.rollout.phase}"
    if endpoint.scaling is not None and endpoint.scaling.undoing:
        return "the last change of its capacity is being undone"
    return None


def _failure(endpoint: Endpoint) -> str | None:
    reason = endpoint.failure_reason or ""
    under_way = endpoint.scaling is not None and not endpoint.scaling.undoing
    return reason if reason.startswith(CHANGE_UNDONE) and not under_way else None


@dataclass(frozen=True)
class InFlightCount:
    """Requests in progress or waiting. ``queue_time``: seconds that a request arriving now would wait; None:
    unknown."""

    requests: int
    queue_time: float | None


def count_in_flight(endpoint: Endpoint, variant: str, seen: Observation | None) -> InFlightCount | None:
    """Requests of all fleets of the variant; None if one of them is unknown."""
    requests, waits = 0, list[float | None]()
    for spec in variant_fleets(endpoint, variant):
        found = (seen.fleets or {}).get(spec.id) if seen is not None else None
        if found is None or found.in_flight is None:
            return None
        requests += found.in_flight + (found.queued or 0)
        waits.append(found.queue_time)
    known = [wait for wait in waits if wait is not None]
    return InFlightCount(requests, max(known) if known and len(known) == len(waits) else None)


def is_queued(endpoint: Endpoint, variant: str) -> bool:
    """Whether its requests wait in the queue of an asynchronous endpoint."""
    return any(spec.variant.asynchronous is not None for spec in variant_fleets(endpoint, variant))


def alarms_by_action(alarms: Iterable[Alarm]) -> dict[str, list[Alarm]]:
    """ARN of an action -> alarms that take it, by name."""
    found: dict[str, list[Alarm]] = {}
    for alarm in sorted(alarms, key=lambda one: one.name):
        for arn in alarm.alarm_actions if alarm.actions_enabled else ():
            found.setdefault(arn, []).append(alarm)
    return found


def alarms_by_policy(scalable: Scalable, by_action: Mapping[str, Sequence[Alarm]]) -> dict[str, list[Alarm]]:
    """Policy -> alarms that name it in their actions. Target tracking has only its own: high, then low."""
    found: dict[str, list[Alarm]] = {}
    for record in scalable.policies:
        own = (
            tracking_alarms.alarm_names(scalable.target, record.tracking) if record.tracking is not None else None
        )
        mine = [alarm for alarm in by_action.get(record.arn, ()) if own is None or alarm.name in own]
        if mine:
            found[record.policy.name] = mine
    return found


def start_up_seconds(done: Iterable[Activity]) -> float | None:
    """Start-up time in seconds, from the last changes that added capacity; None: unknown."""
    spans = sorted(
        (one.ended - one.started).total_seconds()
        for one in done
        if one.ended is not None and one.desired > one.before and one.status == "Successful"
    )
    return spans[min(len(spans) - 1, int(len(spans) * START_UP_QUANTILE))] if spans else None
