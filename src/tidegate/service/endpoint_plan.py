"""Brings a router to the plan of an endpoint: the gateways of a cluster, and the proxy of a controller."""

from collections.abc import Callable

from tidegate.domain.fleet import FleetId
from tidegate.ports.gateway_agent import EndpointPlan
from tidegate.ports.router import Router, TcpAddress


async def apply_plan(
    router: Router, endpoint: str, plan: EndpointPlan, dropped: Callable[[FleetId], object] | None = None
) -> None:
    """Servers first: routes may name only fleets that the router has. Fleets go last, once no route names them;
    ``dropped`` is called after each. Raises Transient, TargetRefused."""
    for one in plan.fleets:
        servers = {name: TcpAddress.parse(text) for name, text in one.servers.items()}
        await router.set_fleet(one.fleet, one.routing, servers, one.limits, one.admission)
    await router.set_routes(plan.table)
    kept = {one.fleet for one in plan.fleets}
    for fleet in (await router.view(endpoint)).alive.keys() - kept:
        await router.drop_fleet(fleet)
        if dropped is not None:
            dropped(fleet)
