"""The second hand: what was taken is written in the end, and alarms are judged whatever the clock and others do."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore
from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator
from tidegate.domain.errors import Unavailable
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import SAGEMAKER, CollectionRound, Coverage, FleetSecond, Sample
from tidegate.monitoring.alarm_data import series_of
from tidegate.monitoring.alarm_evaluation import is_due
from tidegate.ports.store import Kind, Tx
from tidegate.reconcile.alarm_loop import evaluate_due
from tidegate.reconcile.guards import GuardedRollout, Guards
from tidegate.reconcile.metrics_loop import MetricsLoop
from tidegate.service import alarms as use
from tidegate.service.record_kinds import ALARM
from tidegate.store import open_store

R = TypeVar("R")

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ALARM_OF_1 = Alarm("errors", "N", "M", {}, "Sum", 1, 1, 1, 0.5, ComparisonOperator.GREATER, configured_at=NOON)


FLEET = FleetId("fraud", 2, "main")
GUARD = replace(
    ALARM_OF_1,
    namespace=SAGEMAKER,
    metric="Invocation5XXErrors",
    dimensions={"EndpointName": "fraud", "VariantName": "main"},
)


@dataclass
class Away(MemoryMetrics):
    """What is put can be read at once; writing fails, or never ends."""

    hangs: bool = False

    async def put(self, samples: Sequence[Sample]) -> None:
        await super().put(samples)
        if self.hangs:
            await asyncio.Event().wait()
        raise Unavailable("the database is away")


@dataclass
class Ticking:
    at: datetime = NOON

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


class Gone(MemoryStore):
    async def run(self, work: Callable[[Tx], R]) -> R:
        raise Unavailable("the database is away")


async def failing(now: int) -> CollectionRound:
    """Three requests in the last second, and all of them failed."""
    second = FleetSecond(FLEET, "v2", now - 1, 1, 3, errors_5xx=3)
    return CollectionRound([second], {"fraud": Coverage(now - 60, now)})


def watch_of(
    collect: Callable[[int], Awaitable[CollectionRound]], metrics: MemoryMetrics, *guarded: GuardedRollout
) -> MetricsLoop:
    return MetricsLoop(Gone(), metrics, Ticking(), collect, lambda name: None, Guards(metrics), lambda: guarded)


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
async def test_guards_are_judged_while_nothing_can_be_written(hangs: bool) -> None:
    guarded = GuardedRollout("fraud", "r1", (GUARD,))
    watch = watch_of(failing, Away(hangs=hangs), guarded)
    await watch.turn()
    await watch.judge_alarms()
    assert watch.guards.states(guarded) == {"errors": AlarmState.ALARM}
    evidence = watch.guards.evidence(guarded)
    assert evidence is not None and evidence.judged_at == evidence.through == NOON + timedelta(seconds=1)


async def test_what_cannot_be_collected_or_published_leaves_guards_unjudged_not_the_loop_dead() -> None:
    broken = True

    async def collect(now: int) -> CollectionRound:
        if broken:
            raise RuntimeError("a fault of the program")
        return await failing(now)

    guarded = GuardedRollout("fraud", "r1", (GUARD,))
    watch = watch_of(collect, MemoryMetrics(), guarded)
    await watch.turn()
    assert watch.guards.evidence(guarded) is None
    broken = False
    await watch.turn()
    assert watch.guards.states(guarded) == {"errors": AlarmState.ALARM}


def test_a_clock_that_is_set_back_puts_no_alarm_to_sleep() -> None:
    hour = timedelta(hours=1)
    assert is_due(ALARM_OF_1, NOON + hour, NOON), "judged an hour ahead"
    assert is_due(ALARM_OF_1, None, NOON - hour), "defined an hour ahead"
    assert not is_due(ALARM_OF_1, NOON, NOON + timedelta(milliseconds=900))
    assert is_due(ALARM_OF_1, NOON, NOON + timedelta(seconds=1))


async def test_an_alarm_that_cannot_be_read_blinds_no_other(tmp_path: Path) -> None:
    store, metrics = open_store(f"sqlite:///{tmp_path / 'tidegate.db'}"), MemoryMetrics()
    broken = Kind(ALARM.name, object)
    await store.run(lambda tx: tx.put(broken, "bad", {"name": 1}, expect=0, now=NOON))
    await store.run(lambda tx: use.put(tx, ALARM_OF_1, NOON))
    at = int(NOON.timestamp())
    await metrics.put([Sample(series_of(ALARM_OF_1), at, 1, 9.0, 9.0, 9.0)])
    assert await evaluate_due(store, metrics, NOON + timedelta(seconds=1), {}) == ["errors"]
    await store.close()


async def test_the_state_of_a_guard_is_on_record_before_the_engine_looks() -> None:
    store, metrics = MemoryStore(), MemoryMetrics()
    await store.run(lambda tx: use.put(tx, GUARD, NOON))
    guarded, shown = GuardedRollout("fraud", "r1", (GUARD,)), list[AlarmState]()

    def kick(name: str) -> None:
        shown.append(store._tx.records[ALARM.name, "errors"].body.state)

    watch = MetricsLoop(store, metrics, Ticking(), failing, kick, Guards(metrics), lambda: [guarded])
    await watch.turn()
    assert shown == [AlarmState.ALARM] == list(watch.guards.states(guarded).values())


async def test_states_that_could_not_be_saved_are_saved_when_the_store_is_back() -> None:
    class Coming(MemoryStore):
        away = True

        async def run(self, work: Callable[[Tx], R]) -> R:
            if self.away:
                raise Unavailable("the database is away")
            return await super().run(work)

    store, metrics = Coming(), MemoryMetrics()
    store.away = False
    await store.run(lambda tx: use.put(tx, GUARD, NOON))
    store.away = True
    guarded = GuardedRollout("fraud", "r1", (GUARD,))
    watch = MetricsLoop(store, metrics, Ticking(), failing, lambda name: None, Guards(metrics), lambda: [guarded])
    await watch.turn()
    store.away = False
    await watch.turn()
    saved = await store.run(lambda tx: tx.get(ALARM, "errors"))
    assert saved is not None and saved.body.state is AlarmState.ALARM


async def test_messages_of_failed_requests_are_known_before_guards_are_judged() -> None:
    async def collect(now: int) -> CollectionRound:
        other = FleetId("loan", 1, "main")
        return replace(await failing(now), failures={FLEET: ("500 no income",), other: ("500 no age",)})

    guarded = GuardedRollout("fraud", "r1", (GUARD,))
    watch = watch_of(collect, MemoryMetrics(), guarded)
    await watch.turn()
    assert watch.guards.failures == {FLEET: ("500 no income",)}, "of what is being rolled out"
