"""Engine mode, decided: what the endpoint at AWS should be, what it is, and the one call that brings it nearer. Pure.

Each fleet is a production variant ``g<generation>-<variant>`` of the endpoint's config, and its share of the traffic
is the variant's weight. Another set of variants is another config (UpdateEndpoint); weights and counts are set by
UpdateEndpointWeightsAndCapacities. SageMaker takes one change at a time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import FleetStatus
from tidegate.domain.traffic import WHOLE, Route, RouteTable, split
from tidegate.ports.target import Look
from tidegate.targets.sagemaker import limits
from tidegate.targets.sagemaker.calls import Params
from tidegate.targets.sagemaker.outcome import UpdateOutcome, judge

_NAME = re.compile(r"g(\d+)-(.+)")
SERVING = ("InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed")
"""Statuses in which an endpoint answers requests."""
BEGIN = timedelta(minutes=3)
"""By then a change that was accepted must be seen."""


def variant_name(fleet: FleetId) -> str:
    """Return the name of a fleet's variant. Raises TargetRefused for one that is too long."""
    name = f"g{fleet.generation}-{fleet.variant}"
    if len(name) > limits.NAME:
        raise TargetRefused(f"variant {fleet.variant}: {name} is longer than {limits.NAME} characters; shorten it")
    return name


def fleet_of(endpoint: str, name: str) -> FleetId | None:
    """Return the fleet of a variant. None for a variant that tidegate did not name."""
    match = _NAME.fullmatch(name)
    return None if match is None else FleetId(endpoint, int(match[1]), match[2])


@dataclass(frozen=True)
class SeenVariant:
    """``params`` is its ProductionVariant in the config."""

    params: Params
    count: int
    desired_count: int
    weight: float
    desired_weight: float


@dataclass(frozen=True)
class ObservedEndpoint:
    description: Params
    variants: Mapping[str, SeenVariant]

    @property
    def status(self) -> str:
        return str(self.description["EndpointStatus"])

    @property
    def config(self) -> str:
        return str(self.description["EndpointConfigName"])

    @property
    def settled(self) -> bool:
        """Whether the endpoint is in service, with no change in progress."""
        return self.status == "InService" and "PendingDeploymentSummary" not in self.description

    @property
    def shares(self) -> dict[str, int]:
        """Basis points of the traffic that each variant has now."""
        return split(WHOLE, {name: one.weight for name, one in self.variants.items()})


@dataclass(frozen=True)
class RequestedConfig:
    """The last config that was asked for."""

    config: str
    at: datetime
    began: bool = False


@dataclass(frozen=True)
class DesiredVariant:
    spec: FleetSpec
    params: Params
    """Its ProductionVariant, without count and weight."""


@dataclass(frozen=True)
class DesiredEndpoint:
    """``removed``: fleets that must not be there any more, with the fence of that."""

    name: str
    fleets: Mapping[FleetId, DesiredVariant] = field(default_factory=dict)
    removed: Mapping[FleetId, int] = field(default_factory=dict)
    table: RouteTable | None = None
    asked: RequestedConfig | None = None
    failed: tuple[frozenset[str], str] | None = None
    """The names of the variants that could not be brought into service, and why."""


@dataclass(frozen=True)
class ConfigUpdate:
    """Run these variants: by CreateEndpoint or UpdateEndpoint with a config of them."""

    variants: tuple[Params, ...]
    create: bool


@dataclass(frozen=True)
class WeightUpdate:
    """UpdateEndpointWeightsAndCapacities."""

    changes: tuple[Params, ...]


@dataclass(frozen=True)
class EndpointDeletion:
    """DeleteEndpoint."""


Change = ConfigUpdate | WeightUpdate | EndpointDeletion


def note_outcome(
    wanted: DesiredEndpoint, seen: ObservedEndpoint | None, now: datetime
) -> tuple[RequestedConfig | None, str]:
    """Judge the last config that was requested. Returns the config while it is still waited for, and the reason if it
    failed, else an empty one."""
    asked = wanted.asked
    if asked is None:
        return None, ""
    moving = seen is not None and not seen.settled
    began = asked.began or moving or now - asked.at > BEGIN
    verdict = judge(None if seen is None else seen.description, asked.config, began)
    if verdict.outcome is UpdateOutcome.IN_PROGRESS or (verdict.outcome is UpdateOutcome.GONE and not began):
        return RequestedConfig(asked.config, asked.at, began), ""
    return None, "" if verdict.outcome is UpdateOutcome.SUCCEEDED else verdict.message


def decide(wanted: DesiredEndpoint, seen: ObservedEndpoint | None) -> Change | None:
    """The next call; None while there is nothing to do, or something is in progress. ``seen`` None: there is no
    endpoint."""
    names = _wanted_names(wanted, seen)
    if wanted.failed is not None and wanted.failed[0] == frozenset(names):
        return None
    if seen is None:
        created = tuple(_new(wanted, fleet) for fleet in names.values())
        return ConfigUpdate(created, create=True) if created else None
    if seen.status == "Failed":
        return EndpointDeletion()
    if not seen.settled or wanted.asked is not None:
        return None
    if not names:
        return EndpointDeletion() if wanted.removed else None
    if set(names) != set(seen.variants):
        return _bring(wanted, seen, names)
    changes = tuple(_adjustments(wanted, seen, names))
    return WeightUpdate(changes) if changes else None


def _wanted_names(wanted: DesiredEndpoint, seen: ObservedEndpoint | None) -> dict[str, FleetId]:
    """Variants that should run. What is there and was never spoken of stays: a controller that has just started
    does not know of everything yet."""
    there = {name: fleet_of(wanted.name, name) for name in (seen.variants if seen else ())}
    names = {name: id for name, id in there.items() if id is not None and id not in wanted.removed}
    for id, fleet in wanted.fleets.items():
        names.pop(variant_name(id), None)
        if fleet.spec.count:
            names[variant_name(id)] = id
    return names


def _shares(wanted: DesiredEndpoint) -> dict[str, int] | None:
    """Return the desired share of each variant. None: no traffic was asked for yet, or none at all, which SageMaker
    cannot do."""
    table = wanted.table
    if table is None or not table.routes:
        return None
    found: dict[str, int] = {}
    for route in table.routes:
        name = variant_name(route.fleet)
        found[name] = found.get(name, 0) + route.share
    return found


def _new(wanted: DesiredEndpoint, id: FleetId) -> Params:
    fleet = wanted.fleets[id]
    weight = float(fleet.spec.variant.weight)
    return {**fleet.params, "InitialInstanceCount": fleet.spec.count, "InitialVariantWeight": weight}


def _bring(wanted: DesiredEndpoint, seen: ObservedEndpoint, names: Mapping[str, FleetId]) -> ConfigUpdate | None:
    shares = _shares(wanted)
    made = []
    for name, id in names.items():
        there = seen.variants.get(name)
        fleet = wanted.fleets.get(id)
        if shares is not None:
            weight = float(shares.get(name, 0))
        else:
            weight = there.desired_weight if there is not None else 0.0
        params = fleet.params if there is None and fleet is not None else there.params if there is not None else {}
        count = fleet.spec.count if fleet is not None else there.desired_count if there is not None else 1
        made.append({**params, "InitialInstanceCount": count, "InitialVariantWeight": weight})
    if not any(one["InitialVariantWeight"] for one in made):
        return None  # what takes the traffic would go: wait until it was shifted
    return ConfigUpdate(tuple(made), create=False)


def _adjustments(wanted: DesiredEndpoint, seen: ObservedEndpoint, names: Mapping[str, FleetId]) -> list[Params]:
    shares = _shares(wanted)
    known = shares is not None and set(shares) <= set(names)
    present = split(WHOLE, {name: one.desired_weight for name, one in seen.variants.items()})
    shift = known and shares is not None and any(shares.get(name, 0) != present[name] for name in names)
    changes = []
    for name, id in names.items():
        change: Params = {}
        fleet = wanted.fleets.get(id)
        if fleet is not None and fleet.spec.count != seen.variants[name].desired_count:
            change["DesiredInstanceCount"] = fleet.spec.count
        if shift and shares is not None:
            change["DesiredWeight"] = float(shares.get(name, 0))
        if change:
            changes.append({"VariantName": name, **change})
    return changes


def show(wanted: DesiredEndpoint, seen: ObservedEndpoint | None) -> Look:
    """Return the state of the endpoint as the platform's engine observes it."""
    variants = seen.variants if seen is not None and seen.status in SERVING else {}
    fleets: dict[FleetId, FleetStatus] = {}
    for name, one in variants.items():
        id = fleet_of(wanted.name, name)
        if id is None:
            continue
        fleet = wanted.fleets.get(id)
        count = fleet.spec.count if fleet else one.desired_count
        fleets[id] = FleetStatus(id, count, one.count, max(0, count - one.count))
    failed, why = wanted.failed or (frozenset(), "")
    for id, fleet in wanted.fleets.items():
        if id not in fleets:
            failure = why if variant_name(id) in failed else None
            fleets[id] = FleetStatus(id, fleet.spec.count, 0, fleet.spec.count, failure=failure, was_ready=False)
    return Look(fleets, _routes(wanted, seen if variants else None))


def _routes(wanted: DesiredEndpoint, seen: ObservedEndpoint | None) -> RouteTable:
    table = wanted.table
    if seen is None:
        empty = RouteTable(wanted.name, 0)
        return table if table is not None and not table.routes else empty
    if table is not None and not table.routes:
        return table  # SageMaker has no endpoint without traffic: it takes requests until it is deleted
    shares = seen.shares
    if table is not None and seen.settled and _as_asked(table, shares):
        return table
    routes = [Route(id, shares[name]) for name in shares if (id := fleet_of(wanted.name, name)) and shares[name]]
    return RouteTable(wanted.name, 0, tuple(routes))


def _as_asked(table: RouteTable, shares: Mapping[str, int]) -> bool:
    asked: dict[str, int] = {}
    for route in table.routes:
        name = variant_name(route.fleet)
        asked[name] = asked.get(name, 0) + route.share
    return set(asked) <= set(shares) and all(asked.get(name, 0) == share for name, share in shares.items())
