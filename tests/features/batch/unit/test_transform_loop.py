"""The engine of transform jobs over stand-in runners: kills from outside fail no job, and what failed can go on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tidegate.domain.errors import Conflict, NotFound, TargetRefused, Transient
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import FleetStatus
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.transform import (
    JobStatus,
    RequestLimits,
    TransformInput,
    TransformJob,
    TransformOutput,
    TransformProgress,
)
from tidegate.features.batch import service as use
from tidegate.features.batch.incidents import PATIENCE
from tidegate.features.batch.loop import Transforms
from tidegate.ports.runners import Describe, RunnerState
from tidegate.ports.store import Kind, Store
from tidegate.service.record_kinds import TRANSFORM
from tidegate.store import open_store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = TransformJob(
    "j",
    Model("m", (ContainerDefinition("i"),), NOW),
    TransformInput("file:///in/"),
    TransformOutput("file:///out"),
    NOW,
)


@dataclass
class Clock:
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@dataclass
class Fleets:
    failure: str = ""
    there: set[FleetId] = field(default_factory=set)

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        self.there.add(fleet.id)

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        self.there.discard(fleet)

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        return FleetStatus(fleet, 1, 0, failure=self.failure or None) if fleet in self.there else None


@dataclass
class Runners:
    """``kill`` ends the runner from outside."""

    alive: bool = False
    done: TransformProgress = field(default_factory=TransformProgress)
    result: tuple[int, str] | None = None
    starts: list[datetime] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    refuse: str = ""
    never: str = ""
    clock: Clock = field(default_factory=Clock)

    async def start(self, job: TransformJob, fleet: FleetSpec, describe: Describe) -> None:
        if self.refuse:
            raise Transient(self.refuse)
        if self.never:
            raise TargetRefused(self.never)
        self.alive = True
        self.starts.append(self.clock.at)

    async def look(self, job: TransformJob) -> RunnerState:
        done = self.result is not None and self.result[0] >= job.resumed
        return RunnerState(self.alive, self.done, self.result[1] if self.result and done else None)

    def stop(self, name: str) -> None:
        self.alive = False

    async def discard(self, name: str) -> None:
        self.calls.append("discard")

    async def keep(self, name: str) -> None:
        self.calls.append("keep")

    async def prune(self, active: Any) -> None:
        self.calls.append(f"prune all but {sorted(active)}")

    def progress(self, name: str) -> TransformProgress:
        return self.done

    async def end(self, drain: bool) -> None: ...


@dataclass
class Scene:
    engine: Transforms
    store: Store
    clock: Clock
    fleets: Fleets
    runners: Runners

    async def job(self) -> TransformJob:
        return (await self.store.run(lambda tx: use.get(tx, "j"))).body

    async def turn(self, seconds: float = 0.25) -> TransformJob:
        self.clock.at += timedelta(seconds=seconds)
        await self.engine.tick("j")
        return await self.job()

    async def killed_for(self, seconds: float, every: float = 0.25) -> TransformJob:
        """Whatever starts is killed at once."""
        until = self.clock.at + timedelta(seconds=seconds)
        while self.clock.at < until:
            job = await self.turn(every)
            self.runners.alive = False
            if job.outcome is not None:
                return job
        return await self.job()

    async def change(self, how: Callable[..., None]) -> None:
        await self.store.run(lambda tx: how(tx, "j", self.clock.at))


async def played(folder: Path, play: Callable[[Scene], Any], job: TransformJob = JOB) -> None:
    store, clock = open_store(f"sqlite:///{folder / 'jobs.db'}"), Clock()
    fleets, runners = Fleets(), Runners(clock=clock)
    try:
        await store.run(lambda tx: tx.put(TRANSFORM, "j", job, expect=0, now=NOW))
        engine = Transforms(store, fleets, runners, clock, lambda: None, lambda job, fleet, replicas: b"{}")
        await play(Scene(engine, store, clock, fleets, runners))
    finally:
        await store.close()


async def test_a_runner_that_is_killed_again_and_again_fails_no_job(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        job = await scene.killed_for(600)
        assert job.status is JobStatus.IN_PROGRESS
        assert len(scene.runners.starts) > 20, "it is started again"
        gaps = [late - early for early, late in zip(scene.runners.starts, scene.runners.starts[1:], strict=False)]
        assert gaps == sorted(gaps) and gaps[-1] >= timedelta(seconds=30), "less and less often"
        scene.runners.done = TransformProgress(records=5)
        await scene.turn(60)
        scene.runners.result, scene.runners.alive = (0, ""), False
        assert (await scene.turn()).status is JobStatus.COMPLETED
        assert scene.runners.calls == ["discard"]

    await played(tmp_path, play)


async def test_a_clock_that_is_set_back_keeps_no_job_without_its_runner(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.turn()
        scene.runners.alive = False
        await scene.turn(-3_600)
        assert len(scene.runners.starts) == 2

    await played(tmp_path, play)


async def test_kills_for_an_hour_without_any_progress_end_it(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        job = await scene.killed_for(2 * PATIENCE, every=5)
        assert job.status is JobStatus.FAILED
        assert "its runner ended" in job.reason
        assert scene.clock.at - NOW >= timedelta(seconds=PATIENCE)

    await played(tmp_path, play)


async def test_progress_begins_the_count_anew(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        for records in range(10):
            job = await scene.killed_for(PATIENCE / 2, every=20)
            assert job.outcome is None
            scene.runners.done = TransformProgress(records=records + 1, waiting=f"{records}")
        scene.runners.done = replace(scene.runners.done, waiting="something else")
        assert (await scene.killed_for(2 * PATIENCE, every=20)).status is JobStatus.FAILED

    await played(tmp_path, play)


async def test_a_deadline_bounds_the_kills(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        assert (await scene.killed_for(300)).status is JobStatus.FAILED
        assert scene.clock.at - NOW < timedelta(seconds=90)

    await played(tmp_path, play, replace(JOB, pace=RequestLimits(deadline=60)))


@pytest.mark.parametrize("outcome", ["failed", "stopped"])
async def test_a_job_that_ended_early_is_kept_and_goes_on_when_it_is_resumed(tmp_path: Path, outcome: str) -> None:
    async def play(scene: Scene) -> None:
        await scene.turn()
        scene.runners.done = TransformProgress(objects=2, objects_done=1, bytes_total=100, bytes_done=50)
        if outcome == "failed":
            scene.runners.result, scene.runners.alive = (0, "S3 answered SlowDown"), False
        else:
            await scene.change(use.stop)
            await scene.turn()
        job = await scene.turn()
        await scene.turn()
        assert job.status.value == outcome.capitalize()
        assert set(scene.runners.calls) == {"keep"}
        await scene.change(use.resume)
        job = await scene.turn(100)
        assert (job.status, job.reason, job.resumed, job.ended_at) == (JobStatus.IN_PROGRESS, "", 1, None)
        assert scene.runners.alive, "the result from before counts for nothing"
        assert job.started_at == NOW + timedelta(seconds=0.25)
        view = use.view(job, TransformProgress(bytes_total=100, bytes_done=75, waiting="x"), scene.clock.at)
        assert (view["waiting"], view["resumed"], view["eta"]) == ("x", 1, pytest.approx(100))
        scene.runners.result, scene.runners.alive = (1, ""), False
        assert (await scene.turn()).status is JobStatus.COMPLETED

    await played(tmp_path, play)


async def test_only_what_ended_early_can_be_resumed(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        with pytest.raises(Conflict, match=r'job "j" has not ended \(InProgress\)'):
            await scene.change(use.resume)
        await scene.change(use.stop)
        with pytest.raises(Conflict, match=r"has not ended \(Stopping\)"):
            await scene.change(use.resume)
        await scene.store.run(lambda tx: use.get(tx, "j"))
        with pytest.raises(NotFound):
            await scene.store.run(lambda tx: use.resume(tx, "nobody", NOW))

    await played(tmp_path, play)
    done = replace(JOB, outcome=JobStatus.COMPLETED)

    async def complete(scene: Scene) -> None:
        with pytest.raises(Conflict, match="is complete"):
            await scene.change(use.resume)

    (tmp_path / "done").mkdir()
    await played(tmp_path / "done", complete, done)


async def test_a_model_without_space_to_start_is_waited_for_and_one_that_is_broken_is_not(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.turn()
        scene.fleets.failure = "it cannot be started: No space left on device (/state)"
        for _ in range(10):
            assert (await scene.turn(60)).status is JobStatus.IN_PROGRESS
        assert "No space left on device" in scene.engine.trouble["j"]
        scene.fleets.failure = ""
        await scene.turn(60)
        assert scene.engine.trouble == {}
        scene.fleets.failure = "it cannot be started: No space left on device (/state)"
        assert (await scene.turn(60)).outcome is None
        scene.fleets.failure = "the model data is not what it should be"
        job = await scene.turn(60)
        assert (job.status, scene.engine.trouble) == (JobStatus.FAILED, {})

    await played(tmp_path, play)


async def test_a_runner_without_space_to_start_is_waited_for(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        scene.runners.refuse = "the runner of job j cannot be started: No space left on device"
        for _ in range(3):
            with pytest.raises(Transient):
                await scene.turn(60)
        scene.runners.refuse = ""
        assert (await scene.turn(60)).outcome is None
        assert scene.runners.alive

    await played(tmp_path, play)


async def test_a_job_that_the_target_will_never_run_fails_at_once(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        scene.runners.never = "the target kubernetes needs the option jobs.database_secret"
        job = await scene.turn()
        assert job.status is JobStatus.FAILED and job.reason == scene.runners.never
        assert not scene.fleets.there, "nothing of it is left"
        await scene.change(use.resume)
        scene.runners.never = ""
        assert (await scene.turn()).status is JobStatus.IN_PROGRESS and scene.runners.alive

    await played(tmp_path, play)


async def test_what_a_job_whose_record_cannot_be_read_has_done_is_not_pruned(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        raw = Kind(TRANSFORM.name, object)
        await scene.store.run(lambda tx: tx.put(raw, "strange", "what a later version wrote", expect=0, now=NOW))
        await scene.engine.start()
        await scene.engine.stop()
        await scene.engine._prune()
        assert scene.runners.calls[-1] == "prune all but ['j', 'strange']"

    await played(tmp_path, play)
