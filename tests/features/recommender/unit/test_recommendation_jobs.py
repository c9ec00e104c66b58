"""The engine of recommendation jobs over stand-in processes: one at a time, never stuck, nothing left."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tidegate.domain.recommendation import (
    ConfigurationTrial,
    RecommendationJob,
    RecommendationStatus,
    RecommendedInstance,
)
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.features.recommender import service as use
from tidegate.features.recommender.loop import MOST_STARTS, Recommendations, decide
from tidegate.features.recommender.service import RECOMMENDATION
from tidegate.ports.store import Kind, Store, Tx
from tidegate.ports.target import RecommenderState
from tidegate.store import open_store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = Model("m", (ContainerDefinition("tidegate/xgboost"),), NOW)
ASLEEP = RecommenderState(False)
FOUND = (RecommendedInstance("ml.c5.large", 0.1, 600, 0.01, 50.0, 20.0, {}),)


def job(name: str = "a", seconds: int = 0) -> RecommendationJob:
    return RecommendationJob(name, MODEL, "s3://b/k", NOW.replace(second=seconds))


class Clock:
    def now(self) -> datetime:
        return NOW


@dataclass
class Processes:
    """What runs, by name; ``left`` are those with files."""

    seen: dict[str, RecommenderState] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    dies: bool = False

    def kept(self) -> tuple[str, ...]:
        return tuple(sorted(self.left))

    async def start(self, job: RecommendationJob, file: bytes) -> None:
        self.started.append(job.name)
        self.left.add(job.name)
        self.seen[job.name] = RecommenderState(not self.dies, said="out of memory")

    async def look(self, name: str) -> RecommenderState:
        return self.seen.get(name, ASLEEP)

    def stop(self, name: str) -> None:
        if self.seen.get(name, ASLEEP).alive:
            self.stopped.append(name)

    async def discard(self, name: str) -> None:
        self.seen.pop(name, None)
        self.left.discard(name)

    async def end(self, drain: bool) -> None: ...


def _put(tx: Tx, job: RecommendationJob) -> None:
    tx.put(RECOMMENDATION, job.name, job, expect=0, now=job.created_at)


async def played(folder: Path, play: Callable[[Recommendations, Processes, Store], Any]) -> None:
    store = open_store(f"sqlite:///{folder / 'jobs.db'}")
    processes = Processes()
    try:
        for each in (job("b", 1), job("a", 0)):
            await store.run(partial(_put, job=each))
        await play(Recommendations(store, processes, Clock(), lambda: None, lambda job: b"{}"), processes, store)
    finally:
        await store.close()


async def status(store: Store, name: str) -> RecommendationStatus:
    return (await store.run(lambda tx: use.get(tx, name))).body.status


async def test_one_at_a_time_the_oldest_first(tmp_path: Path) -> None:
    async def play(engine: Recommendations, processes: Processes, store: Store) -> None:
        for _ in range(3):
            await engine.look()
        assert processes.started == ["a"]
        assert await status(store, "a") is RecommendationStatus.IN_PROGRESS
        assert await status(store, "b") is RecommendationStatus.PENDING
        processes.seen["a"] = RecommenderState(False, reason="", found=FOUND)
        await engine.look()
        assert await status(store, "a") is RecommendationStatus.COMPLETED
        assert processes.left == set()
        await engine.look()
        assert processes.started == ["a", "b"]

    await played(tmp_path, play)


async def test_a_process_that_dies_again_and_again_fails_its_job(tmp_path: Path) -> None:
    async def play(engine: Recommendations, processes: Processes, store: Store) -> None:
        processes.dies = True
        for _ in range(MOST_STARTS + 1):
            await engine.look()
        assert processes.started == ["a"] * MOST_STARTS
        body = (await store.run(lambda tx: use.get(tx, "a"))).body
        assert body.outcome is RecommendationStatus.FAILED
        assert body.reason.endswith("the last it said: out of memory")
        assert "a" not in processes.left

    await played(tmp_path, play)


async def test_stopping_ends_the_process_first(tmp_path: Path) -> None:
    async def play(engine: Recommendations, processes: Processes, store: Store) -> None:
        await engine.look()
        await store.run(lambda tx: use.stop(tx, "a", NOW))
        await store.run(lambda tx: use.stop(tx, "b", NOW))
        await engine.look()
        assert processes.stopped == ["a"]
        assert await status(store, "a") is RecommendationStatus.STOPPING
        assert await status(store, "b") is RecommendationStatus.STOPPED
        processes.seen["a"] = ASLEEP
        await engine.look()
        assert await status(store, "a") is RecommendationStatus.STOPPED
        assert processes.left == set()

    await played(tmp_path, play)


async def test_what_an_earlier_controller_left_is_cleared_before_anything_starts(tmp_path: Path) -> None:
    async def play(engine: Recommendations, processes: Processes, store: Store) -> None:
        processes.left, processes.seen = {"old"}, {"old": RecommenderState(True)}
        await engine.look()
        assert (processes.stopped, processes.started) == (["old"], [])
        processes.seen = {}
        await engine.look()
        assert processes.left == set()
        await engine.look()
        assert processes.started == ["a"]

    await played(tmp_path, play)


@pytest.mark.parametrize(
    ("stopping", "reason", "outcome"),
    [
        (False, "", RecommendationStatus.COMPLETED),
        (True, "", RecommendationStatus.COMPLETED),
        (False, "no price", RecommendationStatus.FAILED),
        (True, "cut off", RecommendationStatus.STOPPED),
    ],
)
def test_how_a_job_ends(stopping: bool, reason: str, outcome: RecommendationStatus) -> None:
    going = replace(job(), started_at=NOW, stopping=stopping)
    steps = (ConfigurationTrial({}, 1, 10.0, 0.1),)
    after = decide(going, RecommenderState(False, steps, reason, FOUND), 1, False, NOW)
    assert (after.status, after.ended_at, after.steps) == (outcome, NOW, steps)


async def test_the_process_of_a_job_whose_record_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    async def play(engine: Recommendations, processes: Processes, store: Store) -> None:
        raw = Kind(RECOMMENDATION.name, object)
        await store.run(lambda tx: tx.put(raw, "strange", "what a later version wrote", expect=0, now=NOW))
        processes.left |= {"strange", "gone"}
        processes.seen["strange"] = RecommenderState(True)
        await engine.look()
        await engine.look()
        assert processes.left == {"strange", "a"} and processes.stopped == []

    await played(tmp_path, play)
