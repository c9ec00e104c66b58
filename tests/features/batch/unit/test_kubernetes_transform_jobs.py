"""Transform jobs of the target, over an API server in memory and a board of shards that a test fills."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.targets.kubernetes.jobs import DESCRIBED, JOB, NAME, NO_STORE, WITH_JOBS, Board, database_secret
from tests.unit.targets.kubernetes.memory_api_server import Object
from tests.unit.targets.kubernetes.memory_jobs import MemoryJobServer
from tests.unit.targets.kubernetes.target_harness import OPTIONS, memory_api, run
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.shards import ShardTally
from tidegate.domain.transform import TransformJob, job_fleet
from tidegate.features.batch.service import fleet
from tidegate.ports.runners import RunnerState
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.kubernetes.transform_jobs import LOOK, KubernetesTransforms


def describe(replicas: Path) -> bytes:
    return DESCRIBED


@dataclass
class Scene:
    server: MemoryJobServer = field(default_factory=MemoryJobServer)
    board: Board = field(default_factory=Board)
    options: Any = WITH_JOBS

    def __post_init__(self) -> None:
        self.server.objects["secrets", "db"] = database_secret()
        self.jobs = self.make(self.board)

    def make(self, board: Board | None) -> KubernetesTransforms:
        api = memory_api(self.server)
        return KubernetesTransforms(api, board, Settings(), ImageTable(), self.options, NO_STORE)

    async def look(self, job: TransformJob = JOB) -> RunnerState:
        await asyncio.sleep(LOOK)
        return await self.jobs.look(job)

    def kinds(self) -> set[str]:
        return {plural for plural, name in self.server.objects if name.startswith(NAME)}


def test_a_job_has_its_pods_and_tells_what_they_have_done() -> None:
    async def scenario() -> None:
        scene = Scene()
        assert await scene.look() == RunnerState(alive=False, progress=(await scene.look()).progress, reason=None)
        await scene.jobs.start(JOB, fleet(JOB), describe)
        assert len(scene.server.pods("transform")) == 2 and scene.board.calls == ["open nightly 0"]
        scene.board.tallies["nightly"] = ShardTally(0, listed=True, objects=4, done=1, records=10)
        seen = await scene.look()
        assert seen.alive and seen.reason is None and (seen.progress.objects, seen.progress.records) == (4, 10)
        assert scene.jobs.progress("nightly") == seen.progress
        status = scene.jobs.seen(job_fleet("nightly"))
        assert status is not None and (status.desired, status.ready) == (2, 2)
        scene.board.tallies["nightly"] = ShardTally(
            0, listed=True, objects=4, done=3, failed=1, failed_reason="bad"
        )
        assert (await scene.look()).reason == ": bad"
        assert (await scene.look(replace(JOB, resumed=1))).reason is None, "that was the attempt before"

    run(scenario())


def test_a_look_is_used_again_for_a_moment() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.jobs.start(JOB, fleet(JOB), describe)
        await scene.look()
        asked = len(scene.server.requests)
        for _ in range(5):
            await scene.jobs.look(JOB)
        assert len(scene.server.requests) == asked

    run(scenario())


def test_stopping_revokes_before_it_deletes_and_a_resumed_job_waits_for_that() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.jobs.start(JOB, fleet(JOB), describe)
        scene.jobs.stop("nightly")
        scene.jobs.stop("nightly")
        assert scene.kinds() >= {"jobs", "secrets"}
        await scene.jobs.start(replace(JOB, resumed=1), fleet(JOB), describe)
        assert scene.board.calls == ["open nightly 0", "revoke nightly", "open nightly 1"]
        assert "jobs" in scene.kinds() and (await scene.look()).alive
        scene.jobs.stop("nightly")
        await scene.jobs.end(drain=True)
        assert not (await scene.look()).alive and "secrets" not in scene.kinds()
        await scene.jobs.delete_fleet(job_fleet("nightly"), 1)
        assert scene.jobs.seen(job_fleet("nightly")) is None
        await scene.jobs.discard("nightly")
        assert scene.board.calls[-1] == "discard nightly"

    run(scenario())


def test_a_job_whose_pods_have_ended_gets_others() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.jobs.start(JOB, fleet(JOB), describe)
        for pod in scene.server.pods("transform"):
            pod["status"]["phase"] = "Succeeded"
        scene.server.settle()
        assert not (await scene.look()).alive
        with pytest.raises(Transient, match="others are started"):
            await scene.jobs.start(JOB, fleet(JOB), describe)
        await scene.jobs.start(JOB, fleet(JOB), describe)
        assert (await scene.look()).alive

    run(scenario())


def test_pods_that_cannot_start_say_why() -> None:
    def broken(pod: Object) -> None:
        waiting = {"reason": "ErrImageNeverPull", "message": "image is not present"}
        pod["status"]["containerStatuses"] = [{"name": "worker", "state": {"waiting": waiting}}]

    async def scenario() -> None:
        scene = Scene(MemoryJobServer(start=broken))
        await scene.jobs.start(JOB, fleet(JOB), describe)
        await scene.look()
        status = scene.jobs.seen(job_fleet("nightly"))
        assert status is not None and status.failure is not None and "ErrImageNeverPull" in status.failure

    run(scenario())


def test_a_cluster_that_makes_no_pods_is_noticed() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.jobs.start(JOB, fleet(JOB), describe)
        for pod in scene.server.pods("transform"):
            del scene.server.objects["pods", pod["metadata"]["name"]]
        await scene.look()
        status = scene.jobs.seen(job_fleet("nightly"))
        assert status is not None and status.failure is None, "they may be on their way"
        await asyncio.sleep(OPTIONS.scheduling_patience)
        await scene.look()
        status = scene.jobs.seen(job_fleet("nightly"))
        assert status is not None and "kubectl describe job" in str(status.failure)

    run(scenario())


def test_what_cannot_work_is_refused_with_nothing_made() -> None:
    async def scenario() -> None:
        scene = Scene()
        with pytest.raises(TargetRefused, match="TIDEGATE_DATABASE_URL"):
            await scene.make(None).start(JOB, fleet(JOB), describe)
        scene.options = replace(OPTIONS, jobs=None)
        with pytest.raises(TargetRefused, match="database_secret"):
            await scene.make(scene.board).start(JOB, fleet(JOB), describe)
        scene.server.objects["secrets", "db"]["data"] = {"other": ""}
        with pytest.raises(TargetRefused, match="Secret db in namespace ml has no 'database-url'"):
            await scene.jobs.start(JOB, fleet(JOB), describe)
        assert not scene.kinds() and not scene.board.calls

    run(scenario())


def test_a_job_of_somebody_else_is_left_alone() -> None:
    async def scenario() -> None:
        scene = Scene()
        foreign = {
            "metadata": {"name": NAME},
            "spec": {"parallelism": 0, "template": {"metadata": {"labels": {}}}},
        }
        scene.server.objects["jobs", NAME] = foreign
        with pytest.raises(TargetRefused, match="left alone"):
            await scene.jobs.start(JOB, fleet(JOB), describe)
        assert not (await scene.look()).alive
        scene.jobs.stop("nightly")
        await scene.jobs.end(drain=True)
        await scene.jobs.delete_fleet(job_fleet("nightly"), 1)
        assert scene.server.objects["jobs", NAME] is foreign

    run(scenario())


def test_pods_of_jobs_that_are_over_are_ended() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.jobs.start(JOB, fleet(JOB), describe)
        await scene.jobs.prune({"nightly"})
        assert "jobs" in scene.kinds()
        await scene.make(scene.board).prune(set())
        assert "jobs" not in scene.kinds() and scene.board.calls[-1] == "prune []"

    run(scenario())
