"""When the pool starts another child: a start costs more than most jobs."""

import asyncio
from typing import cast

import pytest

from tidegate.features.multi_model.worker import builder_pool
from tidegate.features.multi_model.worker.artifact_builder import BuildJob, BuildResult
from tidegate.features.multi_model.worker.builder_pool import BuilderPool
from tidegate.serving.artifacts.fetch import Policy
from tidegate.serving.contract.catalogue import RuntimeKind

JOB = BuildJob("file:///a", "1", "/b", RuntimeKind.XGBOOST, {}, Policy(()))


class FakePool(BuilderPool):
    """Children are numbers, and a job ends when ``finish`` is set."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.children = 0
        self.jobs = 0
        self.finish = asyncio.Event()

    async def _child(self) -> None:
        self.children += 1
        child = cast(asyncio.subprocess.Process, self.children)
        self._all.add(child)
        self._idle.put_nowait(child)

    async def _ask(self, child: asyncio.subprocess.Process, job: BuildJob) -> BuildResult:
        self.jobs += 1
        await self.finish.wait()
        return BuildResult()


async def pool_with_two_jobs() -> tuple[FakePool, "asyncio.Future[tuple[BuildResult, BuildResult]]"]:
    pool = FakePool(2)
    await pool.start()
    both = asyncio.gather(pool.prepare(JOB, 60), pool.prepare(JOB, 60))
    while not pool.jobs:
        await asyncio.sleep(0)
    return pool, both


async def test_a_job_that_waits_for_a_short_one_starts_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_pool, "WAIT", 600.0)
    pool, both = await pool_with_two_jobs()
    pool.finish.set()
    await both
    assert (pool.children, pool.jobs) == (1, 2)


async def test_a_job_that_waits_longer_gets_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_pool, "WAIT", 0.001)
    pool, both = await pool_with_two_jobs()
    async with asyncio.timeout(300):
        while pool.jobs < 2:
            await asyncio.sleep(0.001)
    assert pool.children == 2
    pool.finish.set()
    await both


async def test_a_job_waits_as_long_as_a_start_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a start takes seconds, and makes the job that is in progress slower still."""
    monkeypatch.setattr(builder_pool, "WAIT", 0.0)
    for took, longest, children in ((600.0, 600.0, 1), (600.0, 0.0, 2), (0.0, 600.0, 2)):
        monkeypatch.setattr(builder_pool, "LONGEST_WAIT", longest)
        pool = FakePool(2)
        await pool.start()
        pool._took = took
        both = asyncio.gather(pool.prepare(JOB, 60), pool.prepare(JOB, 60))
        async with asyncio.timeout(300):
            while pool.jobs < children:
                await asyncio.sleep(0.001)
        for _ in range(10):
            await asyncio.sleep(0)  # a timer of no time would have ended by now
        assert pool.children == children
        pool.finish.set()
        await both
