"""A fake: a gateway's agent in memory. The real one is tested in ``tests/integration/test_gateway_agent.py``."""

import asyncio
from dataclasses import dataclass, field

from tidegate.domain.errors import Conflict, TargetRefused, Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import RouteTable
from tidegate.ports.gateway_agent import (
    AgentState,
    DemandReport,
    EndpointPlan,
    EndpointView,
    FleetDemand,
    PassedTotals,
    RouterTotals,
)

TURN = 0.05


@dataclass
class MemoryAgent:
    boot: str = "boot-1"
    synced: bool = False
    controller: int = 0
    away: bool = False
    plans: dict[str, EndpointPlan] = field(default_factory=dict)
    totals: dict[str, RouterTotals] = field(default_factory=dict)
    demands: dict[str, FleetDemand] = field(default_factory=dict)
    history: list[EndpointPlan] = field(default_factory=list)
    closed: bool = False
    refuses: str = ""
    """An endpoint whose plans it cannot have."""
    known: str = ""
    """The token that it was started with; empty: it takes any."""
    token: str = ""
    """What the controller's client has."""
    former: tuple[str, ...] = ()

    def _answer(self) -> AgentState:
        if self.away:
            raise Transient("gateway does not answer")
        if self.known and self.known not in (self.token, *self.former):
            raise Transient("the token is not that of this gateway")
        digests = {endpoint: plan.digest for endpoint, plan in self.plans.items()}
        return AgentState(self.boot, self.synced, self.controller, digests)

    async def state(self) -> AgentState:
        return self._answer()

    async def view(self, endpoint: str) -> EndpointView:
        self._answer()
        plan = self.plans.get(endpoint)
        return EndpointView(plan.table if plan else RouteTable(endpoint, 0), {})

    async def plan(self, endpoint: str) -> EndpointPlan:
        self._answer()
        return self.plans[endpoint]

    async def put(self, endpoint: str, plan: EndpointPlan) -> AgentState:
        self._answer()
        if plan.controller < self.controller:
            raise Conflict("an earlier controller")
        if endpoint == self.refuses:
            raise TargetRefused("serverless endpoints need a HAProxy with Lua")
        self.controller = plan.controller
        self.history.append(plan)
        if plan.fleets or plan.table.routes:
            self.plans[endpoint] = plan
        else:
            self.plans.pop(endpoint, None)
        return self._answer()

    async def mark_synced(self, controller: int) -> AgentState:
        self.synced = True
        return self._answer()

    async def passed(self) -> PassedTotals:
        self._answer()
        return PassedTotals(self.boot, dict(self.totals))

    async def demand(self, wait: float = 0.0) -> DemandReport:
        self._answer()
        for _ in range(round(wait / TURN)):
            if any(one.waits_since is not None for one in self.demands.values()):
                break
            await asyncio.sleep(TURN)
        return DemandReport(self.boot, dict(self.demands))

    def close(self) -> None:
        self.closed = True

    def servers(self, fleet: FleetId) -> set[str]:
        plan = self.plans.get(fleet.endpoint)
        return {name for one in (plan.fleets if plan else ()) if one.fleet == fleet for name in one.servers}
