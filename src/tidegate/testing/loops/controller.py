"""The simulated controller process: the real loops over simulated edges, started, killed and started again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tidegate.ports.clock import Ids
from tidegate.ports.queue import Queue
from tidegate.ports.store import Store
from tidegate.reconcile.engine import Engine
from tidegate.reconcile.guards import Guards
from tidegate.reconcile.scaling import Scaling
from tidegate.reconcile.watch import Watch
from tidegate.targets.local.collect import Collector
from tidegate.targets.local.coverage import CoverageTracker
from tidegate.targets.local.readings import Reading, Readings
from tidegate.targets.local.target import LocalTarget
from tidegate.testing.loops.clock import SimulatedClock
from tidegate.testing.loops.database import SimulatedMetrics
from tidegate.testing.loops.edges import TargetEdge

SECOND_HAND = 0.05
"""How far into a second the one before is collected."""
LATER = 0.2
"""How far into a second alarms are judged and fleets scaled."""


@dataclass(frozen=True)
class Edges:
    """What the loops of one process stand on."""

    store: Store
    metrics: SimulatedMetrics
    clock: SimulatedClock
    ids: Ids
    target: TargetEdge
    notebook: "Notebook"


@dataclass(frozen=True)
class Loops:
    engine: Engine
    watch: Watch
    scaling: Scaling
    collector: Collector


class NoReadings(Readings):
    """Of processors and memory: they would ask the machine that this runs on."""

    def take(self, pids: Sequence[int]) -> dict[int, Reading]:
        return {}


@dataclass
class Notebook:
    """The small file in which a controller leaves how far its counts reach."""

    data: bytes | None = None


@dataclass
class SimulatedCoverage(CoverageTracker):
    notebook: Notebook = field(default_factory=Notebook)

    def load(self) -> bytes:
        if self.notebook.data is None:
            raise OSError("no such file")
        return self.notebook.data

    def store(self, data: bytes) -> None:
        self.notebook.data = data


class NoQueue:
    """No asynchronous endpoints."""

    async def backlogs(self) -> dict[str, object]:
        return {}


def join_loops(edges: Edges) -> Loops:
    """Joins engine, metrics, alarm evaluation and scaling as ``compose.controller.join`` does; nothing runs yet."""
    store, metrics, clock, target = edges.store, edges.metrics, edges.clock, edges.target
    guards = Guards(metrics)
    engine = Engine(store, target, clock, guards, lambda: None, read_clocks=clock.read)
    collector = Collector(
        cast(LocalTarget, target),
        metrics,
        target.passed,
        SimulatedCoverage(notebook=edges.notebook),
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
    """What ``compose.controller.Controller`` runs, in its order; for ever."""
    await loops.engine.start()
    await asyncio.gather(
        _every_second(loops.watch.turn, clock, SECOND_HAND),
        _every_second(loops.watch.judge_alarms, clock, LATER),
        _every_second(loops.scaling.turn, clock, LATER),
    )


async def _every_second(work: Callable[[], Awaitable[None]], clock: SimulatedClock, after: float) -> None:
    while True:
        await asyncio.sleep(1.0 - clock.wall() % 1.0 + after)
        await work()
