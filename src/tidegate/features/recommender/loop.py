"""The engine of recommendation jobs: one at a time has a process, since two would spoil each other's figures.

What is wanted follows from the record and what is seen, so a controller that comes anew just looks and goes on.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import msgspec

from tidegate.compose.background import Services, Worker
from tidegate.compose.environments import server_environment
from tidegate.domain.errors import TidegateError
from tidegate.domain.recommendation import RecommendationJob, RecommendationStatus
from tidegate.features.recommender.service import RECOMMENDATION
from tidegate.host.late_import import load
from tidegate.ports.clock import Clock
from tidegate.ports.store import Filter, Stale, Store, Tx
from tidegate.ports.target import Recommenders, RecommenderState
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots

log = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between looks while there are jobs."""
MOST_STARTS = 3
"""Processes of one job that may die without a result before the job fails."""


@dataclass
class Recommendations(Worker):
    store: Store
    runners: Recommenders
    clock: Clock
    written: Callable[[], None]
    describe: Callable[[RecommendationJob], bytes]
    """Makes what the process of a job is started with."""
    _active: bool = True
    """Whether anything may be left to do: looked at once at the start, then whenever it is woken."""
    _starts: dict[str, int] = field(default_factory=dict)
    _kicked: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up jobs that go on, and what an earlier controller had not cleared away."""
        self._task = asyncio.create_task(self._follow(), name="recommendation jobs")

    def wake(self, name: str) -> None:
        self._active = True
        self._kicked.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
            except Stale:
                self._kicked.set()
            except TidegateError as error:
                log.warning("recommendation jobs: %s", error)
            except Exception:
                log.exception("recommendation jobs: a look failed; trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE if self._active else None):
                    await self._kicked.wait()
            self._kicked.clear()

    async def look(self) -> None:
        """One turn over all jobs that go on, the oldest first; only the first of them runs."""

        def work(tx: Tx) -> tuple[list[tuple[RecommendationJob, int]], set[str]]:
            page = tx.find(RECOMMENDATION, Filter(descending=False))
            going_on = [(saved.body, saved.version) for saved in page.items if saved.body.outcome is None]
            return going_on, {one.name for one in page.unreadable}

        going_on, unreadable = await self.store.run(work)
        names = {job.name for job, _ in going_on} | unreadable
        left = [name for name in self.runners.kept() if name not in names]
        self._active = bool(going_on or left)
        for name in left:
            await self._clear(name)
        busy = bool(left)
        for job, version in going_on:
            busy = await self._tick(job, version, busy) or busy

    async def _tick(self, job: RecommendationJob, version: int, busy: bool) -> bool:
        """Whether this job occupies the machine. ``busy``: another job does."""
        seen = await self.runners.look(job.name)
        after = decide(job, seen, self._starts.get(job.name, 0), busy, self.clock.now())
        if after != job:
            now = self.clock.now()
            await self.store.run(lambda tx: tx.put(RECOMMENDATION, job.name, after, expect=version, now=now))
            self.written()
        if after.outcome is not None:
            log.info("recommendation job %s: %s %s", job.name, after.outcome.value, after.reason)
            await self._clear(job.name)
        elif after.stopping:
            self.runners.stop(job.name)
        elif after.started_at is not None and not seen.alive:
            self._starts[job.name] = self._starts.get(job.name, 0) + 1
            await self.runners.start(after, self.describe(after))
        return after.started_at is not None

    async def _clear(self, name: str) -> None:
        """Repeat until nothing is left of it."""
        self._starts.pop(name, None)
        self.runners.stop(name)
        if not (await self.runners.look(name)).alive:
            await self.runners.discard(name)


def decide(
    job: RecommendationJob, seen: RecommenderState, starts: int, busy: bool, now: datetime
) -> RecommendationJob:
    """The record after a look. ``starts``: of its process under this controller."""
    if seen.steps and seen.steps != job.steps:
        job = replace(job, steps=seen.steps)
    if seen.reason is not None and not (job.stopping and seen.reason):
        outcome = RecommendationStatus.FAILED if seen.reason else RecommendationStatus.COMPLETED
        return replace(job, outcome=outcome, reason=seen.reason, found=seen.found, ended_at=now)
    if job.stopping:
        return job if seen.alive else replace(job, outcome=RecommendationStatus.STOPPED, ended_at=now)
    if not seen.alive and starts >= MOST_STARTS:
        reason = f"its process ended {starts} times without a result; the last it said: {seen.said or 'nothing'}"
        return replace(job, outcome=RecommendationStatus.FAILED, reason=reason, ended_at=now)
    if job.started_at is None and not busy:
        return replace(job, started_at=now)
    return job


# --- settings with which the process of a recommendation job is started, and the loop of these jobs ---


def make_jobs(services: Services) -> Recommendations:
    describe = partial(_recommendation_file, services.settings)
    recommenders = services.provider.recommenders
    return Recommendations(services.store, recommenders, services.clock, services.written, describe)


def _recommendation_file(settings: Settings, job: RecommendationJob) -> bytes:
    job_file = load("tidegate.features.recommender.jobs", "RecommendationJobFile")
    return msgspec.json.encode(
        job_file(
            job=job,
            environment=server_environment(settings),
            file_roots=file_roots(settings),
            s3_endpoint=settings.s3_endpoint,
            region=settings.region,
            prices="" if settings.prices is None else str(settings.prices.expanduser().absolute()),
        )
    )
