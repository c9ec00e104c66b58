"""The agent of a gateway: a controller on another machine sets the servers and routes of its HAProxy. It decides
nothing.
"""

import asyncio
import contextlib
import logging
import secrets
from collections import defaultdict
from dataclasses import dataclass, field, replace

from tidegate.domain.errors import Conflict, TidegateError
from tidegate.domain.fleet import FleetId
from tidegate.ports.gateway_agent import (
    AgentState,
    DemandReport,
    EndpointPlan,
    EndpointView,
    FleetDemand,
    FleetTotals,
    PassedTotals,
)
from tidegate.ports.router import Passed
from tidegate.proxy.haproxy import HAProxy
from tidegate.proxy.waiting_requests import WaitingRequests
from tidegate.service.endpoint_plan import apply_plan

log = logging.getLogger(__name__)


@dataclass
class GatewayAgent:
    proxy: HAProxy
    boot: str = field(default_factory=lambda: secrets.token_hex(8))
    synced: bool = False
    controller: int = 0
    plans: dict[str, EndpointPlan] = field(default_factory=dict)
    """Endpoint -> the plan that was put last. It may not be in force yet: then it has no digest."""
    waiting: WaitingRequests = field(default_factory=WaitingRequests)
    _digests: dict[str, str] = field(default_factory=dict)
    _totals: dict[FleetId, FleetTotals] = field(default_factory=dict)
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def state(self) -> AgentState:
        return AgentState(self.boot, self.synced, self.controller, dict(self._digests))

    async def put(self, endpoint: str, plan: EndpointPlan) -> None:
        """Raises Conflict for a plan that is older than the one in force, Transient, TargetRefused."""
        self.take_controller(plan.controller)
        async with self._locks[endpoint]:
            old = self.plans.get(endpoint)
            if old is not None and plan.table.routes and plan.table.fence < old.table.fence:
                raise Conflict(f"routes of {endpoint}: fence {plan.table.fence} is below {old.table.fence}")
            self.plans[endpoint] = plan
            self._digests.pop(endpoint, None)
            await self._apply(endpoint, plan)
            if plan.fleets or plan.table.routes:
                self._digests[endpoint] = plan.digest
            else:
                del self.plans[endpoint]

    def take_controller(self, controller: int) -> None:
        """Raises Conflict for one that a later one has replaced."""
        if controller < self.controller:
            raise Conflict(f"controller {controller} was replaced by {self.controller}")
        self.controller = controller

    async def _apply(self, endpoint: str, plan: EndpointPlan) -> None:
        await apply_plan(self.proxy, endpoint, plan, lambda fleet: self._totals.pop(fleet, None))

    async def view(self, endpoint: str) -> EndpointView:
        """Raises Transient."""
        found = await self.proxy.view(endpoint)
        alive = {str(fleet): dict(servers) for fleet, servers in found.alive.items()}
        return EndpointView(found.routes, alive)

    async def passed(self) -> PassedTotals:
        """Raises Transient. What is read from the proxy is added here: an answer that is lost on its way loses no
        count."""
        for fleet, passed in (await self.proxy.passed()).items():
            self._totals[fleet] = add(self._totals.get(fleet, FleetTotals()), passed)
        return PassedTotals(self.boot, {str(fleet): total for fleet, total in self._totals.items()})

    def note_waiting(self, slot: str, since: float) -> None:
        """A request has waited in this slot since then (epoch seconds), since its fleet has no server."""
        if (fleet := self.proxy.fleet_in(slot)) is not None:
            self.waiting.note(fleet, since)

    async def demand(self, wait: float) -> DemandReport:
        """At once if a request waits for a fleet without a server, else after so many seconds. Raises Transient."""
        await self.waiting.wait(wait)
        waits = self.waiting.now()
        found = {
            str(fleet): FleetDemand(demand.now, demand.ever, waits.get(fleet))
            for fleet, demand in (await self.proxy.demands()).items()
        }
        return DemandReport(self.boot, found)

    async def ready(self) -> bool:
        return self.synced and await self.proxy.up()

    async def keep_proxy(self, seconds: float) -> None:
        """Restart the proxy when it dies, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.proxy.ensure()
            except TidegateError as error:
                log.error("%s", error)
            with contextlib.suppress(TidegateError):
                await self._retry()

    async def _retry(self) -> None:
        """Complete what failed on the way."""
        for endpoint in self.plans.keys() - self._digests.keys():
            async with self._locks[endpoint]:
                plan = self.plans.get(endpoint)
                if plan is not None and endpoint not in self._digests:
                    await self._apply(endpoint, plan)
                    self._digests[endpoint] = plan.digest


def add(total: FleetTotals, passed: Passed) -> FleetTotals:
    return replace(
        total,
        unanswered=total.unanswered + passed.unanswered,
        refused=total.refused + passed.refused,
        throttled=total.throttled + passed.throttled,
        unavailable=total.unavailable + passed.unavailable,
        in_flight=passed.in_flight,
        queued=passed.queued,
        queue_time=passed.queue_time,
        down=tuple(sorted(passed.down)),
        unserved=passed.unserved,
    )
