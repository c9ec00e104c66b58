"""Routes of asynchronous endpoints: in the controller's own proxy, through which its dispatcher sends requests."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tidegate.domain.errors import TidegateError
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import RouteTable
from tidegate.ports.gateway_agent import EndpointPlan
from tidegate.ports.router import Router
from tidegate.service.endpoint_plan import apply_plan

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
