"""Keeps all gateways equal: each has the servers and routes of every endpoint before it takes traffic. Adds up what
they count.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tidegate.domain.errors import TargetError, TargetRefused, TidegateError, Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import RouteTable
from tidegate.ports.gateway_agent import (
    AgentState,
    DemandReport,
    EndpointPlan,
    EndpointView,
    PassedTotals,
    RouterTotals,
)
from tidegate.ports.router import PassedRequests
from tidegate.targets.kubernetes.agent_client import AgentClient
from tidegate.targets.kubernetes.cluster_view import GatewayPod

# --- add up the demand of the serverless fleets over all gateways ---


@dataclass(frozen=True)
class TotalDemand:
    """``now``: requests that are being served or wait. ``ever``: all so far, of each process of a gateway.
    ``waits_since``: epoch seconds since when one waits because the fleet has no server; None: none does."""

    now: int = 0
    ever: Mapping[str, int] = field(default_factory=dict)
    waits_since: float | None = None

    def has_more(self, before: "TotalDemand") -> bool:
        """Whether a further request came since then. A gateway that was replaced or reloaded proves none."""
        return any(count > before.ever.get(process, count) for process, count in self.ever.items())


@dataclass(frozen=True)
class FleetDemands:
    """``whole``: every gateway that takes traffic has told. If not, there may be more requests than these."""

    fleets: Mapping[FleetId, TotalDemand] = field(default_factory=dict)
    whole: bool = False

    def of(self, fleet: FleetId) -> TotalDemand:
        return self.fleets.get(fleet, TotalDemand())


def add_up(reports: Mapping[str, DemandReport], whole: bool) -> FleetDemands:
    """``reports``: by gateway."""
    found: dict[FleetId, TotalDemand] = {}
    for gateway, report in sorted(reports.items()):
        for name, one in report.fleets.items():
            fleet = FleetId.parse(name)
            before = found.get(fleet, TotalDemand())
            waits = [since for since in (before.waits_since, one.waits_since) if since is not None]
            ever = {**before.ever, f"{gateway} {report.boot}": one.ever}
            found[fleet] = TotalDemand(before.now + one.now, ever, min(waits, default=None))
    return FleetDemands(found, whole)


COUNTED = ("unanswered", "refused", "throttled", "unavailable")


@dataclass
class PassedCounts:
    _last: dict[str, PassedTotals] = field(default_factory=dict)
    """By gateway; those of gateways that are gone are dropped."""

    def since_last(self, totals: Mapping[str, PassedTotals]) -> dict[FleetId, PassedRequests]:
        """``totals``: of every gateway that answered. An agent that was started anew counts from 0 on. What a first
        meeting shows may be of an earlier controller's time, and is left out."""
        counts: dict[str, Counter[str]] = {}
        now: dict[str, list[RouterTotals]] = {}
        for gateway, total in totals.items():
            before = self._last.get(gateway)
            for fleet, one in total.fleets.items():
                now.setdefault(fleet, []).append(one)
                counter = counts.setdefault(fleet, Counter())
                if before is None:
                    continue
                old = before.fleets.get(fleet, RouterTotals()) if before.boot == total.boot else RouterTotals()
                for name in COUNTED:
                    counter[name] += max(0, getattr(one, name) - getattr(old, name))
        self._last = dict(totals)
        return {FleetId.parse(fleet): _passed(counts[fleet], parts) for fleet, parts in now.items()}

    def down(self, fleet: FleetId) -> frozenset[str]:
        """Replicas that a gateway considers dead, as of the last call."""
        parts = [one for total in self._last.values() if (one := total.fleets.get(str(fleet))) is not None]
        return frozenset(name for one in parts for name in one.down)


def _passed(counts: Mapping[str, int], parts: list[RouterTotals]) -> PassedRequests:
    waits = [one.queue_time for one in parts if one.queued]
    return PassedRequests(
        unanswered=counts["unanswered"],
        refused=counts["refused"],
        throttled=counts["throttled"],
        unavailable=counts["unavailable"],
        in_flight=sum(one.in_flight for one in parts),
        queued=sum(one.queued for one in parts),
        queue_time=0.0
        if not waits
        else None
        if None in waits
        else max(wait for wait in waits if wait is not None),
        unserved=any(one.unserved for one in parts),
        down=frozenset(name for one in parts for name in one.down),
    )


log = logging.getLogger(__name__)

SETTLE = 10.0
"""Seconds for which a controller that starts, and finds no gateway with routes, waits before it lets one take
traffic: its engine sets the routes meanwhile."""
PROPAGATION = 2.0
"""Seconds until every node forwards to the first pod of a Service that is ready: kube-proxy looks once a second. No
object shows that it has; until then connections to the Service are refused."""


@dataclass
class GatewayHandle:
    """One gateway as this controller knows it."""

    pod: GatewayPod
    client: AgentClient
    state: AgentState | None = None
    plans: dict[str, EndpointPlan] = field(default_factory=dict)
    """Endpoint -> the plan that it has in force."""
    adopted: str = ""
    """Boot of the agent whose plans were taken over."""
    trouble: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def counts(self) -> bool:
        """Whether it takes traffic, or may do so from one moment to the next."""
        return not self.pod.leaving and (self.pod.ready or (self.state is not None and self.state.synced))


@dataclass
class Gateways:
    """``plan`` makes what gateways are to have of an endpoint, from ``tables`` and what runs. ``controller`` is
    higher than that of every earlier controller: the fence of its lease on the database."""

    controller: int
    token: Callable[[], str]
    plan: Callable[[str], EndpointPlan]
    endpoints: Callable[[], Collection[str]]
    """Those that have fleets."""
    adopted: Callable[[EndpointPlan], None]
    """Called with what an earlier controller left in a gateway."""
    connect: Callable[[GatewayPod, str], AgentClient] = lambda pod, token: AgentClient(
        pod.name, pod.address, token
    )
    tables: dict[str, RouteTable] = field(default_factory=dict)
    """Endpoint -> the routes that were asked for last."""
    known: dict[str, GatewayHandle] = field(default_factory=dict)
    """By uid of the pod."""
    counts: PassedCounts = field(default_factory=PassedCounts)
    _started: float | None = None
    _settled: bool = False
    _first_ready: float | None = None
    """When the first gateway was ready; long ago, if an earlier controller let one take traffic."""

    @property
    def reachable(self) -> bool:
        """Whether clients reach a gateway by the Service. Once it was so, a gateway that is not ready for a while
        changes nothing: the cluster calls pods of a node that it cannot reach unready, though they may serve."""
        if self._first_ready is None:
            return False
        return asyncio.get_running_loop().time() - self._first_ready >= PROPAGATION

    @property
    def settled(self) -> bool:
        """Whether what an earlier controller left in the gateways is known, as far as there was something."""
        return self._settled

    # --- what is there ---

    def take(self, pods: Iterable[GatewayPod]) -> None:
        """The pods that there are now."""
        there = {pod.uid: pod for pod in pods}
        for uid in self.known.keys() - there.keys():
            self.known.pop(uid).client.close()
        for uid, pod in there.items():
            if uid in self.known:
                self.known[uid].pod = pod
            else:
                self.known[uid] = GatewayHandle(pod, self.connect(pod, self.token()))
        if self._first_ready is None and any(pod.ready and not pod.leaving for pod in there.values()):
            self._first_ready = asyncio.get_running_loop().time()

    def trouble(self) -> str | None:
        """Which gateways that take traffic cannot be reached, and why."""
        found = [one.trouble for one in self.serving() if one.trouble]
        return "; ".join(dict.fromkeys(found)) or None

    def use_token(self, token: str) -> None:
        """Use another token from now on, and the former ones where a gateway does not have it yet."""
        for gateway in self.known.values():
            client = gateway.client
            former = (client.token, *client.former) if client.token != token else client.former
            client.token, client.former = token, former

    def serving(self) -> list[GatewayHandle]:
        return [gateway for gateway in self.known.values() if gateway.counts]

    async def sync(self) -> None:
        """Bring every gateway up to date. What fails is tried again the next time."""
        gateways = list(self.known.values())
        await asyncio.gather(*(self._look(gateway) for gateway in gateways))
        self._settle(gateways)
        await asyncio.gather(*(self._update(gateway) for gateway in gateways))

    def _settle(self, gateways: Iterable[GatewayHandle]) -> None:
        now = asyncio.get_running_loop().time()
        self._started = now if self._started is None else self._started
        found = any(gateway.state is not None and gateway.state.synced for gateway in gateways)
        self._settled |= found or now - self._started >= SETTLE

    async def _look(self, gateway: GatewayHandle) -> None:
        """Ask for its state; from an agent that was not met before, take over what an earlier controller set."""
        try:
            state = await gateway.client.state()
            if state.boot != gateway.adopted:
                gateway.plans.clear()
                await self._adopt(gateway, state)
                gateway.adopted = state.boot
                if state.synced:
                    self._first_ready = -math.inf
            gateway.state = state
            self._note(gateway, "")
        except TidegateError as error:
            gateway.state = None if not gateway.pod.ready else gateway.state
            self._note(gateway, str(error))

    async def _adopt(self, gateway: GatewayHandle, state: AgentState) -> None:
        for endpoint in state.digests:
            plan = await gateway.client.plan(endpoint)
            gateway.plans[endpoint] = plan
            known = self.tables.get(endpoint)
            if plan.table.routes and (known is None or known.fence < plan.table.fence):
                self.tables[endpoint] = plan.table
            self.adopted(plan)

    async def _update(self, gateway: GatewayHandle) -> None:
        if gateway.state is None:
            return
        wanted, refused = {*self.tables, *self.endpoints()}, ""
        try:
            for endpoint in sorted(wanted | gateway.plans.keys()):
                try:
                    await self._put(gateway, endpoint)
                except TargetRefused as error:  # of this endpoint alone
                    refused = str(error)
            if refused:
                self._note(gateway, refused)
            elif not gateway.state.synced and self._settled and not gateway.pod.leaving:
                gateway.state = await gateway.client.mark_synced(self.controller)
                log.info("gateway %s has everything and may take traffic", gateway.pod.name)
        except TidegateError as error:
            self._note(gateway, str(error))

    async def _put(self, gateway: GatewayHandle, endpoint: str) -> None:
        """The plan is made under the lock: the last one that is put is the newest."""
        async with gateway.lock:
            plan = self.plan(endpoint)
            there = gateway.plans.get(endpoint)
            digests = gateway.state.digests if gateway.state is not None else {}
            if there is not None and there.digest == plan.digest == digests.get(endpoint):
                return
            if there is None and not plan.fleets and not plan.table.routes:
                return
            gateway.state = await gateway.client.put(endpoint, plan)
            if plan.fleets or plan.table.routes:
                gateway.plans[endpoint] = plan
            else:
                gateway.plans.pop(endpoint, None)

    def _note(self, gateway: GatewayHandle, trouble: str) -> None:
        if trouble and trouble != gateway.trouble:
            log.warning("%s", trouble)
        gateway.trouble = trouble

    # --- what is asked of all of them ---

    async def push(self, endpoint: str) -> None:
        """Give an endpoint's plan to all gateways at once. Raises Transient unless each that takes traffic has it.

        One whose plans were not taken over yet gets none: its routes may be newer than those that are known here."""
        gateways = [gateway for gateway in self.known.values() if gateway.adopted]
        if not self.serving() or not self.reachable:
            raise Transient("no gateway takes traffic; kubectl get pods -l app.kubernetes.io/component=gateway")
        results = await asyncio.gather(*(self._put(one, endpoint) for one in gateways), return_exceptions=True)
        for gateway, result in zip(gateways, results, strict=True):
            if isinstance(result, BaseException):
                if not isinstance(result, TidegateError):
                    raise result
                if gateway.counts:
                    raise result if isinstance(result, TargetError) else Transient(str(result))
                self._note(gateway, str(result))
        if untold := [gateway for gateway in self.serving() if not gateway.adopted]:
            raise Transient(f"gateway {untold[0].pod.name} has not told yet what an earlier controller set")

    async def views(self, endpoint: str) -> list[EndpointView]:
        """Read the view of an endpoint from every gateway that takes traffic. Raises Transient if one does not
        answer."""
        return list(await asyncio.gather(*(gateway.client.view(endpoint) for gateway in self.serving())))

    def table_in_force(self, endpoint: str, views: Iterable[EndpointView]) -> RouteTable | None:
        """The table that every gateway has; if they differ, the oldest: the newer one is not in force yet. None where
        there is no gateway."""
        tables = [view.table for view in views]
        if not tables:
            return None
        return min(tables, key=lambda table: table.fence)

    def given(self, fleet: FleetId) -> frozenset[str] | None:
        """Replicas that every gateway that takes traffic has, and considers alive. None where there is no gateway."""
        gateways = self.serving()
        if not gateways:
            return None
        found = [
            {
                name
                for plan in (one.plans.get(fleet.endpoint),)
                if plan
                for part in plan.fleets
                if part.fleet == fleet
                for name in part.servers
            }
            for one in gateways
        ]
        return frozenset(set.intersection(*found)) - self.counts.down(fleet)

    def have(self, fleet: FleetId) -> bool:
        """Whether every gateway that takes traffic knows the fleet, with or without replicas; False without one."""
        gateways = self.serving()
        plans = [one.plans.get(fleet.endpoint) for one in gateways]
        return bool(plans) and all(plan and any(part.fleet == fleet for part in plan.fleets) for plan in plans)

    def _list_silent(self) -> list[GatewayHandle]:
        """Return the gateways that may take traffic and have reported nothing to this controller yet: what they hold
        is unknown."""
        return [gateway for gateway in self.serving() if gateway.state is None]

    async def demand(self) -> FleetDemands:
        """Add up the demand of the serverless fleets over all gateways."""
        gateways = [gateway for gateway in self.known.values() if gateway.state is not None]
        answers = await asyncio.gather(*(one.client.demand() for one in gateways), return_exceptions=True)
        reports, whole = {}, bool(self.serving()) and not self._list_silent()
        for gateway, answer in zip(gateways, answers, strict=True):
            if isinstance(answer, DemandReport):
                reports[gateway.pod.uid] = answer
            elif isinstance(answer, TidegateError):
                whole &= not gateway.counts
            else:
                raise answer
        return add_up(reports, whole)

    async def passed(self) -> Mapping[FleetId, PassedRequests]:
        """Return the requests that went through all gateways since the last call. Raises Transient if a gateway that
        takes traffic does not answer, or has not reported its state yet. Nothing is lost then, since each continues
        to count."""
        gateways = [gateway for gateway in self.known.values() if gateway.state is not None]
        answers = await asyncio.gather(*(one.client.passed() for one in gateways), return_exceptions=True)
        totals: dict[str, PassedTotals] = {}
        for gateway, answer in zip(gateways, answers, strict=True):
            if isinstance(answer, PassedTotals):
                totals[gateway.pod.uid] = answer
            elif gateway.counts or not isinstance(answer, TidegateError):
                raise answer
        if untold := self._list_silent():
            raise Transient(f"gateway {untold[0].pod.name} has not told yet what it holds")
        return self.counts.since_last(totals)
