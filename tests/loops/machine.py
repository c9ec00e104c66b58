"""The simulated machine: fleets of workers, the proxy in front of them, and incoming requests.

It exists whether a controller runs or not. Requests are counted by the second, not individually, and only when
somebody reads or something changes. Starting and replacing workers is the controller's job and waits while there is
none.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import floor
from random import Random

from tests.loops.clock import SimulatedClock
from tests.loops.faults import PageDamage, VersionBehaviour
from tests.loops.virtual_loop import VirtualLoop
from tests.loops.workers import SimulatedWorker
from tidegate.domain.fleet import FleetId, ReplicaState
from tidegate.domain.traffic import WHOLE, RouteTable
from tidegate.ports.router import PassedRequests
from tidegate.simulation.target import SimulatedFleet, SimulatedTarget

GOOD_BEHAVIOUR = VersionBehaviour()
INVOCATION_TIMEOUT = 60.0
"""Seconds after which an unanswered request has failed."""
MAX_BACKLOG = 190
"""Seconds of traffic that are counted individually after a long time without readers."""
Version = tuple[str, int]
"""An endpoint and a generation."""


@dataclass(slots=True)
class VersionTally:
    """A version's requests in one second of real time. ``stuck``: not answered yet. Requests that reached no worker
    are not counted, since they say nothing about the version."""

    requests: int = 0
    failed: int = 0
    stuck: int = 0
    latencies: dict[int, int] = field(default_factory=dict)


@dataclass
class MachineTiming:
    """Durations in seconds."""

    startup: tuple[float, ...] = (1.0,)
    drain: tuple[float, ...] = (0.5,)
    check: float = 2.0
    """Until the proxy finds a hung worker."""
    replace: float = 6.0
    """Until a hung worker is replaced."""


class Machine(SimulatedTarget):
    """``supervised`` returns whether a controller is there to supervise; ``changed`` receives the endpoint whose
    fleets changed; ``ended`` receives a worker that is about to end gracefully."""

    def __init__(self, loop: VirtualLoop, clock: SimulatedClock, physics: MachineTiming, chance: Random) -> None:
        def draw(among: tuple[float, ...]) -> float:
            return among[int(chance.random() * len(among))]

        super().__init__(self._later, lambda: draw(physics.startup), lambda: draw(physics.drain))
        self.loop, self.clock, self.physics = loop, clock, physics
        self.supervised: Callable[[], bool] = lambda: True
        self.changed: Callable[[str], None] = lambda endpoint: None
        self.ended: Callable[[SimulatedWorker], None] = lambda worker: None
        self.routed: Callable[[RouteTable], None] = lambda table: None
        self.proxy_up = True
        self.rates: dict[str, float] = {}
        """Endpoint -> requests per second."""
        self.conducts: dict[Version, VersionBehaviour] = {}
        self.turning: dict[Version, tuple[int, VersionBehaviour]] = {}
        """Versions whose behaviour changes after so many requests."""
        self.damages: dict[Version, PageDamage] = {}
        self.tallies: dict[Version, VersionTally] = {}
        self.had: dict[Version, int] = {}
        """Requests of a version so far."""
        self.answered: dict[Version, int] = {}
        """Those that it answered successfully."""
        self.unanswered: dict[FleetId, int] = {}
        self.unavailable: dict[FleetId, int] = {}
        """Requests that arrived before a restarted proxy had a worker of the fleet."""
        self.unserved: set[FleetId] = set()
        self.workers: dict[FleetId, dict[int, SimulatedWorker]] = {}
        self.gone: list[SimulatedWorker] = []
        self._electable: dict[FleetId, list[SimulatedWorker]] = {}
        self._carried: dict[FleetId, float] = {}
        self._stopped: dict[str, float] = {}
        """Endpoints without traffic for now -> their requests per second otherwise."""
        self._deferred: list[Callable[[], None]] = []
        self._counted_to = 0.0

    # Supervision

    def _later(self, after: float, what: Callable[[], None]) -> None:
        self.loop.at(self.loop.now + after, partial(self._supervise, what))

    def _supervise(self, what: Callable[[], None]) -> None:
        if self.supervised():
            self.advance()
            what()
        else:
            self._deferred.append(what)

    def take_up(self) -> None:
        """A controller is back: do what waited for one."""
        deferred, self._deferred = self._deferred, []
        for what in deferred:
            self._supervise(what)

    def settle(self, fleet: SimulatedFleet) -> None:
        self.advance()
        super().settle(fleet)
        self._sync(fleet)

    def _up(self, fleet: SimulatedFleet, number: int) -> None:
        super()._up(fleet, number)
        self._sync(fleet)

    def kill(self, fleet: SimulatedFleet, count: int) -> None:
        self.advance()
        for number in fleet.of(ReplicaState.READY)[:count]:
            del fleet.replicas[number]
        self._sync(fleet)
        self.later(0.1, partial(self.settle, fleet))

    def _drained(self, fleet: SimulatedFleet, number: int) -> None:
        worker = self.workers.get(fleet.spec.id, {}).get(number)
        if worker is not None and number in fleet.replicas:
            self.ended(worker)
        super()._drained(fleet, number)

    def _sync(self, fleet: SimulatedFleet) -> None:
        """Update workers to match their replicas; the proxy sends requests to ready ones."""
        id, now = fleet.spec.id, self.loop.now
        workers = self.workers.setdefault(id, {})
        for number in workers.keys() - fleet.replicas.keys():
            gone = workers.pop(number)
            self.gone.append(gone)
            self.unanswered[id] = self.unanswered.get(id, 0) + gone.in_flight
        for number, state in fleet.replicas.items():
            if state is ReplicaState.READY and number not in workers:
                workers[number] = SimulatedWorker(id, number, now)
        if self.fleets.get(id) is not fleet:
            self.workers.pop(id, None)
        self._elect(fleet)
        self.changed(id.endpoint)

    def _elect(self, fleet: SimulatedFleet) -> None:
        workers = self.workers.get(fleet.spec.id, {})
        ready = fleet.of(ReplicaState.READY)
        found = self._electable[fleet.spec.id] = [workers[number] for number in ready if workers[number].up]
        if found:
            self.unserved.discard(fleet.spec.id)

    # What happens to it

    def hang(self, fleet: SimulatedFleet, count: int) -> None:
        """Some ready workers stop answering; the proxy notices, and then the supervisor replaces them."""
        self.advance()
        for worker in [w for w in self.workers.get(fleet.spec.id, {}).values() if not w.hung][:count]:
            worker.hung = True
            self.loop.at(self.loop.now + self.physics.check, partial(self._found_down, fleet, worker))
            self.later(self.physics.replace, partial(self._replace, fleet, worker))

    def _found_down(self, fleet: SimulatedFleet, worker: SimulatedWorker) -> None:
        self.advance()
        worker.up = False
        self._elect(fleet)
        self.changed(fleet.spec.id.endpoint)

    def _replace(self, fleet: SimulatedFleet, worker: SimulatedWorker) -> None:
        if fleet.replicas.pop(worker.number, None) is not None:
            self.settle(fleet)

    def stop_proxy(self, seconds: float) -> None:
        self.advance()
        self.proxy_up = False
        self.loop.at(self.loop.now + seconds, self._restart_proxy)

    def _restart_proxy(self) -> None:
        self.advance()
        self.proxy_up = True

    def stop_traffic(self, endpoint: str, seconds: float) -> None:
        self.advance()
        if (rate := self.rates.get(endpoint)) is not None:
            self._stopped.setdefault(endpoint, rate)
        self.rates[endpoint] = 0.0
        self.loop.at(self.loop.now + seconds, partial(self._restore_traffic, endpoint))

    def _restore_traffic(self, endpoint: str) -> None:
        self.advance()
        if (rate := self._stopped.pop(endpoint, None)) is not None:
            self.rates[endpoint] = rate

    def damage_pages(self, version: Version, damage: PageDamage, seconds: float) -> None:
        self.damages[version] = damage
        self.loop.at(self.loop.now + seconds, partial(self.damages.pop, version, None))

    def change_behaviour(self, version: Version, behaviour: VersionBehaviour, requests: int) -> None:
        """It behaves like this after so many more requests."""
        self.advance()
        if requests:
            self.turning[version] = self.had.get(version, 0) + requests, behaviour
        else:
            self.conducts[version] = behaviour

    def crash(self) -> None:
        """Kill everything."""
        self.advance()
        self.proxy_up = False
        self._deferred.clear()
        for fleet in list(self.fleets.values()):
            fleet.replicas.clear()
            fleet.failure = None
            self._sync(fleet)

    def boot(self) -> None:
        """Restart the proxy with its former tables, and fleets from their desired states."""
        self.advance()
        self.proxy_up = True
        self.unserved = set(self.fleets)
        for fleet in list(self.fleets.values()):
            self.settle(fleet)

    def set_traffic(self, table: RouteTable) -> None:
        self.advance()
        before = self.tables.get(table.endpoint)
        super().set_traffic(table)
        if self.tables.get(table.endpoint) is not before:
            self.routed(table)

    def ready_count(self, id: FleetId) -> int:
        """Replicas that take requests."""
        return len(self._electable.get(id, ()))

    def down(self, id: FleetId) -> int:
        """Ready replicas that the proxy found down."""
        return sum(not worker.up for worker in self.workers.get(id, {}).values())

    def passed(self, id: FleetId) -> PassedRequests:
        held = sum(worker.in_flight for worker in self.workers.get(id, {}).values())
        return PassedRequests(
            unanswered=self.unanswered.get(id, 0),
            in_flight=held,
            unavailable=self.unavailable.get(id, 0),
            unserved=id in self.unserved,
        )

    # Requests

    def advance(self) -> None:
        """Count the requests up to now."""
        now, offset = self.loop.now, self.clock.offset
        if now - self._counted_to > MAX_BACKLOG:
            self._count(now - MAX_BACKLOG - self._counted_to, floor(self._counted_to + offset))
            self._counted_to = now - MAX_BACKLOG
        while self._counted_to < now:
            second = floor(self._counted_to + offset + 1e-9)
            end = min(now, second + 1 - offset)
            self._count(end - self._counted_to, second)
            self._counted_to = end

    def _count(self, seconds: float, second: int) -> None:
        for endpoint, table in self.tables.items():
            rate = self.rates.get(endpoint, 0.0) * seconds / WHOLE
            if not rate:
                continue
            for route in table.routes:
                exact = self._carried.get(route.fleet, 0.0) + rate * route.share
                count = int(exact)
                self._carried[route.fleet] = exact - count
                if count:
                    self._serve(route.fleet, count, second)

    def _serve(self, id: FleetId, count: int, second: int) -> None:
        version = (id.endpoint, id.generation)
        tally = self.tallies.get(version)
        if tally is None:
            tally = self.tallies[version] = VersionTally()
        had = self.had[version] = self.had.get(version, 0) + count
        if version in self.turning and had >= self.turning[version][0]:
            self.conducts[version] = self.turning.pop(version)[1]
        workers = self._electable.get(id)
        if not self.proxy_up:
            return  # without a proxy nobody counts
        if not workers:
            counts = self.unavailable if id in self.unserved else self.unanswered
            counts[id] = counts.get(id, 0) + count
            return
        before = tally.requests - tally.failed
        self._share_out(workers, self.conducts.get(version, GOOD_BEHAVIOUR), count, second, tally)
        self.answered[version] = self.answered.get(version, 0) + tally.requests - tally.failed - before

    def _share_out(
        self,
        workers: list[SimulatedWorker],
        conduct: VersionBehaviour,
        count: int,
        second: int,
        tally: VersionTally,
    ) -> None:
        each, more = divmod(count, len(workers))
        for place, worker in enumerate(workers):
            if share := each + (place < more):
                self._answer(worker, conduct, share, second, tally)
        if more:
            workers.append(workers.pop(0))

    def _answer(
        self, worker: SimulatedWorker, conduct: VersionBehaviour, count: int, second: int, tally: VersionTally
    ) -> None:
        if worker.hung or not conduct.answers:
            worker.held.append((self.loop.now, count))
            tally.stuck += count
            return
        worker.part_failed += count * conduct.errors
        failed = int(worker.part_failed + 1e-9)
        worker.part_failed -= failed
        worker.count(second, self._counted_to, count, failed, conduct.latency)
        tally.requests += count
        tally.failed += failed
        tally.latencies[conduct.latency] = tally.latencies.get(conduct.latency, 0) + count

    def hanging(self, endpoint: str, generation: int) -> bool:
        """Whether requests of a version are unanswered."""
        return any(
            worker.held
            for id, workers in self.workers.items()
            if (id.endpoint, id.generation) == (endpoint, generation)
            for worker in workers.values()
        )

    def time_out(self) -> None:
        """Unanswered requests fail; a worker that still runs counts them as its own."""
        due = self.loop.now - INVOCATION_TIMEOUT
        second = floor(self.clock.wall())
        for workers in self.workers.values():
            for worker in workers.values():
                if worker.held and not worker.hung:
                    worker.note_ages(second, self.loop.now)
                if worker.held and worker.held[0][0] <= due:
                    late = sum(count for at, count in worker.held if at <= due)
                    worker.held = [(at, count) for at, count in worker.held if at > due]
                    if not worker.hung:
                        worker.count(second, self.loop.now, late, late, int(INVOCATION_TIMEOUT * 1e6))
