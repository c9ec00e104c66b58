"""The agent of a gateway: a controller on another machine sets the servers and routes of its HAProxy. It decides
nothing.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tidegate.domain.errors import Conflict, TidegateError
from tidegate.domain.fleet import FleetId
from tidegate.ports.gateway_agent import (
    AgentState,
    DemandReport,
    EndpointPlan,
    EndpointView,
    FleetDemand,
    PassedTotals,
    RouterTotals,
)
from tidegate.ports.router import PassedRequests
from tidegate.proxy.haproxy import HAProxy
from tidegate.service.endpoint_plan import apply_plan

FORGOTTEN = 1.0
"""Seconds after the last call for a fleet from which on nobody waits any more: HAProxy calls many times a second."""


@dataclass
class WaitingRequests:
    clock: Callable[[], float] = time.monotonic
    _calls: dict[FleetId, tuple[float, float]] = field(default_factory=dict)
    """Since when (epoch seconds) the first of them waits, and when HAProxy called last."""
    _called: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, fleet: FleetId, since: float) -> None:
        known = self.now().get(fleet, since)
        self._calls[fleet] = min(known, since), self.clock()
        self._called.set()

    def now(self) -> dict[FleetId, float]:
        """Fleet -> since when a request waits for it."""
        now = self.clock()
        self._calls = {fleet: call for fleet, call in self._calls.items() if now - call[1] < FORGOTTEN}
        return {fleet: since for fleet, (since, _) in self._calls.items()}

    async def wait(self, seconds: float) -> None:
        """Wait until a request waits, for ``seconds`` at most."""
        self._called.clear()
        if seconds > 0 and not self.now():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._called.wait()


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
    _totals: dict[FleetId, RouterTotals] = field(default_factory=dict)
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def state(self) -> AgentState:
        return AgentState(self.boot, self.synced, self.controller, dict(self._digests))

    async def put(self, endpoint: str, plan: EndpointPlan) -> None:
        """Apply the plan of an endpoint. Raises Conflict for a plan that is older than the one in force, Transient,
        TargetRefused."""
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
        """Accept a controller by its number. Raises Conflict if a later controller has replaced it."""
        if controller < self.controller:
            raise Conflict(f"controller {controller} was replaced by {self.controller}")
        self.controller = controller

    async def _apply(self, endpoint: str, plan: EndpointPlan) -> None:
        await apply_plan(self.proxy, endpoint, plan, lambda fleet: self._totals.pop(fleet, None))

    async def view(self, endpoint: str) -> EndpointView:
        """Read an endpoint's routes in force and the state of its servers. Raises Transient."""
        found = await self.proxy.view(endpoint)
        alive = {str(fleet): dict(servers) for fleet, servers in found.alive.items()}
        return EndpointView(found.routes, alive)

    async def passed(self) -> PassedTotals:
        """Return all counts of requests so far. Counts that are read from the proxy are added up here, so that an
        answer that is lost on its way loses no count. Raises Transient."""
        for fleet, passed in (await self.proxy.passed()).items():
            self._totals[fleet] = add(self._totals.get(fleet, RouterTotals()), passed)
        return PassedTotals(self.boot, {str(fleet): total for fleet, total in self._totals.items()})

    def note_waiting(self, slot: str, since: float) -> None:
        """A request has waited in this slot since then (epoch seconds), since its fleet has no server."""
        if (fleet := self.proxy.fleet_in(slot)) is not None:
            self.waiting.note(fleet, since)

    async def demand(self, wait: float) -> DemandReport:
        """Report the demand of serverless fleets: at once if a request waits for a fleet without a server, else after
        ``wait`` seconds. Raises Transient."""
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


def add(total: RouterTotals, passed: PassedRequests) -> RouterTotals:
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
