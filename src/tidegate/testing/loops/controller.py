"""The simulated controller process: the real loops on simulated edges, started, killed and restarted."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tidegate.host.atomic_write import BackgroundFile
from tidegate.ports.clock import Ids
from tidegate.ports.queue import Queue
from tidegate.ports.store import Store
from tidegate.reconcile.engine import Engine
from tidegate.reconcile.guards import Guards
from tidegate.reconcile.metrics_loop import Watch
from tidegate.reconcile.scaling import Scaling
from tidegate.targets.local.collector import Collector
from tidegate.targets.local.coverage import CoverageTracker
from tidegate.targets.local.resource_usage import Reading, Readings
from tidegate.targets.local.target import LocalTarget
from tidegate.testing.loops.clock import SimulatedClock
from tidegate.testing.loops.database import DatabaseServer, SimulatedMetrics
from tidegate.testing.loops.edges import TargetEdge

COLLECT_OFFSET = 0.05
"""Offset in a second at which the previous second is collected."""
EVALUATE_OFFSET = 0.2
"""Offset in a second at which alarms are evaluated and fleets scaled."""


@dataclass(frozen=True)
class Edges:
    """What the loops of one process depend on."""

    store: Store
    metrics: SimulatedMetrics
    clock: SimulatedClock
    ids: Ids
    target: TargetEdge
    coverage_file: "CoverageFile"


@dataclass(frozen=True)
class Loops:
    engine: Engine
    watch: Watch
    scaling: Scaling
    collector: Collector


class NoReadings(Readings):
    """No resource readings: they would measure the host machine."""

    def take(self, pids: Sequence[int]) -> dict[int, Reading]:
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


def join_loops(edges: Edges) -> Loops:
    """Join engine, metrics, alarm evaluation and scaling as ``compose.controller.join`` does; starts nothing."""
    store, metrics, clock, target = edges.store, edges.metrics, edges.clock, edges.target
    guards = Guards(metrics, lambda: clock.read()[1].ahead)
    engine = Engine(store, target, clock, guards, lambda: None, read_clocks=clock.read)
    coverage = CoverageTracker()
    coverage._file = cast(BackgroundFile, edges.coverage_file)
    collector = Collector(
        cast(LocalTarget, target),
        metrics,
        target.passed,
        coverage,
        get=target.ask,
        _readings=NoReadings(),
    )

    def fresh(endpoint: str) -> Any:
        seen = engine.observed.get(endpoint)
        return seen and target.fresh(seen)

    scaling = Scaling(store, metrics, clock, edges.ids, fresh, cast(Queue, NoQueue()), engine.kick)
    watch = Watch(store, metrics, clock, collector.collect, engine.kick, guards, engine.guarded, scaling.followed)
    return Loops(engine, watch, scaling, collector)


async def run_loops(loops: Loops, clock: SimulatedClock) -> None:
    """Run what ``compose.controller.Controller`` runs, in its order, for ever."""
    await loops.engine.start()
    await asyncio.gather(
        _every_second(loops.watch.turn, clock, COLLECT_OFFSET),
        _every_second(loops.watch.judge_alarms, clock, EVALUATE_OFFSET),
        _every_second(loops.scaling.turn, clock, EVALUATE_OFFSET),
    )


async def _every_second(work: Callable[[], Awaitable[None]], clock: SimulatedClock, after: float) -> None:
    while True:
        await asyncio.sleep(1.0 - clock.wall() % 1.0 + after)
        await work()
