"""The engine of transform jobs: each has a fleet and a runner while it goes on, and neither once it has ended.

What is wanted follows from the record and what is seen, so a controller that comes anew just looks and goes on.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tidegate.model.errors import TidegateError
from tidegate.model.transform import JobStatus, Progress, TransformJob
from tidegate.ports.clock import Clock
from tidegate.ports.runners import Fleets, Runners, RunnerSeen
from tidegate.ports.store import Stale, Store, Tx
from tidegate.service.kinds import TRANSFORM
from tidegate.service.transforms import fleet, fleet_id

log = logging.getLogger(__name__)

PAUSE = 0.25
"""Seconds between looks while a job goes on; ends are told at once."""
MOST_STARTS = 5
"""Runners of one job that may die without a result, while nothing gets done, before the job fails."""


@dataclass
class Transforms:
    store: Store
    fleets: Fleets
    runners: Runners
    clock: Clock
    written: Callable[[], None]
    _active: set[str] = field(default_factory=set)
    _starts: dict[str, tuple[int, Progress]] = field(default_factory=dict)
    """Starts since there was progress, and the progress then."""
    _next: dict[str, datetime] = field(default_factory=dict)
    _kicked: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes up jobs that go on, and those that an earlier controller had not cleared away."""

        def work(tx: Tx) -> list[TransformJob]:
            return [saved.body for saved in tx.find(TRANSFORM).items]

        for job in await self.store.run(work):
            if job.outcome is None or self.fleets.seen(fleet_id(job.name)) is not None:
                self._active.add(job.name)
        self._task = asyncio.create_task(self._follow(), name="transform jobs")

    def kick(self, name: str) -> None:
        self._active.add(name)
        self._kicked.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE if self._active else None):
                    await self._kicked.wait()
            self._kicked.clear()
            for name in sorted(self._active):
                try:
                    await self.tick(name)
                except Stale:
                    self._kicked.set()
                except TidegateError as error:
                    log.warning("transform job %s: %s", name, error)
                except Exception:
                    log.exception("transform job %s: a look failed; trying again", name)

    async def tick(self, name: str) -> None:
        saved = await self.store.run(lambda tx: tx.get(TRANSFORM, name))
        if saved is None:
            self._active.discard(name)
            return
        job = saved.body
        if job.outcome is not None:
            await self._clear(name)
            return
        seen = await self.runners.look(name)
        after = decided(job, seen, await self._failure(job, seen), self.clock.now())
        if after != job:
            now = self.clock.now()
            await self.store.run(lambda tx: tx.put(TRANSFORM, name, after, expect=saved.version, now=now))
            self.written()
        if after.outcome is not None:
            log.info("transform job %s: %s %s", name, after.outcome.value, after.reason)
            await self._clear(name)
        elif after.stopping:
            self.runners.stop(name)
        else:
            await self._go_on(after, seen)

    async def _failure(self, job: TransformJob, seen: RunnerSeen) -> str:
        """Why the job cannot go on."""
        around = self.fleets.seen(fleet_id(job.name))
        if around is not None and around.failure and not around.ready:
            return f"the model does not start: {around.failure}"
        starts, progress = self._starts.get(job.name, (0, Progress()))
        if not seen.alive and starts >= MOST_STARTS and progress == seen.progress:
            return f"its runner ended {starts} times without a result; see its log"
        return ""

    async def _go_on(self, job: TransformJob, seen: RunnerSeen) -> None:
        wanted = fleet(job)
        await self.fleets.ensure_fleet(wanted, 1)
        if not seen.alive and self._pauses(job.name) <= self.clock.now():
            starts, progress = self._starts.get(job.name, (0, seen.progress))
            self._starts[job.name] = (starts + 1 if progress == seen.progress else 1, seen.progress)
            await self.runners.start(job, wanted)

            self._next[job.name] = self.clock.now() + timedelta(seconds=PAUSE * 2**starts)

    def _pauses(self, name: str) -> datetime:
        """Until when no runner is started: those that die at once are started less and less often."""
        return self._next.get(name, datetime.min.replace(tzinfo=UTC))

    async def _clear(self, name: str) -> None:
        """Until nothing is left of it."""
        self._starts.pop(name, None)
        self._next.pop(name, None)
        self.runners.stop(name)
        await self.fleets.delete_fleet(fleet_id(name), 1)
        gone = self.fleets.seen(fleet_id(name)) is None
        if gone and not (await self.runners.look(name)).alive:
            await self.runners.discard(name)
            self._active.discard(name)


def decided(job: TransformJob, seen: RunnerSeen, failure: str, now: datetime) -> TransformJob:
    """The record after a look."""
    job = job if job.started_at else replace(job, started_at=now)
    if seen.reason is not None and not (job.stopping and seen.reason):
        outcome = JobStatus.FAILED if seen.reason else JobStatus.COMPLETED
        return replace(job, outcome=outcome, reason=seen.reason, ended_at=now, progress=seen.progress)
    if job.stopping:
        if seen.alive:
            return job
        return replace(job, outcome=JobStatus.STOPPED, ended_at=now, progress=seen.progress)
    if failure:
        return replace(job, outcome=JobStatus.FAILED, reason=failure, ended_at=now, progress=seen.progress)
    return job
