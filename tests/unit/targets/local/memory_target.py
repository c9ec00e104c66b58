"""A second target, made by the steps of CONTRIBUTING.md: fleets in memory, with evidence, logs and jobs of their
own."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import CollectionRound, Coverage, FleetSecond, Latency
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.domain.recommendation import RecommendationJob
from tidegate.domain.traffic import WHOLE, RouteTable
from tidegate.domain.transform import TransformJob, TransformProgress
from tidegate.monitoring import sketch
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.ports.recommenders import RecommenderSeen
from tidegate.ports.runners import RunnerSeen
from tidegate.ports.target import Chore, Look, Provider
from tidegate.targets.context import TargetContext

STARTUP = 2.5
"""Seconds."""
RATE = 100
"""Requests a second to each endpoint with routes."""


@dataclass
class Fleet:
    spec: FleetSpec
    fence: int
    ready: int = 0


@dataclass
class MemoryTarget:
    """``faulty``: configs whose replicas fail every request."""

    changed: Callable[[str], None]
    can: Capabilities = field(default_factory=Capabilities)
    name: str = "memory"
    faulty: set[str] = field(default_factory=set)
    fleets: dict[FleetId, Fleet] = field(default_factory=dict)
    tables: dict[str, RouteTable] = field(default_factory=dict)
    history: list[RouteTable] = field(default_factory=list)
    log: dict[FleetId, list[str]] = field(default_factory=dict)

    async def observe(self, endpoint: str) -> Look:
        mine = {id: self._see(fleet) for id, fleet in self.fleets.items() if id.endpoint == endpoint}
        return Look(mine, self.tables.get(endpoint, RouteTable(endpoint, 0)))

    def _see(self, fleet: Fleet) -> FleetStatus:
        count = fleet.spec.count
        return FleetStatus(fleet.spec.id, count, fleet.ready, count - fleet.ready, mirror=fleet.spec.mirror)

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        known = self.fleets.get(fleet.id)
        if known is not None and fence < known.fence:
            return
        if known is None:
            known = self.fleets[fleet.id] = Fleet(fleet, fence)
            self.log[fleet.id] = [f"{fleet.config_name} is starting"]
        self.fleets[fleet.id] = replace(known, spec=fleet, fence=fence, ready=min(known.ready, fleet.count))
        if self.fleets[fleet.id].ready < fleet.count:
            asyncio.get_running_loop().call_later(STARTUP, self._start_up, fleet.id)

    def _start_up(self, id: FleetId) -> None:
        if (fleet := self.fleets.get(id)) is not None:
            fleet.ready = fleet.spec.count
            self.log[id].append(f"{fleet.ready} replicas are ready")
            self.changed(id.endpoint)

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        known = self.fleets.get(fleet)
        if known is not None and fence >= known.fence:
            del self.fleets[fleet]
            self.log[fleet].append("deleted")
            self.changed(fleet.endpoint)

    async def set_traffic(self, table: RouteTable) -> None:
        if table.fence >= self.tables.get(table.endpoint, table).fence:
            self.tables[table.endpoint] = table
            self.history.append(table)

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        known = self.fleets.get(fleet)
        return None if known is None else self._see(known)


@dataclass
class MemoryEvidence:
    target: MemoryTarget
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
            fleet.ready,
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
    target: MemoryTarget

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
class NoTransforms:
    """Jobs that this target refuses."""

    async def start(self, job: TransformJob, fleet: FleetSpec) -> None:
        raise TargetRefused("the memory target runs no transform jobs: use another target")

    async def look(self, job: TransformJob) -> RunnerSeen:
        return RunnerSeen(alive=False, progress=TransformProgress(), reason=None)

    def stop(self, name: str) -> None: ...

    async def discard(self, name: str) -> None: ...

    async def keep(self, name: str) -> None: ...

    async def prune(self, active: Collection[str]) -> None: ...

    def progress(self, name: str) -> TransformProgress | None:
        return None

    async def end(self, drain: bool) -> None: ...


@dataclass
class NoRecommendations:
    def kept(self) -> tuple[str, ...]:
        return ()

    async def start(self, job: RecommendationJob) -> None:
        raise TargetRefused("the memory target runs no recommendation jobs: use another target")

    async def look(self, name: str) -> RecommenderSeen:
        return RecommenderSeen(alive=False)

    def stop(self, name: str) -> None: ...

    async def discard(self, name: str) -> None: ...

    async def end(self, drain: bool) -> None: ...


@dataclass
class MemoryLifecycle:
    target: MemoryTarget
    chores: Sequence[Chore] = ()

    def prepare(self) -> None: ...

    def start(self) -> None: ...

    async def retire_unknown(self, owners: Collection[str]) -> None:
        for id in [id for id in self.target.fleets if id.endpoint not in owners]:
            del self.target.fleets[id]

    def serves(self) -> bool:
        return any(fleet.ready for fleet in self.target.fleets.values())

    def desired(self) -> list[FleetSpec]:
        return [fleet.spec for fleet in self.target.fleets.values()]

    def wake(self, fleet: FleetId, since: float) -> None: ...

    def kick(self, fleet: FleetId) -> None: ...

    async def stop(self, drain: bool) -> None:
        if drain:
            self.target.fleets.clear()


def provide_memory(context: TargetContext) -> Provider:
    target = MemoryTarget(context.changed)
    return Provider(
        target=target,
        fleets=target,
        lifecycle=MemoryLifecycle(target),
        evidence=MemoryEvidence(target),
        logs=MemoryLogs(target),
        runners=NoTransforms(),
        recommenders=NoRecommendations(),
    )
