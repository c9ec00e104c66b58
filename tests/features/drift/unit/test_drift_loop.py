"""The loop of drift schedules over a stand-in analyst."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from tests.features.drift.unit.test_drift import DRIFT, NO_DRIFT, SCHEDULE, at, endpoint
from tests.memory_metrics import MemoryMetrics
from tidegate.domain.drift import DriftOutcome, DriftTask, DriftVerdict
from tidegate.domain.errors import Transient, Unavailable
from tidegate.features.drift.loop import CaptureAccess, DriftSchedules
from tidegate.features.drift.service import set_schedule, show_drift
from tidegate.ports.store import Store, Tx
from tidegate.service.record_kinds import ENDPOINT
from tidegate.store import open_store


@dataclass
class Clock:
    present: datetime

    def now(self) -> datetime:
        return self.present


@dataclass
class Analyst:
    outcome: DriftOutcome | Exception
    hold: asyncio.Event | None = None
    tasks: list[DriftTask] = field(default_factory=list)

    async def analyse(self, task: DriftTask) -> DriftOutcome:
        self.tasks.append(task)
        if self.hold is not None:
            await self.hold.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return replace(self.outcome, start=task.start, end=task.end)


@dataclass
class Loop:
    store: Store
    analyst: Analyst
    clock: Clock
    metrics: MemoryMetrics
    drift: DriftSchedules

    async def turn(self, minutes: float) -> None:
        self.clock.present = at(minutes)
        await self.drift.turn()

    async def verdict(self) -> Any:
        last = (await self.store.run(lambda tx: show_drift(tx, "fraud")))["last"]
        return last and (last["verdict"], last["end"])

    def published(self, name: str) -> list[float]:
        return [one.high for one in self.metrics.samples if one.metric.name == name]


async def loop_of(folder: Any, outcome: DriftOutcome | Exception, hold: asyncio.Event | None = None) -> Loop:
    store = open_store(f"sqlite:///{folder / 'drift.db'}")

    def fill(tx: Tx) -> None:
        tx.put(ENDPOINT, "fraud", endpoint(), expect=0, now=at(0))
        set_schedule(tx, SCHEDULE, at(0))

    await store.run(fill)
    analyst, clock, metrics = Analyst(outcome, hold), Clock(at(0)), MemoryMetrics()
    access = CaptureAccess(60, "http://s3", "us-east-1", ("/data",))
    return Loop(store, analyst, clock, metrics, DriftSchedules(store, metrics, clock, analyst, access))


async def test_each_look_that_is_due_is_kept_and_published(tmp_path: Any) -> None:
    loop = await loop_of(tmp_path, NO_DRIFT)
    try:
        for minutes in (0.1, 0.2, 1.1):
            await loop.turn(minutes)
            await loop.drift.finish()
        assert [(one.start, one.end) for one in loop.analyst.tasks] == [(at(-5), at(0)), (at(-4), at(1))]
        task = loop.analyst.tasks[0]
        assert (task.addresses, task.span) == (("s3://captures/a/fraud/main/",), 60)
        assert (task.s3_endpoint, task.region, task.file_roots) == ("http://s3", "us-east-1", ("/data",))
        loop.analyst.outcome = DRIFT
        await loop.turn(2.1)
        await loop.drift.finish()
        assert await loop.verdict() == ("drift", "2026-03-01T13:02:00Z")
        assert (loop.published("Drift"), loop.published("Unknown")) == ([0, 0, 1], [0, 0, 0])
    finally:
        await loop.store.close()


@pytest.mark.parametrize("error", [Transient("the look failed"), Unavailable("the look failed")])
async def test_a_look_that_fails_is_unknown(tmp_path: Any, error: Exception) -> None:
    loop = await loop_of(tmp_path, error)
    try:
        await loop.turn(0.1)
        await loop.drift.finish()
        shown = await loop.store.run(lambda tx: show_drift(tx, "fraud"))
        assert (shown["last"]["verdict"], shown["last"]["reason"]) == (DriftVerdict.UNKNOWN, "the look failed")
        assert (loop.published("Unknown"), loop.published("Drift")) == ([1], [])
    finally:
        await loop.store.close()


async def test_a_look_that_breaks_down_is_unknown_and_not_what_the_last_one_found(tmp_path: Any) -> None:
    loop = await loop_of(tmp_path, NO_DRIFT)
    try:
        await loop.turn(0.1)
        await loop.drift.finish()
        loop.analyst.outcome = RuntimeError("a bug")
        for minutes in (1.1, 1.2):
            await loop.turn(minutes)
            await loop.drift.finish()
        shown = await loop.store.run(lambda tx: show_drift(tx, "fraud"))
        assert (shown["last"]["verdict"], shown["last"]["reason"]) == (
            DriftVerdict.UNKNOWN,
            "the analysis broke down: RuntimeError",
        )
        assert loop.published("Unknown") == [0, 1] and len(loop.analyst.tasks) == 2
        loop.analyst.outcome = NO_DRIFT
        await loop.turn(2.1)
        await loop.drift.finish()
        assert await loop.verdict() == ("no_drift", "2026-03-01T13:02:00Z")
    finally:
        await loop.store.close()


async def test_a_schedule_has_one_look_at_a_time_and_a_stop_ends_it(tmp_path: Any) -> None:
    hold = asyncio.Event()
    loop = await loop_of(tmp_path, NO_DRIFT, hold)
    try:
        await loop.turn(0.1)
        await asyncio.sleep(0)
        await loop.turn(3.1)
        assert len(loop.analyst.tasks) == 1
        hold.set()
        await loop.drift.finish()
        await loop.turn(3.2)
        await loop.drift.finish()
        assert [one.end for one in loop.analyst.tasks] == [at(0), at(3)]
        loop.analyst.hold = asyncio.Event()
        await loop.turn(4.1)
        await asyncio.sleep(0)
        await loop.drift.stop()
        assert await loop.verdict() == ("no_drift", "2026-03-01T13:03:00Z")
    finally:
        await loop.store.close()
