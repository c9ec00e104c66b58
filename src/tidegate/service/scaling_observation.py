"""What a scalable target looks like: read from the endpoint's record and the last observation. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.domain.rollout import Phase
from tidegate.domain.scaling import Activity, Dimension, ScalableTarget
from tidegate.rollout import desired_state
from tidegate.rollout.commands import VariantChange
from tidegate.rollout.steady_state import CHANGE_UNDONE
from tidegate.service import tracking_alarms
from tidegate.service.scaling_records import Scalable

START_UP_QUANTILE = 0.9
"""The part of the measured start-ups that took no longer than what is counted with."""


@dataclass(frozen=True)
class ScalingCounts:
    """``desired`` None: there is nothing to scale. ``ready`` None: it could not be seen."""

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
    """Those of the variant that are wanted: two of them in the middle of an update."""
    return (spec for id, spec in desired_state.fleets(endpoint).items() if id.variant == variant)


def variant_change(dimension: Dimension, count: int) -> VariantChange:
    return VariantChange(count=count) if dimension is Dimension.INSTANCES else VariantChange(provisioned=count)


def _count(spec: FleetSpec, dimension: Dimension) -> int | None:
    """As it was set for the variant, of which a stage of a rollout may want a part only."""
    serverless = spec.variant.serverless
    if dimension is Dimension.PROVISIONED:
        return serverless.provisioned if serverless is not None else None
    return spec.variant.instance_count if serverless is None else None


def _ready(specs: Iterable[FleetSpec], dimension: Dimension, seen: Observation | None) -> int | None:
    """What the fleet that is furthest behind lacks is taken from the count."""
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
    """Counts may change while an update bakes, not while it moves instances or traffic."""
    if endpoint.deleting:
        return "the endpoint is being deleted"
    if endpoint.failed:
        return "the endpoint could not be created"
    if endpoint.rollout is not None and endpoint.rollout.phase is not Phase.BAKING:
        return f"Cannot update in-progress endpoint: its update is {endpoint.rollout.phase}"
    if endpoint.scaling is not None and endpoint.scaling.undoing:
        return "the last change of its capacity is being put back"
    return None


def _failure(endpoint: Endpoint) -> str | None:
    reason = endpoint.failure_reason or ""
    under_way = endpoint.scaling is not None and not endpoint.scaling.undoing
    return reason if reason.startswith(CHANGE_UNDONE) and not under_way else None


@dataclass(frozen=True)
class InFlight:
    """What is in hand or waits. ``queue_time`` is seconds until a request that came now would be in hand; None: not
    known."""

    requests: int
    queue_time: float | None


def count_in_flight(endpoint: Endpoint, variant: str, seen: Observation | None) -> InFlight | None:
    """Of all fleets of the variant; None where one of them is not known."""
    requests, waits = 0, list[float | None]()
    for spec in variant_fleets(endpoint, variant):
        found = (seen.fleets or {}).get(spec.id) if seen is not None else None
        if found is None or found.in_flight is None:
            return None
        requests += found.in_flight + (found.queued or 0)
        waits.append(found.queue_time)
    known = [wait for wait in waits if wait is not None]
    return InFlight(requests, max(known) if known and len(known) == len(waits) else None)


def is_queued(endpoint: Endpoint, variant: str) -> bool:
    """Whether its requests wait in the queue of an asynchronous endpoint."""
    return any(spec.variant.asynchronous is not None for spec in variant_fleets(endpoint, variant))


def alarms_by_policy(scalable: Scalable, alarms: Iterable[Alarm]) -> dict[str, list[Alarm]]:
    """Policy -> the alarms that name it in their actions; target tracking hears its own ones only, high, then low."""
    by_arn = {record.arn: record for record in scalable.policies}
    found: dict[str, list[Alarm]] = {}
    for alarm in sorted(alarms, key=lambda one: one.name):
        for record in (by_arn[arn] for arn in alarm.alarm_actions if arn in by_arn and alarm.actions_enabled):
            own = (
                tracking_alarms.alarm_names(scalable.target, record.tracking)
                if record.tracking is not None
                else None
            )
            if own is None or alarm.name in own:
                found.setdefault(record.policy.name, []).append(alarm)
    return found


def start_up_seconds(done: Iterable[Activity]) -> float | None:
    """Seconds from asked to ready of the last changes that added something; None: none is known."""
    spans = sorted(
        (one.ended - one.started).total_seconds()
        for one in done
        if one.ended is not None and one.desired > one.before and one.status == "Successful"
    )
    return spans[min(len(spans) - 1, int(len(spans) * START_UP_QUANTILE))] if spans else None
