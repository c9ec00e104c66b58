"""Status of an endpoint in SageMaker's terms, from its record and the last observation."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.fleet import FleetId, Serverless, VariantSpec
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.domain.rollout import Phase, Version
from tidegate.domain.traffic import WHOLE, RouteTable, split
from tidegate.rollout import desired_state
from tidegate.rollout.transitions import describe_holdback


class EndpointStatus(StrEnum):
    """While an update rolls back the status stays Updating: SageMaker's clients wait on no other pending status."""

    CREATING = "Creating"
    UPDATING = "Updating"
    ROLLING_BACK = "RollingBack"
    IN_SERVICE = "InService"
    UPDATE_ROLLBACK_FAILED = "UpdateRollbackFailed"
    DELETING = "Deleting"
    FAILED = "Failed"


@dataclass(frozen=True)
class VariantStatus:
    status: str
    message: str
    since: datetime


@dataclass(frozen=True)
class VariantView:
    """One variant of one version. Current weights are those last confirmed to be in force; None: none was confirmed
    since an update began. Current counts are observed; if unknown, the desired ones."""

    name: str
    spec: VariantSpec
    generation: int
    current_weight: float | None
    desired_weight: float
    current_count: int
    desired_count: int
    statuses: tuple[VariantStatus, ...]
    current_serverless: Serverless | None = None


@dataclass(frozen=True)
class Variants:
    """``current`` serves, or served before the rollout; ``pending`` is the new version, under its config's name."""

    current: tuple[VariantView, ...]
    pending: tuple[VariantView, ...] = ()
    pending_config: str | None = None
    pending_since: datetime | None = None
    shadows: tuple[VariantView, ...] = ()
    pending_shadows: tuple[VariantView, ...] = ()


def status(endpoint: Endpoint) -> tuple[EndpointStatus, str]:
    """Status and a short reason."""
    rollout = endpoint.rollout
    if endpoint.deleting:
        return EndpointStatus.DELETING, "traffic is off; fleets are drained and removed"
    if endpoint.failed:
        return EndpointStatus.FAILED, endpoint.failure_reason or "the creation failed"
    if rollout is not None and rollout.holds_back:
        return EndpointStatus.IN_SERVICE, _describe_rollout(rollout)
    if rollout is not None:
        return EndpointStatus.CREATING if rollout.old is None else EndpointStatus.UPDATING, _describe_rollout(
            rollout
        )
    if endpoint.scaling is not None:
        if endpoint.scaling.undoing:
            return (
                EndpointStatus.ROLLING_BACK,
                endpoint.failure_reason or "the previous weights and counts are being restored",
            )
        return EndpointStatus.UPDATING, "weights and counts are being changed"
    if endpoint.rollback_failed:
        return EndpointStatus.UPDATE_ROLLBACK_FAILED, endpoint.failure_reason or "a mix of two versions serves"
    if endpoint.serving is None:
        return EndpointStatus.FAILED, "no version was ever deployed"
    return EndpointStatus.IN_SERVICE, endpoint.failure_reason or f"{endpoint.serving.config_name} serves"


_PASSED = ("Promoted", "Approved")
"""Condition types that hold nothing."""


def _describe_rollout(rollout: Rollout) -> str:
    if rollout.phase is Phase.ROLLING_BACK:
        return f"rolling back: {rollout.reason}"
    if rollout.phase is Phase.TERMINATING:
        return f"{rollout.new.config_name} has passed; the fleet before it is being removed"
    stage = rollout.plan.stages[rollout.stage]
    where = f"stage {rollout.stage + 1} of {len(rollout.plan.stages)}, {stage.share / 100:g} % of the traffic"
    if rollout.holds_back:
        where = f"holdback: {describe_holdback(rollout)}"
    held = "".join(f"; {c.type}: {c.message}" for c in rollout.conditions if c.status and c.type not in _PASSED)
    return f"{where if rollout.holds_back else f'{rollout.phase}, {where}'}{held}"


def serving_version(endpoint: Endpoint) -> Version | None:
    """The version that serves. In a holdback that is the new one: it has passed, and nobody waits for it any more."""
    held = endpoint.rollout is not None and endpoint.rollout.holds_back
    return endpoint.rollout.new if held and endpoint.rollout else endpoint.serving


def variant_views(endpoint: Endpoint, seen: Observation | None) -> Variants:
    """Variants of the serving and of the pending version; shadow variants separately."""
    rollout, serving = endpoint.rollout, serving_version(endpoint)
    current: list[VariantView] = []
    if serving is not None:
        current = _views(endpoint, serving, seen, pending=False)
    if rollout is None or rollout.holds_back:
        return Variants(_select(current, shadow=False), shadows=_select(current, shadow=True))
    pending = _views(endpoint, rollout.new, seen, pending=True)
    return Variants(
        _select(current, shadow=False),
        _select(pending, shadow=False),
        rollout.new.config_name,
        rollout.started_at,
        _select(current, shadow=True),
        _select(pending, shadow=True),
    )


def _select(views: list[VariantView], *, shadow: bool) -> tuple[VariantView, ...]:
    return tuple(view for view in views if view.spec.shadow is shadow)


def _views(endpoint: Endpoint, version: Version, seen: Observation | None, *, pending: bool) -> list[VariantView]:
    fleets = (seen.fleets if seen else None) or {}
    table, asked_table = confirmed_table(endpoint, seen), desired_state.traffic(endpoint)
    specs = desired_state.fleets(endpoint)
    at_rest, views = endpoint.rollout is None and endpoint.mixed is None, []
    for variant in version.variants:
        id = FleetId(endpoint.name, version.generation, variant.name)
        asked = specs[id].count if id in specs else 0
        fleet = fleets.get(id)
        views.append(
            VariantView(
                name=variant.name,
                spec=variant,
                generation=version.generation,
                current_weight=_current_weight(table, id, version),
                desired_weight=variant.weight if at_rest or variant.shadow else _weight(asked_table, id, version),
                current_count=fleet.ready if fleet else (asked if seen is None or seen.fleets is None else 0),
                desired_count=variant.instance_count,
                statuses=tuple(_statuses(endpoint, variant, asked, fleet, pending)),
                current_serverless=fleet.serverless if fleet else variant.serverless,
            )
        )
    return views


def confirmed_table(endpoint: Endpoint, seen: Observation | None) -> RouteTable | None:
    """The table in force, as far as it is known: as last observed. What was requested is no evidence of it, except at
    rest: nothing was changed since the last change was observed."""
    if seen is not None and (found := seen.routes or seen.confirmed) is not None:
        return found
    changing = endpoint.rollout is not None or endpoint.scaling is not None
    return None if changing else desired_state.traffic(endpoint)


def _current_weight(table: RouteTable | None, id: FleetId, version: Version) -> float | None:
    variant = next(one for one in version.variants if one.name == id.variant)
    if variant.shadow:
        return variant.weight
    return None if table is None else _weight(table, id, version)


def _weight(table: RouteTable, id: FleetId, version: Version) -> float:
    """The variant's weight times its version's share. Computed from its own route while another table than the one
    for these weights is in force."""
    share = sum(route.share for route in table.routes if route.fleet == id)
    side = table.share_of(id.generation)
    weights = version.weights
    if split(side, weights)[id.variant] == share:
        return weights[id.variant] * side / WHOLE
    return round(sum(weights.values()) * share / WHOLE, 4)


def _statuses(
    endpoint: Endpoint, variant: VariantSpec, asked: int, fleet: FleetStatus | None, pending: bool
) -> list[VariantStatus]:
    rollout = endpoint.rollout
    if rollout is None:
        return _scaling_statuses(endpoint, variant, fleet)
    since = rollout.phase_since or rollout.started_at
    if not pending:
        leaving = rollout.phase is Phase.TERMINATING
        return (
            [VariantStatus("Deleting", f"Terminating {variant.instance_count} instance(s).", since)]
            if leaving
            else []
        )
    match rollout.phase:
        case Phase.PROVISIONING:
            word = "Creating" if rollout.stage == 0 else "Updating"
            return [VariantStatus(word, f"Launching {asked} instance(s).", since)]
        case Phase.ACTIVATING_TRAFFIC:
            if variant.shadow:
                return []
            return [
                VariantStatus(
                    "ActivatingTraffic", f"Activating traffic on {_describe_capacity(rollout, variant)}.", since
                )
            ]
        case Phase.BAKING if not variant.shadow:
            return [VariantStatus("Baking", _describe_bake(rollout, variant), since)]
        case Phase.ROLLING_BACK:
            return [VariantStatus("Deleting", f"Terminating {variant.instance_count} instance(s).", since)]
    return []


def _scaling_statuses(endpoint: Endpoint, variant: VariantSpec, fleet: FleetStatus | None) -> list[VariantStatus]:
    count = variant.instance_count
    if endpoint.scaling is None or (fleet is not None and fleet.ready == count == fleet.desired):
        return []
    direction = "in" if fleet is not None and fleet.ready > count else "out"
    message = f"Scaling {direction} desired instance count to {count}."
    return [VariantStatus("Updating", message, endpoint.scaling.since)]


def _describe_capacity(rollout: Rollout, variant: VariantSpec) -> str:
    """``canary capacity of 1 instance(s)``: instances that the share of this stage corresponds to."""
    share = rollout.plan.stages[rollout.stage].share
    if share == WHOLE:
        return f"full capacity of {variant.instance_count} instance(s)"
    active = min(variant.instance_count, max(1, (variant.instance_count * share + WHOLE // 2) // WHOLE))
    return f"canary capacity of {active} instance(s)"


def _describe_bake(rollout: Rollout, variant: VariantSpec) -> str:
    last = rollout.stage + 1 == len(rollout.plan.stages)
    name = "TerminationWaitInSeconds" if last else "WaitIntervalInSeconds"
    bake = rollout.plan.stages[rollout.stage].bake
    return f"Baking for {bake} seconds ({name}) with traffic enabled on {_describe_capacity(rollout, variant)}."
