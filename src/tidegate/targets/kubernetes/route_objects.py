"""Routes of endpoints behind a Gateway of the cluster: one HTTPRoute each, whose weights the cluster's own gateway
controller brings into force."""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tidegate.domain.errors import TargetRefused, TidegateError, Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import RouteTable
from tidegate.ports.gateway_agent import EndpointPlan
from tidegate.ports.router import Router
from tidegate.service.endpoint_plan import apply_plan
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.http_route import GATEWAY_API, find_problem, http_route, read_table
from tidegate.targets.kubernetes.names import (
    ENDPOINT,
    GATEWAY,
    Manifest,
    endpoint_name,
    fence_of,
    is_ours,
    selector,
)
from tidegate.targets.kubernetes.options import KubernetesOptions

KIND = "HTTPRoute"
AWAIT, LOOK = 5.0, 0.25
"""Seconds for which a change is waited for, and between two looks."""


@dataclass
class RouteObjects:
    """A change is in force once every Gateway that the route names has accepted it."""

    api: KubeApi
    options: KubernetesOptions

    async def put(self, table: RouteTable, live: Manifest | None) -> None:
        """``live``: the route that there is. Raises ForeignChange, Transient, TargetRefused."""
        if table.routes:
            if GATEWAY_API not in await self.api.groups():
                raise TargetRefused(
                    f"the cluster has no Gateway API ({GATEWAY_API}): install it with a gateway that implements it, "
                    "or leave out the option http_route of the target kubernetes"
                )
            await self.api.apply(http_route(table, self.options))
            await self._await_force(table.endpoint)
        elif live is not None:
            await self.api.delete(KIND, endpoint_name(table.endpoint))

    async def table(self, endpoint: str) -> RouteTable:
        """Read the routes in force, whoever set them. Raises Transient while a change is not in force."""
        live = await self.find(endpoint)
        if live is None:
            return RouteTable(endpoint, 0)
        if (problem := find_problem(live)) is not None:
            raise Transient(problem)
        return read_table(endpoint, live)

    async def named(self, endpoint: str) -> set[FleetId]:
        """Fleets that its route names, whether it is in force or not."""
        live = await self.find(endpoint)
        table = RouteTable(endpoint, 0) if live is None else read_table(endpoint, live)
        return {route.fleet for routes in (table.routes, *table.targets.values()) for route in routes}

    async def fences(self) -> dict[str, int]:
        """Read the fence of every endpoint that has a route of this installation."""
        if GATEWAY_API not in await self.api.groups():
            return {}
        found = await self.api.find(KIND, selector(self.options.installation, GATEWAY))
        return {one["metadata"]["labels"][ENDPOINT]: fence_of(one) for one in found}

    async def _await_force(self, endpoint: str) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + AWAIT
        while True:
            live = await self.find(endpoint)
            problem = "its HTTPRoute is gone" if live is None else find_problem(live)
            if problem is None:
                return
            if clock() >= deadline:
                raise Transient(f"routes of {endpoint} are not in force: {problem}")
            await asyncio.sleep(LOOK)

    async def find(self, endpoint: str) -> Manifest | None:
        live = await self.api.get(KIND, endpoint_name(endpoint))
        if live is not None and not is_ours(live, self.options.installation):
            raise TargetRefused(
                f"HTTPRoute {endpoint_name(endpoint)} in namespace {self.api.namespace} is not this tidegate's: it "
                "is left alone; delete it, or choose another installation or namespace"
            )
        return live


# Routes of asynchronous endpoints: in the controller's own proxy, through which its dispatcher sends requests.


log = logging.getLogger(__name__)


@dataclass
class QueueRoutes:
    """``plan`` makes what the proxy is to have of an endpoint."""

    proxy: Router
    plan: Callable[[str], EndpointPlan]
    applied: dict[str, EndpointPlan] = field(default_factory=dict)
    """Endpoint -> the plan that the proxy has."""
    _trouble: str = ""

    async def push(self, endpoint: str) -> None:
        """Apply the plan of an endpoint to the proxy. Raises Transient, TargetRefused."""
        plan = self.plan(endpoint)
        self.applied.pop(endpoint, None)
        await apply_plan(self.proxy, endpoint, plan)
        if plan.fleets or plan.table.routes:
            self.applied[endpoint] = plan

    async def sync(self, endpoints: Collection[str]) -> None:
        """Bring the proxy up to date. What fails is tried again the next time."""
        for endpoint in sorted({*endpoints, *self.applied}):
            known = self.applied.get(endpoint)
            try:
                if known is None or known.digest != self.plan(endpoint).digest:
                    await self.push(endpoint)
            except TidegateError as error:
                if self._trouble != str(error):
                    log.warning("routes of %s: %s", endpoint, error)
                self._trouble = str(error)
                return
        self._trouble = ""

    async def table(self, endpoint: str) -> RouteTable:
        """Read the routes in force. Raises Transient."""
        return (await self.proxy.view(endpoint)).routes

    def given(self, fleet: FleetId) -> frozenset[str]:
        """Replicas that get requests."""
        plan = self.applied.get(fleet.endpoint)
        parts = plan.fleets if plan is not None else ()
        return frozenset(name for one in parts if one.fleet == fleet for name in one.servers)
