"""Replays of labelled rows beside rollouts: begun once, kept, and never lost for good."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from tests.memory_store import MemoryStore
from tests.samples import version
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Unavailable, UnreadableRecord
from tidegate.domain.evidence import EvidenceConfig
from tidegate.domain.finding import Finding
from tidegate.domain.history import History, HistoryEntry
from tidegate.domain.replay import ReplayConfig, ReplayJob, ReplayRecord, ReplayResult
from tidegate.domain.rollout import DeploymentConfig
from tidegate.features.evidence import replay_loop as replays
from tidegate.features.evidence.replay_loop import Replays
from tidegate.features.evidence.replay_service import find_replay
from tidegate.ports.store import Tx
from tidegate.reconcile.rollout_observers import ComparedVersions
from tidegate.service.record_kinds import ENDPOINT, HISTORY

R = TypeVar("R")
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
REPLAY = ReplayConfig("file:///rows.csv", "fraud")
WANTED = ComparedVersions(
    "fraud", "r2", (1, "v1"), (2, "v2"), ("AllTraffic",), EvidenceConfig(replay=REPLAY), 0, NOON
)
GOOD = {"AllTraffic": ReplayResult(Finding.PASS, "fine")}


@dataclass
class StillClock:
    """Shows what it is set to."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment


def entry(generation: int, digest: str | None) -> HistoryEntry:
    one = replace(version(f"v{generation}"), generation=generation)
    kept: dict[str, tuple[str, ...]] = {} if digest is None else {"AllTraffic": (digest,)}
    return HistoryEntry(generation, f"r{generation}", one, DeploymentConfig(), "ann", NOON, "", artifacts=kept)


class Shaky(MemoryStore):
    away = False

    async def run(self, work: Callable[[Tx], R]) -> R:
        if self.away:
            raise Unavailable("the database is away")
        return await super().run(work)


@dataclass
class Scene:
    store: Shaky = field(default_factory=Shaky)
    jobs: list[ReplayJob] = field(default_factory=list)
    kicked: list[str] = field(default_factory=list)
    answer: Mapping[str, ReplayResult] | Exception = field(default_factory=lambda: GOOD)
    replays: Replays = field(init=False)

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Another controller."""
        self.replays = Replays(self.store, StillClock(NOON), self.run, self.kicked.append, "/artifacts", None)

    async def run(self, job: ReplayJob) -> Mapping[str, ReplayResult]:
        self.jobs.append(job)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def keep(self, *digests: str | None) -> None:
        entries = tuple(entry(place, digest) for place, digest in enumerate(digests, 1))

        def work(tx: Tx) -> None:
            tx.put(ENDPOINT, "fraud", Endpoint("fraud", NOON, NOON), expect=None, now=NOON)
            tx.put(HISTORY, "fraud", History(entries), expect=None, now=NOON)

        await self.store.run(work)

    async def settle(self, wanted: ComparedVersions = WANTED) -> Mapping[str, ReplayResult] | None:
        await self.replays.turn([wanted])
        for _ in range(50):
            await asyncio.sleep(0)
        return self.replays.results(wanted.rollout)

    async def kept(self) -> ReplayRecord | None:
        return await self.store.run(lambda tx: find_replay(tx, "fraud"))


async def test_both_versions_are_replayed_by_the_data_that_is_kept_and_the_result_is_kept() -> None:
    scene = Scene()
    await scene.keep("one", "two")
    assert await scene.settle() == GOOD
    assert scene.kicked == ["fraud"]
    [(name, old, new)] = scene.jobs[0].variants
    assert (name, old.containers[0].artifact, new.containers[0].artifact) == ("AllTraffic", "one", "two")
    record = await scene.kept()
    assert record is not None and (record.rollout, record.results) == ("r2", GOOD)
    await scene.replays.stop()


async def test_it_waits_until_the_data_of_both_versions_is_kept(monkeypatch: object) -> None:
    scene = Scene()
    await scene.keep("one", None)
    assert await scene.settle() is None and not scene.jobs
    await scene.replays.stop()


async def test_another_controller_finds_the_result_and_does_not_replay_again() -> None:
    scene = Scene()
    await scene.keep("one", "two")
    await scene.settle()
    await scene.replays.stop()
    scene.renew()
    assert await scene.settle() == GOOD
    assert len(scene.jobs) == 1
    assert await scene.settle(replace(WANTED, rollout="r3")) == GOOD, "another rollout is replayed anew"
    assert len(scene.jobs) == 2
    await scene.replays.stop()


async def test_a_result_that_cannot_be_read_is_found_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of an earlier rollout must not hold up each later one."""
    scene = Scene()
    await scene.keep("one", "two")

    def find(tx: Tx, endpoint: str) -> ReplayRecord | None:
        raise UnreadableRecord("of a later version")

    monkeypatch.setattr(replays, "find_replay", find)
    assert await scene.settle() == GOOD
    kept = await scene.kept()
    assert kept is not None and kept.rollout == "r2"
    await scene.replays.stop()


async def test_what_goes_wrong_is_no_data_with_its_reason() -> None:
    for answer, reason in (
        (Unavailable("it fell over"), "it fell over"),
        (ValueError("odd"), "odd"),
        ({}, "did not say what was found"),
        ({"other": ReplayResult(Finding.PASS, "")}, "did not say what was found"),
    ):
        scene = Scene(answer=answer)
        await scene.keep("one", "two")
        found = await scene.settle()
        assert found is not None
        assert found["AllTraffic"].finding is Finding.NO_DATA and reason in found["AllTraffic"].reason
        await scene.replays.stop()


async def test_nothing_follows_from_a_result_that_is_not_kept() -> None:
    scene = Scene()
    await scene.keep("one", "two")

    async def run(job: ReplayJob) -> Mapping[str, ReplayResult]:
        scene.store.away = True
        return GOOD

    scene.replays.run = run
    assert await scene.settle() is None
    await scene.replays.stop()


async def test_a_rollout_that_ended_is_forgotten_and_one_without_a_replay_is_left_alone() -> None:
    scene = Scene()
    await scene.keep("one", "two")
    await scene.settle()
    await scene.replays.turn([])
    assert scene.replays.results("r2") is None
    assert await scene.settle(replace(WANTED, rollout="r9", config=EvidenceConfig())) is None
    assert await scene.settle(replace(WANTED, rollout="r8", stage=1)) is None, "it has traffic already"
    assert len(scene.jobs) == 1
    assert replays.PATIENCE > 600
    await scene.replays.stop()


async def test_replays_wait_for_each_other() -> None:
    scene, running, ends = Scene(), [], asyncio.Event()
    await scene.keep("one", "two")

    async def run(job: ReplayJob) -> Mapping[str, ReplayResult]:
        running.append(job)
        await ends.wait()
        return GOOD

    scene.replays.run = run
    wanted = [replace(WANTED, rollout=f"r{number}") for number in range(30)]
    await scene.replays.turn(wanted)
    for _ in range(50):
        await asyncio.sleep(0)
    assert 0 < len(running) <= 3
    ends.set()
    for _ in range(500):
        await asyncio.sleep(0)
    assert len(running) == 30 and all(scene.replays.results(one.rollout) == GOOD for one in wanted)
    await scene.replays.stop()
