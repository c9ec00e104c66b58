"""The edges of one controller process: what its loops call, on the simulated machine and database.

Every call takes a little time, so that tasks interleave and a process can die while it waits. A dead process reaches
nothing any more.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from tests.loops.clock import EPOCH
from tests.loops.faults import PageDamage
from tests.loops.ground_truth import GroundTruth
from tests.loops.machine import Machine
from tests.loops.workers import SimulatedWorker
from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.domain.traffic import RouteTable
from tidegate.ports.router import PassedRequests, ServerAddress
from tidegate.ports.target import Look
from tidegate.targets.collection.sources import ServingReplica

DELAYS = (0.0, 0.0, 0.0, 0.001, 0.03)


@dataclass
class TargetTrouble:
    """The target's current faults, by the loop's time."""

    blind_until: Mapping[str, float]
    """Until when fleets, or routes, cannot be observed."""
    fails_until: float = 0.0
    lands: bool = False


@dataclass
class TargetEdge:
    """Ports.target.Target, and ``targets.collection.sources.WorkerFleets``."""

    machine: Machine
    trouble: TargetTrouble
    truth: GroundTruth
    chance: Random
    incarnation: int
    adopted_at: float
    """Until then fleets are being adopted and are not observed."""
    name: str = "simulated"
    can: Capabilities = field(default_factory=Capabilities)
    dead: bool = False
    _counted: dict[FleetId, PassedRequests] = field(default_factory=dict)
    _passed: Mapping[FleetId, PassedRequests] = field(default_factory=dict)
    _workers: dict[str, SimulatedWorker] = field(default_factory=dict)
    _answers: Mapping[FleetId, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._counted = {id: self.machine.passed(id) for id in self.machine.fleets}

    async def _wait(self) -> None:
        await asyncio.sleep(DELAYS[int(self.chance.random() * len(DELAYS))])

    @property
    def now(self) -> float:
        return self.machine.loop.now

    # Ports.target.Target

    async def observe(self, endpoint: str) -> Look:
        await self._wait()
        self.machine.advance()
        seen = max(self.adopted_at, self.trouble.blind_until["fleets"]) <= self.now
        routed = self.machine.proxy_up and self.trouble.blind_until["routes"] <= self.now
        fleets = {id: self._seen(id) for id in self.machine.fleets if id.endpoint == endpoint} if seen else None
        return Look(fleets, self.machine.routes(endpoint) if routed else None)

    async def observe_all(self, endpoints: Collection[str]) -> Mapping[str, Look]:
        return {endpoint: await self.observe(endpoint) for endpoint in endpoints}

    def _seen(self, id: FleetId) -> FleetStatus:
        seen = self.machine.fleets[id].seen()
        return self._loaded(seen, seen.ready - self.machine.down(id))

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        await self._act(lambda: self.machine.ensure_fleet(fleet, fence))

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        await self._act(lambda: self.machine.delete_fleet(fleet, fence))

    async def set_traffic(self, table: RouteTable) -> None:
        await self._wait()
        if not self.machine.proxy_up:
            raise Transient("the proxy does not run; it is being started")
        await self._act(lambda: self.machine.set_traffic(table))

    async def _act(self, act: Callable[[], None]) -> None:
        await self._wait()
        if self.dead:
            return
        failing = self.now < self.trouble.fails_until
        if not failing or self.trouble.lands:
            act()
        if failing:
            raise Transient("the target does not answer; ask again")

    # What the collector asks

    def serving(self) -> Iterator[ServingReplica]:
        for id, workers in list(self.machine.workers.items()):
            fleet = self.machine.fleets.get(id)
            for worker in workers.values() if fleet is not None else ():
                if fleet is not None and worker.number in fleet.replicas:
                    self._workers[worker.id] = worker
                    yield ServingReplica(fleet.spec, worker.id, 0, Path(worker.id))

    def provisioned(self) -> list[FleetSpec]:
        return []

    def spec(self, fleet: FleetId) -> FleetSpec | None:
        known = self.machine.fleets.get(fleet)
        return known.spec if known else None

    def ready_count(self, fleet: FleetId) -> int:
        return self.machine.ready_count(fleet)

    def set_load(self, passed: Mapping[FleetId, PassedRequests]) -> None:
        self._passed = passed

    def refresh(self, look: Observation) -> Observation:
        fleets = None if look.fleets is None else {id: self._loaded(seen) for id, seen in look.fleets.items()}
        return replace(look, fleets=fleets)

    def set_answers(self, counts: Mapping[FleetId, tuple[int, int]]) -> None:
        self._answers = counts

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        return self._seen(fleet) if fleet in self.machine.fleets else None

    def _loaded(self, seen: FleetStatus, ready: int | None = None) -> FleetStatus:
        load = self._passed.get(seen.id)
        answered, failed = self._answers.get(seen.id, (None, None))
        return replace(
            seen,
            ready=seen.ready if ready is None else ready,
            in_flight=None if load is None else load.in_flight,
            queued=None if load is None else load.queued,
            queue_time=None if load is None else load.queue_time,
            answered=answered,
            failed=failed,
        )

    async def passed(self) -> Mapping[FleetId, PassedRequests]:
        await self._wait()
        if not self.machine.proxy_up:
            raise Transient("the proxy does not answer")
        self.machine.advance()
        found = {}
        for id in self.machine.fleets:
            now, before = self.machine.passed(id), self._counted.get(id, PassedRequests())
            found[id] = replace(
                now,
                unanswered=now.unanswered - before.unanswered,
                unavailable=now.unavailable - before.unavailable,
            )
            self._counted[id] = now
        return found

    async def ask(self, socket: ServerAddress, path: str, seconds: float) -> tuple[int, bytes] | None:
        """Let the worker behind a socket answer ``/_tidegate/stats?since=EPOCH&before=EPOCH``."""
        await self._wait()
        worker = self._workers[str(socket)]
        damage = self.machine.damages.get((worker.fleet.endpoint, worker.fleet.generation))
        if worker.hung or damage is PageDamage.MISSING:
            await asyncio.sleep(seconds)
            return None
        if self.machine.workers.get(worker.fleet, {}).get(worker.number) is not worker:
            return None
        self.machine.advance()
        since, before = (int(part.partition("=")[2]) for part in path.partition("?")[2].split("&"))
        self.truth.read(self.incarnation, worker, self.now)
        return 200, worker.page(since, before, EPOCH + self.machine.clock.wall(), damage)
