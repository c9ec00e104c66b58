"""A second target, made by the steps of CONTRIBUTING.md: fleets in memory, with evidence and logs of their own."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tests.memory_target import MemoryTarget
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import CollectionRound, Coverage, FleetSecond, Latency
from tidegate.domain.observation import Observation
from tidegate.domain.traffic import WHOLE, RouteTable
from tidegate.monitoring import sketch
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.ports.target import Chore, Provider
from tidegate.simulation.target import SimulatedTarget
from tidegate.targets.context import TargetContext
from tidegate.targets.refused_jobs import RefusedRecommendations, RefusedTransforms

STARTUP = 2.5
"""Seconds."""
RATE = 100
"""Requests a second to each endpoint with routes."""


@dataclass
class SecondTarget(MemoryTarget):
    """``faulty``: configs whose replicas fail every request."""

    faulty: set[str] = field(default_factory=set)
    history: list[RouteTable] = field(default_factory=list)
    log: dict[FleetId, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.simulated = SimulatedTarget(self._later, lambda: STARTUP, lambda: 0.0)

    def _later(self, after: float, what: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(after, self._happen, what)

    def _happen(self, what: Callable[[], None]) -> None:
        what()
        for id, lines in self.log.items():
            fleet = self.seen(id)
            if fleet is not None and fleet.ready == fleet.desired and not lines[-1].endswith("ready"):
                lines.append(f"{fleet.ready} replicas are ready")
            self.changed(id.endpoint)

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        self.log.setdefault(fleet.id, [f"{fleet.config_name} is starting"])
        await super().ensure_fleet(fleet, fence)

    async def set_traffic(self, table: RouteTable) -> None:
        await super().set_traffic(table)
        if self.tables[table.endpoint] is table:
            self.history.append(table)


@dataclass
class MemoryEvidence:
    target: SecondTarget
    since: dict[str, int] = field(default_factory=dict)

    async def collect(self, now: int) -> CollectionRound:
        for endpoint in self.target.tables:
            self.since.setdefault(endpoint, now - 1)
        coverage = {endpoint: Coverage(since, now) for endpoint, since in self.since.items()}
        tables = self.target.tables.values()
        return CollectionRound(
            [self._count(one.fleet, one.share, now) for t in tables for one in t.routes], coverage
        )

    def _count(self, id: FleetId, share: int, now: int) -> FleetSecond:
        fleet = self.target.fleets[id]
        requests = RATE * share // WHOLE
        failed = requests if fleet.spec.config_name in self.target.faulty else 0
        times = Latency({sketch.index(1000.0): float(requests)}, 1000.0 * requests, 1000.0, 1000.0)
        return FleetSecond(
            id,
            fleet.spec.config_name,
            now - 1,
            fleet.seen().ready,
            invocations=requests,
            errors_5xx=failed,
            model_errors=failed,
            model_latency=times if requests else None,
        )

    def refresh(self, look: Observation) -> Observation:
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()


@dataclass
class MemoryLogs:
    target: SecondTarget

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        mine = sorted((id for id in self.target.log if id.endpoint == endpoint), key=lambda id: id.generation)
        return [ReplicaLog(id.generation, id.variant, "all", tuple(self.target.log[id][-lines:])) for id in mine]

    async def groups(self) -> Sequence[str]:
        return sorted({id.endpoint for id in self.target.log})

    async def streams(self, group: str) -> Sequence[LogStream]:
        return [
            LogStream(str(id), 0.0, 0.0, len(lines))
            for id, lines in self.target.log.items()
            if id.endpoint == group
        ]

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        found = next((one for one in await self.streams(group) if one.name == stream), None)
        if found is None:
            return None
        lines = self.target.log[FleetId.parse(stream)]
        first = max(0, len(lines) - limit) if offset is None else offset
        shown = lines[first : first + limit]
        return LogLines(found, tuple(shown), first + len(shown))


@dataclass
class MemoryLifecycle:
    target: SecondTarget
    chores: Sequence[Chore] = ()

    def prepare(self) -> None: ...

    def start(self) -> None: ...

    async def retire_unknown(self, owners: Collection[str]) -> None:
        for id in [id for id in self.target.fleets if id.endpoint not in owners]:
            del self.target.fleets[id]

    def serves(self) -> bool:
        return any(fleet.seen().ready for fleet in self.target.fleets.values())

    def desired(self) -> list[FleetSpec]:
        return [fleet.spec for fleet in self.target.fleets.values()]

    def wake(self, fleet: FleetId, since: float) -> None: ...

    def kick(self, fleet: FleetId) -> None: ...

    async def stop(self, drain: bool) -> None:
        if drain:
            self.target.fleets.clear()


def provide_memory(context: TargetContext) -> Provider:
    target = SecondTarget(changed=context.changed)
    return Provider(
        target=target,
        fleets=target,
        lifecycle=MemoryLifecycle(target),
        evidence=MemoryEvidence(target),
        logs=MemoryLogs(target),
        runners=RefusedTransforms(target.name),
        recommenders=RefusedRecommendations(target.name),
    )
