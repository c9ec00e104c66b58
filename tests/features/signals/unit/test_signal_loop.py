"""The loop that reads signals, over a stand-in for the servers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.features.drift.unit.test_drift import endpoint
from tests.memory_metrics import MemoryMetrics
from tests.metric_alarm import metric_alarm
from tidegate.domain.alarm import Alarm, Signal
from tidegate.domain.errors import Transient, Unavailable
from tidegate.domain.metric import SIGNALS
from tidegate.features.signals.check import EXTENSION
from tidegate.features.signals.loop import SignalLoop
from tidegate.ports.store import Store, Tx
from tidegate.reconcile.guards import GuardedRollout
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.store import open_store

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
SIGNAL = Signal("http://prometheus", "lost")


def signal_alarm(name: str, query: str = "lost", period: int = 10) -> Alarm:
    dimensions = {"EndpointName": "fraud", "Signal": query}
    signal = replace(SIGNAL, query=query)
    changes = {"namespace": SIGNALS, "metric": "Signal", "dimensions": dimensions, "signal": signal}
    return metric_alarm(BEGAN, name=name, period=period, **changes)


@dataclass
class Servers:
    """What each query gives."""

    values: dict[str, float | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def read(self, signal: Signal, now: float) -> float:
        self.asked.append(signal.query)
        value = self.values.get(signal.query, 1.0)
        if isinstance(value, Exception):
            raise value
        return value


@dataclass
class Scene:
    store: Store
    servers: Servers = field(default_factory=Servers)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    guarded: list[GuardedRollout] = field(default_factory=list)
    present: datetime = BEGAN

    def __post_init__(self) -> None:
        self.loop = SignalLoop(self.store, self.metrics, self, lambda: self.guarded, self.servers.read)

    def now(self) -> datetime:
        return self.present

    async def turn(self, seconds: int = 0) -> None:
        """A turn, the readings that it began, and a turn that keeps what they found."""
        self.present = BEGAN + timedelta(seconds=seconds)
        await self.loop.turn()
        await self.loop.finish()
        await self.loop.turn()

    async def events(self) -> list[str]:
        lines = await self.store.run(lambda tx: tx.journal(kind=ENDPOINT.name, name="fraud", limit=100))
        return [event.message for line in lines for event in line.events]

    async def unread(self) -> list[dict[str, Any]]:
        found = await self.store.run(lambda tx: EXTENSION.find(tx, "fraud"))
        return EXTENSION.describe(found.get("fraud"), None, None)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    store = open_store(f"sqlite:///{tmp_path / 'signals.db'}")

    def fill(tx: Tx) -> None:
        tx.put(ENDPOINT, "fraud", endpoint(), expect=0, now=BEGAN)
        for alarm in (signal_alarm("a"), signal_alarm("b"), metric_alarm(BEGAN)):
            tx.put(ALARM, alarm.name, alarm, expect=0, now=BEGAN)

    await store.run(fill)
    made = Scene(store)
    yield made
    await made.loop.stop()
    await store.close()


async def test_each_signal_is_read_once_for_all_its_alarms_and_twice_in_each_period(scene: Scene) -> None:
    for second in range(20):
        await scene.turn(second)
    assert scene.servers.asked == ["lost"] * 4
    assert [(one.at, one.total) for one in scene.metrics.samples] == [
        (int(BEGAN.timestamp()) + second, 1.0) for second in (0, 5, 10, 15)
    ]
    assert await scene.unread() == [] and await scene.events() == []


async def test_what_cannot_be_read_has_no_datapoint_and_is_journaled_once(scene: Scene) -> None:
    scene.servers.values["lost"] = Transient("connection refused")
    for second in range(0, 60, 5):
        await scene.turn(second)
    assert scene.metrics.samples == []
    assert [one["alarm"] for one in await scene.unread()] == ["a", "b"]
    assert await scene.events() == [
        f'the signal of alarm "{name}" cannot be read, and has no data meanwhile: connection refused'
        for name in ("a", "b")
    ]
    scene.servers.values["lost"] = 3.0
    await scene.turn(65)
    assert await scene.unread() == []
    assert (await scene.events())[2:] == [f'the signal of alarm "{name}" is read again' for name in ("a", "b")]
    assert [one.total for one in scene.metrics.samples] == [3.0]


async def test_a_signal_that_comes_and_goes_does_not_fill_the_journal(scene: Scene) -> None:
    for second in range(0, 30, 5):
        scene.servers.values["lost"] = 1.0 if second % 10 else Transient("no answer")
        await scene.turn(second)
    assert 2 <= len(await scene.events()) <= 2 * 3


async def test_a_controller_that_restarts_tells_nothing_again(scene: Scene) -> None:
    scene.servers.values["lost"] = Transient("connection refused")
    await scene.turn()
    told = await scene.events()
    restarted = Scene(scene.store, scene.servers)
    await restarted.turn(60)
    assert await restarted.events() == told


async def test_guards_of_a_rollout_are_read_by_the_definition_that_it_began_with(scene: Scene) -> None:
    scene.guarded = [GuardedRollout("fraud", "r-1", (signal_alarm("a", "before", period=1),))]
    await scene.turn()
    await scene.turn(1)
    assert sorted(scene.servers.asked) == ["before", "before", "lost"]


async def test_signals_are_read_while_the_store_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.turn()

    class Away:
        async def newest(self) -> None:
            raise Unavailable("the database is away")

    scene.loop.store = Away()  # type: ignore[assignment]
    await scene.turn(10)
    assert len(scene.metrics.samples) == 2


async def test_signals_of_an_endpoint_that_is_gone_are_not_read(scene: Scene) -> None:
    await scene.store.run(lambda tx: tx.delete(ENDPOINT, "fraud", expect=None, now=BEGAN))
    await scene.turn()
    assert scene.servers.asked == []


async def test_a_reading_that_breaks_down_holds_up_no_other(scene: Scene) -> None:
    await scene.store.run(lambda tx: tx.put(ALARM, "c", signal_alarm("c", "c"), expect=0, now=BEGAN))
    scene.servers.values["lost"] = RuntimeError("a defect")
    await scene.turn()
    assert [one.metric.dimensions for one in scene.metrics.samples] == [
        (("EndpointName", "fraud"), ("Signal", "c"))
    ]
    assert (await scene.unread())[0]["reason"] == "the reading broke down: RuntimeError"
