"""A target and router in memory: replicas take time to start and drain, lower fences are dropped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetId, FleetSpec, ReplicaState
from tidegate.domain.observation import FleetStatus
from tidegate.domain.traffic import RouteTable
from tidegate.rollout import desired_state

Scheduler = Callable[[float, Callable[[], None]], None]
"""Runs something after so many seconds."""

BACK_OFF = 300.0
"""Seconds until a failed replica is started again."""


@dataclass
class SimulatedFleet:
    """One fleet; ``replicas`` are numbered in starting order."""

    spec: FleetSpec
    fence: int
    desired: int = 0
    replicas: dict[int, ReplicaState] = field(default_factory=dict)
    deleted: bool = False
    failure: str | None = None
    started: int = 0

    def of(self, state: ReplicaState) -> list[int]:
        return [number for number, found in self.replicas.items() if found is state]

    def seen(self) -> FleetStatus:
        return FleetStatus(
            id=self.spec.id,
            desired=self.desired,
            ready=len(self.of(ReplicaState.READY)),
            starting=len(self.of(ReplicaState.STARTING)),
            draining=len(self.of(ReplicaState.DRAINING)),
            failure=self.failure,
            mirror=self.spec.mirror,
            paired=self.spec.paired,
            serverless=self.spec.variant.serverless,
        )


@dataclass
class SimulatedTarget:
    """Fulfils ports.target.Target without waiting; the caller's ``later`` provides time."""

    later: Scheduler
    startup: Callable[[], float]
    drain: Callable[[], float]
    fleets: dict[FleetId, SimulatedFleet] = field(default_factory=dict)
    tables: dict[str, RouteTable] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    """Generations whose replicas fail to start, and why."""

    def ensure_fleet(self, spec: FleetSpec, fence: int) -> None:
        fleet = self.fleets.setdefault(spec.id, SimulatedFleet(spec, fence))
        if not fleet.deleted and fence >= fleet.fence:
            fleet.fence, fleet.desired, fleet.spec = fence, spec.count, spec
            self.settle(fleet)

    def delete_fleet(self, id: FleetId, fence: int) -> None:
        fleet = self.fleets.get(id)
        if fleet is not None and fence >= fleet.fence:
            fleet.fence, fleet.desired, fleet.deleted = fence, 0, True
            self.settle(fleet)

    def set_traffic(self, table: RouteTable) -> None:
        if table.fence >= self.routes(table.endpoint).fence:
            self.tables[table.endpoint] = table

    def routes(self, endpoint: str) -> RouteTable:
        return self.tables.get(endpoint, RouteTable(endpoint, 0))

    def of_version(self, endpoint: str, generation: int) -> Iterator[SimulatedFleet]:
        for id, fleet in list(self.fleets.items()):
            if (id.endpoint, id.generation) == (endpoint, generation):
                yield fleet

    def serve(self, endpoint: Endpoint) -> None:
        """Contain everything that a serving endpoint wants, all ready."""
        for id, spec in desired_state.fleets(endpoint).items():
            ready = dict.fromkeys(range(1, spec.count + 1), ReplicaState.READY)
            fleet = self.fleets[id] = SimulatedFleet(spec, endpoint.fence, spec.count, ready, started=spec.count)
            self.settle(fleet)
        self.set_traffic(desired_state.traffic(endpoint))

    def mend_starts(self, endpoint: str, generation: int) -> None:
        """Its replicas start again, those that failed at once."""
        self.broken.pop(generation, None)
        for fleet in self.of_version(endpoint, generation):
            for number in fleet.of(ReplicaState.STARTING):
                self.later(self.startup(), partial(self._up, fleet, number))

    def kill(self, fleet: SimulatedFleet, count: int) -> None:
        for number in fleet.of(ReplicaState.READY)[:count]:
            del fleet.replicas[number]
        self.settle(fleet)

    def settle(self, fleet: SimulatedFleet) -> None:
        """Start missing replicas, drain surplus ones, and remove a deleted fleet that is empty."""
        ready, starting = fleet.of(ReplicaState.READY), fleet.of(ReplicaState.STARTING)
        for _ in range(fleet.desired - len(ready) - len(starting)):
            self._launch(fleet)
        surplus = (starting[::-1] + ready[::-1])[: max(0, len(ready) + len(starting) - fleet.desired)]
        for number in surplus:
            fleet.replicas[number] = ReplicaState.DRAINING
            self.later(self.drain(), partial(self._drained, fleet, number))
        if fleet.deleted and not fleet.replicas:
            self.fleets.pop(fleet.spec.id, None)

    def _launch(self, fleet: SimulatedFleet) -> None:
        number = fleet.started = fleet.started + 1
        fleet.replicas[number] = ReplicaState.STARTING
        self.later(self.startup(), lambda: self._up(fleet, number))

    def _up(self, fleet: SimulatedFleet, number: int) -> None:
        if fleet.replicas.get(number) is not ReplicaState.STARTING:
            return
        fleet.failure = self.broken.get(fleet.spec.id.generation)
        if fleet.failure is None:
            fleet.replicas[number] = ReplicaState.READY
        else:
            self.later(BACK_OFF, lambda: self._up(fleet, number))

    def _drained(self, fleet: SimulatedFleet, number: int) -> None:
        fleet.replicas.pop(number, None)
        self.settle(fleet)
