"""Runners that share the shards of a job: what is lost, late or done twice by any of them shows in no output."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tidegate.domain.errors import Unavailable
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.shards import LISTING, JobOver, LeasedShard, NothingFree, ShardProgress
from tidegate.domain.transform import (
    InputObject,
    RequestLimits,
    SplitType,
    TransformInput,
    TransformJob,
    TransformOutput,
)
from tidegate.features.batch.runner import shard_runner
from tidegate.features.batch.runner.client import BatchAnswer, RecordError
from tidegate.features.batch.runner.job_storage import JobStorage
from tidegate.features.batch.runner.shard_runner import MAX_LOSSES, ShardRunner
from tidegate.features.batch.runner.worker_pool import WorkerPool
from tidegate.storage.files import ALONE, Claim
from tidegate.transform.splitting import Batch

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class MemoryBoard:
    """Shards of one job in memory. ``revoked``: numbers whose leases are lost at the next renewal."""

    items: dict[int, InputObject] = field(default_factory=dict)
    free: list[int] = field(default_factory=lambda: [LISTING])
    leased: dict[int, int] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    progress: dict[int, ShardProgress] = field(default_factory=dict)
    fences: Counter[int] = field(default_factory=Counter)
    losses: Counter[int] = field(default_factory=Counter)
    revoked: set[int] = field(default_factory=set)
    reason: str = ""
    outages: int = 0
    """Calls that fail from now on."""
    seconds: float = 0.3

    def _check(self) -> None:
        if self.outages:
            self.outages -= 1
            raise Unavailable("the database is away")

    async def next(self) -> LeasedShard | NothingFree | JobOver:
        self._check()
        if self.reason or not (self.free or self.leased):
            return JobOver()
        if not self.free:
            return NothingFree()
        number = self.free.pop(0)
        self.fences[number] += 1
        self.leased[number] = self.fences[number]
        return LeasedShard(number, self.fences[number], self.items.get(number), self.losses[number])

    async def write_listing(self, held: LeasedShard, items: Sequence[InputObject]) -> bool:
        self._check()
        self.items = dict(enumerate(items, 1))
        self.free += self.items
        del self.leased[LISTING]
        return True

    async def renew(self, held: Mapping[LeasedShard, ShardProgress]) -> set[LeasedShard]:
        self._check()
        lost = {shard for shard in held if shard.number in self.revoked}
        for shard in lost:
            self.revoked.discard(shard.number)
            del self.leased[shard.number]
            self.free.append(shard.number)
        return {shard for shard in held if self.leased.get(shard.number) == shard.fence}

    async def finish(self, held: LeasedShard, progress: ShardProgress, reason: str) -> bool:
        self._check()
        if self.leased.get(held.number) != held.fence:
            return False
        del self.leased[held.number]
        assert held.number not in self.ended
        self.ended[held.number], self.progress[held.number] = reason, progress
        return True

    async def fail_job(self, reason: str) -> None:
        self._check()
        self.reason = self.reason or reason


@dataclass
class Echo:
    """In place of the model: each line once more. ``gate`` is asked for each line, and may wait."""

    lines: Counter[str] = field(default_factory=Counter)
    gate: Callable[[str], Any] = lambda line: None

    def __call__(self, *_: object) -> "Echo":
        return self

    async def answer(self, batch: Batch) -> BatchAnswer:
        await asyncio.sleep(0)
        (line,) = batch.body.decode().splitlines()
        waits = self.gate(line)
        if waits is not None:
            await waits
        self.lines[line] += 1
        if line.startswith("bad"):
            raise RecordError(0, 0, "it is bad")
        return BatchAnswer(batch.end, batch.count, f"{line}\n".encode())


class NoPool:
    concurrency = 1

    async def execution_parameters(self) -> bytes:
        return b""

    def close(self) -> None: ...


@dataclass
class Storage(JobStorage):
    published: Counter[str] = field(default_factory=Counter)

    def publish(self, part: Path, uri: str, claim: Claim = ALONE) -> None:
        super().publish(part, uri, claim)
        self.published[uri.rpartition("/")[2]] += 1


@dataclass
class Scene:
    folder: Path
    echo: Echo = field(default_factory=Echo)
    board: MemoryBoard = field(default_factory=MemoryBoard)
    storage: Storage = field(default_factory=lambda: Storage(None, "", ""))

    def write(self, name: str, *lines: str) -> None:
        (self.folder / "in" / name).write_text("".join(f"{line}\n" for line in lines))

    def runner(self, name: str = "a", clock: Callable[[], float] = time.monotonic, **pace: Any) -> ShardRunner:
        job = TransformJob(
            "j",
            Model("m", (ContainerDefinition("i"),), NOW),
            TransformInput(f"{(self.folder / 'in').as_uri()}/", content_type="text/csv", split=SplitType.LINE),
            TransformOutput((self.folder / "out").as_uri(), by_line=True),
            NOW,
            pace=RequestLimits(single=True, **pace),
            instances=2,
        )
        pool = cast(WorkerPool, NoPool())
        return ShardRunner(job, False, self.folder / name, self.storage, self.board, pool, clock)

    def out(self, name: str) -> list[str]:
        return (self.folder / "out" / f"{name}.out").read_text().splitlines()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    (tmp_path / "in").mkdir()
    monkeypatch.setattr(shard_runner, "BatchClient", made.echo)
    monkeypatch.setattr(shard_runner, "IDLE", 0.01)
    return made


def rows(name: str, count: int = 5) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


async def test_two_runners_do_each_object_once(scene: Scene) -> None:
    for name in "abcdef":
        scene.write(f"{name}.csv", *rows(name))
    await asyncio.gather(scene.runner("first").run(None), scene.runner("second").run(None))
    assert set(scene.board.ended.values()) == {""} and len(scene.board.ended) == 6
    assert all(scene.out(f"{name}.csv") == rows(name) for name in "abcdef")
    assert set(scene.storage.published.values()) == {1} == set(scene.echo.lines.values())
    assert {one.records for one in scene.board.progress.values()} == {5}
    assert sum(one.bytes_done for one in scene.board.progress.values()) == 6 * 20
    assert not list((scene.folder / "first").iterdir()) + list((scene.folder / "second").iterdir())


async def test_a_shard_whose_lease_is_lost_is_left_and_another_runner_does_it_anew(scene: Scene) -> None:
    scene.write("a.csv", *rows("a"))
    stuck = asyncio.Event()

    def gate(line: str) -> Any:
        if line == "a 3" and not stuck.is_set():
            stuck.set()
            scene.board.revoked.add(1)
            return asyncio.Event().wait()
        return None

    scene.echo.gate = gate
    slow = asyncio.create_task(scene.runner("slow").run(None))
    await stuck.wait()
    await asyncio.gather(slow, scene.runner("other").run(None))
    assert scene.board.ended == {1: ""} and scene.board.fences[1] == 2
    assert scene.out("a.csv") == rows("a") and scene.storage.published == {"a.csv.out": 1}


async def test_a_runner_that_gets_its_own_lost_shard_again_ends_the_first_try_before_the_second(
    scene: Scene,
) -> None:
    """As after an outage of the database that was longer than the lease: two lanes, one part on the disk."""
    scene.write("a.csv", *rows("a", 40))
    tries = 0

    def gate(line: str) -> Any:
        nonlocal tries
        if line == "a 30" and not tries:
            tries += 1
            del scene.board.leased[1]
            scene.board.free.append(1)
            return asyncio.Event().wait()
        return None

    scene.echo.gate, scene.board.seconds = gate, 60.0
    async with asyncio.timeout(300):
        await scene.runner(concurrency=2).run(None)
    assert tries and scene.out("a.csv") == rows("a", 40)
    assert scene.board.ended == {1: ""} and scene.board.fences[1] == 2


async def test_an_output_waits_while_its_lease_is_in_doubt(scene: Scene) -> None:
    """As after a pause of the whole machine: until the database says that the lease is still there."""
    scene.write("a.csv", *rows("a"))
    shift = 0.0
    runner = scene.runner(clock=lambda: time.monotonic() + shift)
    waits: list[str] = []

    def gate(line: str) -> None:
        nonlocal shift
        shift = 100.0 if line == "a 4" else shift

    async def pause(seconds: float) -> None:
        waits.extend(runner.retry_wait.reasons.values())
        assert not (scene.folder / "out" / "a.csv.out").exists()
        await asyncio.sleep(0.02)

    scene.echo.gate, runner.retry_wait.sleep = gate, pause
    scene.board.seconds = 60.0
    keeping = asyncio.create_task(_renew_later(runner))
    await runner.run(None)
    await keeping
    assert waits and "the lease of the output has run out" in waits[0]
    assert scene.out("a.csv") == rows("a") and scene.board.ended == {1: ""}


async def _renew_later(runner: ShardRunner) -> None:
    """What the next renewal does."""
    while not runner.retry_wait.reasons:
        await asyncio.sleep(0.01)
    for held in runner._held.values():
        held.until = float("inf")


async def test_a_runner_that_starts_again_goes_on_from_its_checkpoint(scene: Scene) -> None:
    scene.write("a.csv", *rows("a"))
    stuck = asyncio.Event()

    def gate(line: str) -> Any:
        if line == "a 3" and not stuck.is_set():
            stuck.set()
            return asyncio.Event().wait()
        return None

    scene.echo.gate = gate
    first = asyncio.create_task(scene.runner().run(None))
    await stuck.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    scene.board.free, scene.board.leased = [1], {}  # what it gives back when it starts again
    await scene.runner().run(None)
    assert scene.out("a.csv") == rows("a")
    assert scene.echo.lines["a 0"] == 1, "what was done is not done again"


async def test_an_output_that_was_published_before_a_death_is_only_recorded(scene: Scene) -> None:
    scene.write("a.csv", *rows("a"))
    published = asyncio.Event()

    async def finish(held: LeasedShard, progress: ShardProgress, reason: str) -> bool:
        published.set()
        await asyncio.Event().wait()
        return True

    runner = scene.runner()
    scene.board.finish = finish  # type: ignore[method-assign]
    first = asyncio.create_task(runner.run(None))
    await published.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    del scene.board.finish
    scene.board.free, scene.board.leased = [1], {}
    await scene.runner().run(None)
    assert scene.storage.published == {"a.csv.out": 1} and set(scene.echo.lines.values()) == {1}
    assert scene.board.progress[1].records == 5


async def test_an_object_that_fails_has_its_reason_and_the_others_go_on(scene: Scene) -> None:
    scene.write("a.csv", "good", "bad")
    scene.write("b.csv", *rows("b"))
    await scene.runner().run(None)
    assert scene.board.ended == {1: "record 2: it is bad", 2: ""}
    assert scene.board.reason == "" and scene.out("b.csv") == rows("b")


async def test_a_database_that_is_away_for_a_while_costs_time_alone(scene: Scene) -> None:
    for name in "abc":
        scene.write(f"{name}.csv", *rows(name))

    def gate(line: str) -> None:
        scene.board.outages = 4 if line.endswith("2") else scene.board.outages

    scene.echo.gate = gate
    scene.board.outages = 3
    await scene.runner().run(None)
    assert set(scene.board.ended.values()) == {""} and set(scene.echo.lines.values()) == {1}


async def test_an_input_that_cannot_be_listed_ends_the_job(scene: Scene) -> None:
    await scene.runner().run(None)
    assert scene.board.reason.endswith("/in/: there is no object")


async def test_the_deadline_ends_the_job_for_all_runners(scene: Scene) -> None:
    scene.write("a.csv", *rows("a"))
    scene.echo.gate = lambda line: asyncio.Event().wait()
    await scene.runner(deadline=0.05).run(0.05)
    assert scene.board.reason == "its deadline of 0.05 seconds has passed"
    assert await scene.board.next() == JobOver() and not scene.board.ended


@pytest.mark.parametrize("number", [LISTING, 1])
async def test_what_runners_die_of_again_and_again_fails_and_the_rest_goes_on(scene: Scene, number: int) -> None:
    for name in "ab":
        scene.write(f"{name}.csv", *rows(name))
    scene.board.losses[number] = MAX_LOSSES
    await scene.runner().run(None)
    told = "10 runners died while they worked on it"
    if number == LISTING:
        assert scene.board.reason.endswith(f"/in/: {told}") and not scene.board.ended
    else:
        assert scene.board.ended == {1: told, 2: ""} and scene.echo.lines["a 0"] == 0
