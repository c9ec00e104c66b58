"""Plan the desired state of an endpoint on every gateway. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tidegate.domain.fleet import FleetId, FleetSpec, RoutingStrategy
from tidegate.domain.traffic import RouteTable
from tidegate.ports.gateway_agent import EndpointPlan, FleetPlan
from tidegate.ports.router import TcpAddress
from tidegate.targets.kubernetes.cluster_view import FleetView
from tidegate.targets.on_demand import shares


def servers(view: FleetView, had: Iterable[str], foreign: Iterable[str]) -> dict[str, str]:
    """Pods that get requests: those that are ready, and those that were and are still there. Whether one of these
    answers is for the gateways to find out, which ask it twice a second: the cluster calls pods of a node that it
    cannot reach unready, though they may serve. ``foreign``: pods that run something else than asked for."""
    kept, not_ours = set(had), set(foreign)
    return {
        name: str(TcpAddress(pod.address, pod.ports[0]))
        for name, (pod, _) in sorted(view.pods.items())
        if pod.address
        and not pod.leaving
        and not pod.ended
        and (pod.ready or name in kept)
        and name not in not_ours
    }


def fleet_plan(spec: FleetSpec, addresses: Mapping[str, str]) -> FleetPlan:
    variant = spec.variant
    limits = {}
    if variant.serverless is not None:
        limits = dict(zip(addresses, shares(variant.serverless, len(addresses)), strict=True))
    elif variant.effective_routing is not RoutingStrategy.QUEUED:
        limits = dict.fromkeys(addresses, variant.admission.max_in_flight)
    return FleetPlan(spec.id, variant.effective_routing, dict(addresses), limits, variant.admission)


def kept_plan(fleet: FleetId, before: FleetPlan | None, addresses: Mapping[str, str]) -> FleetPlan:
    """Return the plan of a fleet whose specification is lost: as an earlier controller set it, with the present
    servers. The fleet gets requests until its specification is restored."""
    if before is None:
        return FleetPlan(fleet, RoutingStrategy.RANDOM, dict(addresses))
    limit = max(before.limits.values(), default=None)
    limits = {name: before.limits.get(name, limit) for name in addresses} if limit is not None else {}
    return replace(before, servers=dict(addresses), limits=limits)


def endpoint_plan(
    controller: int,
    table: RouteTable,
    specs: Mapping[FleetId, FleetSpec],
    addresses: Mapping[FleetId, Mapping[str, str]],
    kept: Iterable[FleetPlan] = (),
) -> EndpointPlan:
    """``specs``: of the fleets that are not being deleted, or that the table still names; ``kept``: of those whose
    specification is lost."""
    plans = [*(fleet_plan(specs[fleet], addresses.get(fleet, {})) for fleet in specs), *kept]
    return EndpointPlan(controller, table, tuple(sorted(plans, key=lambda one: one.fleet)))


def named_fleets(table: RouteTable) -> set[FleetId]:
    return {route.fleet for routes in (table.routes, *table.targets.values()) for route in routes}
