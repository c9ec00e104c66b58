"""The simulated controller process: the real loops on simulated edges, started, killed and restarted."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from tests.loops.clock import SimulatedClock
from tests.loops.database import DatabaseServer, SimulatedMetrics
from tests.loops.edges import TargetEdge
from tidegate.domain.metric import CollectionRound
from tidegate.domain.observation import Observation
from tidegate.domain.targets import LOCAL
from tidegate.features.autoscaling.loop import Scaling
from tidegate.host.background_file import BackgroundFile
from tidegate.ports.clock import Ids
from tidegate.ports.metrics import Metrics
from tidegate.ports.queue import Queue
from tidegate.ports.store import Store
from tidegate.ports.target import EvidenceSource, Target
from tidegate.reconcile.engine import STEADY_RESYNC, Engine
from tidegate.reconcile.guards import Guards
from tidegate.reconcile.metrics_loop import MetricsLoop
from tidegate.reconcile.rollout_observers import RolloutObserver, RolloutObservers
from tidegate.targets.collection.collector import Collector
from tidegate.targets.collection.coverage import CoverageTracker
from tidegate.targets.collection.sources import ReplicaUsage

COLLECT_AFTER = 0.05
"""How far into a second the one before is collected."""
EVALUATE_AFTER = 0.2
"""How far into a second alarms are judged and fleets scaled."""


@dataclass(frozen=True)
class Edges:
    """What the loops of one process depend on."""

    store: Store
    metrics: Metrics
    clock: SimulatedClock
    ids: Ids
    target: Target
    evidence: EvidenceSource


@dataclass(frozen=True)
class Loops:
    engine: Engine
    watch: MetricsLoop
    scaling: Scaling


def measure_nothing(pids: Sequence[int]) -> dict[int, ReplicaUsage]:
    """Processors and memory: they would be those of the machine that this runs on."""
    return {}


@dataclass
class CoverageFile:
    """The file that stores how far a controller's counts reach (a BackgroundFile and its path); a full disk loses
    writes."""

    server: DatabaseServer
    data: bytes | None = None
    writing: None = None

    @property
    def path(self) -> "CoverageFile":
        return self

    def read_bytes(self) -> bytes:
        if self.data is None:
            raise OSError("no such file")
        return self.data

    def write(self, data: bytes) -> None:
        if self.server.loop.now >= self.server.full_until:
            self.data = data


class NoQueue:
    """There are no asynchronous endpoints."""

    async def backlogs(self) -> dict[str, object]:
        return {}


@dataclass(frozen=True)
class SimulatedEvidence:
    """Ports.evidence.EvidenceSource, by the real collector."""

    target: TargetEdge
    collector: Collector

    async def collect(self, now: int) -> CollectionRound:
        return await self.collector.collect(now)

    def refresh(self, look: Observation) -> Observation:
        return self.target.refresh(look)

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()


def join_evidence(target: TargetEdge, metrics: SimulatedMetrics, notebook: CoverageFile) -> SimulatedEvidence:
    coverage = CoverageTracker()
    coverage._file = cast(BackgroundFile, notebook)
    return SimulatedEvidence(
        target, Collector(target, metrics, target.passed, target.ask, measure_nothing, coverage)
    )


def join_loops(edges: Edges, *observers: RolloutObserver) -> Loops:
    """Joins engine, metrics, alarm evaluation and scaling as ``compose.controller.join`` does; nothing runs yet."""
    store, metrics, clock, evidence = edges.store, edges.metrics, edges.clock, edges.evidence
    guards = Guards(metrics, lambda: clock.read()[1].ahead, RolloutObservers(observers))
    engine = Engine(store, {LOCAL: edges.target}, clock, guards, lambda name: None, read_clocks=clock.read)

    def fresh(endpoint: str) -> Observation | None:
        seen = engine.observed.get(endpoint)
        return seen and evidence.refresh(seen)

    scaling = Scaling(store, metrics, clock, edges.ids, fresh, cast(Queue, NoQueue()), engine.kick)
    watch = MetricsLoop(
        store, metrics, clock, evidence.collect, engine.kick, guards, engine.guarded, scaling.followed
    )
    return Loops(engine, watch, scaling)


async def run_loops(loops: Loops, clock: SimulatedClock) -> None:
    """Run what ``compose.controller.Controller`` runs, in its order, for ever."""
    await loops.engine.start()
    await asyncio.gather(
        _every_second(loops.watch.turn, clock, COLLECT_AFTER),
        _every_second(loops.watch.judge_alarms, clock, EVALUATE_AFTER),
        _every_second(loops.scaling.turn, clock, EVALUATE_AFTER),
        _every(STEADY_RESYNC, loops.engine.compare),
    )


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await work()
        await asyncio.sleep(seconds)


async def _every_second(work: Callable[[], Awaitable[None]], clock: SimulatedClock, after: float) -> None:
    while True:
        await asyncio.sleep(1.0 - clock.wall() % 1.0 + after)
        await work()
