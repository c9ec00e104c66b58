"""The loops of a controller over a target in memory."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.samples import linear, percent
from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData
from tidegate.domain.endpoint import EndpointConfig, ProductionVariant
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import CollectionRound, Coverage, FleetSecond, Latency
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.targets import LOCAL
from tidegate.domain.traffic import WHOLE, RouteTable
from tidegate.host.clock import SystemClock
from tidegate.monitoring import sketch
from tidegate.ports.store import Tx
from tidegate.ports.target import Look
from tidegate.reconcile.engine import Engine
from tidegate.reconcile.guards import Guards
from tidegate.reconcile.metrics_loop import MetricsLoop
from tidegate.service import endpoints
from tidegate.service.endpoints import UpdateRequest
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.store import open_store
from tidegate.store.metrics import SqlMetrics

RATE = 100
"""Requests a second to each endpoint."""
PAUSE = 0.2


@dataclass
class ReadyTarget:
    """Fleets are ready as soon as they are asked for."""

    changed: Callable[[str], None]
    name: str = LOCAL
    can: Capabilities = field(default_factory=Capabilities)
    fleets: dict[str, dict[FleetId, FleetSpec]] = field(default_factory=dict)
    tables: dict[str, RouteTable] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)

    async def observe(self, endpoint: str) -> Look:
        fleets = {
            id: FleetStatus(id, spec.count, spec.count, answered=1, failed=0)
            for id, spec in self.fleets.get(endpoint, {}).items()
        }
        return Look(fleets, self.tables.get(endpoint, RouteTable(endpoint, 0)))

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        self.fleets.setdefault(fleet.id.endpoint, {})[fleet.id] = fleet
        asyncio.get_running_loop().call_soon(self.changed, fleet.id.endpoint)

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        self.fleets.get(fleet.endpoint, {}).pop(fleet, None)

    async def set_traffic(self, table: RouteTable) -> None:
        self.tables[table.endpoint] = table

    async def collect(self, now: int) -> CollectionRound:
        counted = [self._count(one.fleet, one.share, now) for t in self.tables.values() for one in t.routes]
        for endpoint in self.tables:
            self.since.setdefault(endpoint, now - 1)
        return CollectionRound(counted, {name: Coverage(since, now) for name, since in self.since.items()})

    def _count(self, id: FleetId, share: int, now: int) -> FleetSecond:
        requests, spec = RATE * share // WHOLE, self.fleets[id.endpoint][id]
        times = Latency({sketch.index(1000.0): float(requests)}, 1000.0 * requests, 1000.0, 1000.0)
        return FleetSecond(
            id,
            spec.config_name,
            now - 1,
            spec.count,
            invocations=requests,
            model_latency=times if requests else None,
        )

    def refresh(self, look: Observation) -> Observation:
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()


class ScalePlatform:
    """Call inside a running event loop."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(f"sqlite:///{folder / 'tidegate.db'}")
        self.clock, self.metrics = SystemClock(), SqlMetrics(self.store.database)
        self.target = ReadyTarget(lambda name: self.engine.kick(name))
        self.guards = Guards(self.metrics, lambda: self.clock.read()[1].ahead)
        self.engine = Engine(
            self.store,
            {LOCAL: self.target},
            self.clock,
            self.guards,
            lambda name: None,
            read_clocks=self.clock.read,
        )
        self.loop = MetricsLoop(
            self.store,
            self.metrics,
            self.clock,
            self.target.collect,
            self.engine.kick,
            self.guards,
            self.engine.guarded,
        )
        self.names: list[str] = []
        self.rounds: list[float] = []
        self._tasks = [asyncio.create_task(self._turns()), asyncio.create_task(self._alarms())]

    async def create(self, count: int) -> None:
        now = self.clock.now()

        def define(tx: Tx) -> None:
            for version in ("v1", "v2"):
                model = Model(version, (ContainerDefinition("sample", data_url=f"file:///{version}"),), now)
                tx.put(MODEL, version, model, expect=0, now=now)
                variant = ProductionVariant("AllTraffic", version, 2, LOCAL)
                tx.put(CONFIG, version, EndpointConfig(version, (variant,), now), expect=0, now=now)

        await self.store.run(define)
        self.names = [f"e{number}" for number in range(count)]
        for name in self.names:
            await self.store.run(lambda tx, name=name: self._create(tx, name))  # type: ignore[misc]
            self.engine.kick(name)

    def _create(self, tx: Tx, name: str) -> None:
        now = self.clock.now()
        self._put_alarms(tx, name, "")
        asked, can = UpdateRequest("v1"), self.target.can
        endpoints.create_endpoint(tx, name, asked, {}, rollout_id=f"first-{name}", can=can, now=now)

    async def add_alarms(self, count: int) -> None:
        """So many more, two at a time, to one endpoint after the other."""
        for number in range(count // 2):
            name = self.names[number % len(self.names)]
            await self.store.run(lambda tx, n=name, s=f"-{number}": self._put_alarms(tx, n, s))  # type: ignore[misc]

    def _put_alarms(self, tx: Tx, name: str, suffix: str) -> None:
        now = self.clock.now()
        for metric, limit in (("Invocation5XXErrors", 0.05), ("ModelLatency", 100_000.0)):
            alarm = Alarm(
                name=f"{name}-{metric}{suffix}",
                namespace="AWS/SageMaker",
                metric=metric,
                dimensions={"EndpointName": name, "VariantName": "AllTraffic"},
                statistic="Average",
                period=10,
                evaluation_periods=3,
                datapoints_to_alarm=2,
                threshold=limit,
                comparison=ComparisonOperator.GREATER,
                configured_at=now,
                missing=MissingData.NOT_BREACHING,
            )
            tx.put(ALARM, alarm.name, alarm, expect=0, now=now)

    async def update_all(self) -> None:
        now, can = self.clock.now(), self.target.can
        for name in self.names:
            alarms = (f"{name}-Invocation5XXErrors", f"{name}-ModelLatency")
            asked = UpdateRequest("v2", linear(percent(25), 0, alarms=alarms))
            await self.store.run(
                lambda tx, name=name, asked=asked: endpoints.update_endpoint(  # type: ignore[misc]
                    tx, name, asked, rollout_id=f"second-{name}", can=can, now=now
                )
            )
            self.engine.kick(name)

    async def settle(self) -> None:
        """Wait until no rollout is under way."""
        while await self.store.run(
            lambda tx: any(saved.body.rollout is not None for saved in tx.find(ENDPOINT).items)
        ):
            await asyncio.sleep(PAUSE)

    async def count_serving(self, config: str) -> int:
        found = await self.store.run(lambda tx: tx.find(ENDPOINT).items)
        return sum(one.body.serving is not None and one.body.serving.config_name == config for one in found)

    async def watch(self, seconds: float) -> list[float]:
        """How long each round of collecting took meanwhile, in seconds."""
        self.rounds.clear()
        await asyncio.sleep(seconds)
        return list(self.rounds)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.engine.stop()
        await self.store.close()

    async def _turns(self) -> None:
        while True:
            begun = time.monotonic()
            await self.loop.turn()
            self.rounds.append(time.monotonic() - begun)
            await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - begun)))

    async def _alarms(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await self.loop.judge_alarms()
            await asyncio.sleep(1.0)


@contextlib.asynccontextmanager
async def platform_with(count: int) -> AsyncIterator[ScalePlatform]:
    """A platform with so many endpoints, all in service."""
    with tempfile.TemporaryDirectory(prefix="tg-scale-") as folder:
        platform = ScalePlatform(Path(folder))
        try:
            await platform.create(count)
            await platform.settle()
            yield platform
        finally:
            await platform.close()
