"""The second hand: what was taken is written in the end, and alarms are judged whatever the clock and others do."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tidegate.adapters.store import open_store
from tidegate.model.alarm import Alarm, Comparison
from tidegate.model.errors import Unavailable
from tidegate.model.fleet import FleetId
from tidegate.model.metric import Collected, FleetSecond, Sample
from tidegate.ports.store import Kind
from tidegate.reconcile.alarms import evaluate_due, is_due
from tidegate.reconcile.watch import MOST_UNWRITTEN, Watch
from tidegate.service import alarms as use
from tidegate.service import publish
from tidegate.service.kinds import ALARM
from tidegate.testing.memory_metrics import MemoryMetrics
from tidegate.testing.memory_store import MemoryStore

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ALARM_OF_1 = Alarm("errors", "N", "M", {}, "Sum", 1, 1, 1, 0.5, Comparison.GREATER, configured_at=NOON)


@dataclass
class Away(MemoryMetrics):
    """A database that is away while ``away`` is set."""

    away: bool = False
    tries: list[int] = field(default_factory=list)

    async def put(self, samples: Sequence[Sample]) -> None:
        self.tries.append(len(samples))
        if self.away:
            raise Unavailable("the database is away")
        await super().put(samples)


@dataclass
class Ticking:
    at: datetime = NOON

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


async def second(now: int) -> Collected:
    return Collected([FleetSecond(FleetId("fraud", 1, "main"), "v1", now - 1, 1, 3)])


def test_what_was_taken_while_the_database_was_away_is_written_when_it_is_back() -> None:
    async def story() -> None:
        metrics = Away(away=True)
        watch = Watch(MemoryStore(), metrics, Ticking(), second, lambda endpoint: None)
        await watch.turn()
        await watch.turn()
        assert metrics.samples == []
        metrics.away = False
        await watch.turn()
        await watch.turn()
        start = int(NOON.timestamp())
        expected = [s for n in range(1, 5) for s in publish.samples((await second(start + n)).seconds)]
        assert metrics.samples == expected, "all of it, in order, once"

    asyncio.run(story())


def test_what_waits_to_be_written_is_bounded() -> None:
    async def story() -> None:
        metrics = Away(away=True)
        many = [replace((await second(0)).seconds[0], second=n) for n in range(MOST_UNWRITTEN // 4)]

        async def collect(now: int) -> Collected:
            return Collected(many)

        watch = Watch(MemoryStore(), metrics, Ticking(), collect, lambda endpoint: None)
        await watch.turn()
        await watch.turn()
        assert metrics.tries == [MOST_UNWRITTEN] * 2

    asyncio.run(story())


def test_a_clock_that_is_set_back_puts_no_alarm_to_sleep() -> None:
    hour = timedelta(hours=1)
    assert is_due(ALARM_OF_1, NOON + hour, NOON), "judged an hour ahead"
    assert is_due(ALARM_OF_1, None, NOON - hour), "defined an hour ahead"
    assert not is_due(ALARM_OF_1, NOON, NOON + timedelta(milliseconds=900))
    assert is_due(ALARM_OF_1, NOON, NOON + timedelta(seconds=1))


def test_an_alarm_that_cannot_be_read_blinds_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        store, metrics = open_store(f"sqlite:///{tmp_path / 'tidegate.db'}"), MemoryMetrics()
        broken = Kind(ALARM.name, object)
        await store.run(lambda tx: tx.put(broken, "bad", {"name": 1}, expect=0, now=NOON))
        await store.run(lambda tx: use.put(tx, ALARM_OF_1, NOON))
        at = int(NOON.timestamp())
        await metrics.put([Sample(use.series_of(ALARM_OF_1), at, 1, 9.0, 9.0, 9.0)])
        assert await evaluate_due(store, metrics, NOON + timedelta(seconds=1), {}) == ["errors"]
        await store.close()

    asyncio.run(story())
