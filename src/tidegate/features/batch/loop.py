"""The engine of transform jobs: each has a fleet and a runner while it goes on, and neither once it has ended.

What is wanted follows from the record and what is seen, so a controller that comes anew just looks and goes on.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec

from tidegate.compose.background import Services, Worker
from tidegate.domain.errors import TargetRefused, TidegateError
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.transform import JobStatus, TransformJob, TransformProgress, job_fleet
from tidegate.features.batch.incidents import PATIENCE, passes
from tidegate.features.batch.runner.job_file import JobFile
from tidegate.features.batch.service import fleet
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.clock import Clock
from tidegate.ports.runners import Runners, RunnerState
from tidegate.ports.store import Stale, Store, Tx
from tidegate.ports.target import Fleets
from tidegate.reconcile.resting import is_pausing
from tidegate.service.record_kinds import TRANSFORM
from tidegate.serving.contract import images
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots

log = logging.getLogger(__name__)

PAUSE = 0.25
"""Seconds between looks while a job goes on; its end is noticed at once."""
MOST_STARTS = 5
"""Runners of one job that may die without a result, while nothing gets done, before the job can fail."""
LONGEST_PAUSE = timedelta(seconds=30)
PRUNE_EVERY = timedelta(minutes=10)


@dataclass(frozen=True)
class _Starts:
    """How often a runner was started since ``since``, when there was progress last."""

    count: int
    since: datetime
    progress: TransformProgress

    def failure(self, seen: RunnerState, now: datetime, patience: float) -> str:
        """Why no other is started. A runner never runs a model, so what ends it without a result comes from outside:
        that is a matter of time and not of how often."""
        lasted = (now - self.since).total_seconds()
        if seen.alive or self.count < MOST_STARTS or lasted < patience or _done(seen) != self.progress:
            return ""
        return f"its runner ended {self.count} times in {lasted:.0f} s without a result; see its log"


def _done(seen: RunnerState) -> TransformProgress:
    """Return the progress without the reason for waiting, since a change of that reason is not progress."""
    return replace(seen.progress, waiting="")


@dataclass
class Transforms(Worker):
    store: Store
    fleets: Fleets
    runners: Runners
    clock: Clock
    written: Callable[[], None]
    describe: Callable[[TransformJob, FleetSpec, Path], bytes]
    """Makes what the runner of a job is started with; the path is the folder of its fleet's replicas."""
    trouble: dict[str, str] = field(default_factory=dict)
    """Why a job cannot go on just now, such as a disk without space for its processes."""
    _active: set[str] = field(default_factory=set)
    _unreadable: set[str] = field(default_factory=set)
    """Jobs whose records cannot be read: what they have done stays as it is."""
    _starts: dict[str, "_Starts"] = field(default_factory=dict)
    _unstarted: dict[str, datetime] = field(default_factory=dict)
    """Since when a job's model cannot be started for want of space or the like."""
    _pruned: datetime | None = None
    _next: dict[str, datetime] = field(default_factory=dict)
    _kicked: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up jobs that go on, and those that an earlier controller had not cleared away."""

        def work(tx: Tx) -> tuple[list[TransformJob], set[str]]:
            page = tx.find(TRANSFORM)
            return [saved.body for saved in page.items], {one.name for one in page.unreadable}

        jobs, self._unreadable = await self.store.run(work)
        for job in jobs:
            if job.outcome is None or self.fleets.seen(job_fleet(job.name)) is not None:
                self._active.add(job.name)
        self._task = asyncio.create_task(self._follow(), name="transform jobs")

    def wake(self, name: str) -> None:
        self._active.add(name)
        self._kicked.set()

    def extend(self, gateway: Gateway) -> Gateway:
        return replace(gateway, progress=self.progress)

    def progress(self, name: str) -> TransformProgress | None:
        """Return what the runner has done so far, and what the job waits for. None: neither is known."""
        found, trouble = self.runners.progress(name), self.trouble.get(name)
        return replace(found or TransformProgress(), waiting=trouble) if trouble else found

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE if self._active else PRUNE_EVERY.total_seconds()):
                    await self._kicked.wait()
            self._kicked.clear()
            for name in sorted(self._active):
                try:
                    await self.tick(name)
                except Stale:
                    self._kicked.set()
                except TidegateError as error:
                    self._note(name, str(error))
                except Exception:
                    log.exception("transform job %s: a look failed; trying again", name)
            await self._prune()

    def _note(self, name: str, trouble: str) -> None:
        """Log once, however often it happens."""
        if trouble and self.trouble.get(name) != trouble:
            log.warning("transform job %s: %s", name, trouble)
        if trouble:
            self.trouble[name] = trouble
        else:
            self.trouble.pop(name, None)

    async def _prune(self) -> None:
        now = self.clock.now()
        if self._pruned is not None and now - self._pruned < PRUNE_EVERY:
            return
        self._pruned = now
        try:
            await self.runners.prune(self._active | self._unreadable)
        except Exception:
            log.exception("the work that jobs have left behind cannot be looked through")

    async def tick(self, name: str) -> None:
        saved = await self.store.run(lambda tx: tx.get(TRANSFORM, name))
        if saved is None:
            self._active.discard(name)
            return
        job = saved.body
        if job.outcome is not None:
            await self._clear(job)
            return
        seen = await self.runners.look(job)
        after = decide(job, seen, await self._failure(job, seen), self.clock.now())
        version = saved.version
        if after != job:
            version = await self._save(after, version)
        if after.outcome is None and not after.stopping:
            try:
                await self._go_on(after, seen)
            except TargetRefused as refused:  # no repetition would help
                after = decide(after, seen, str(refused), self.clock.now())
                await self._save(after, version)
            if name not in self._unstarted:
                self._note(name, "")
        elif after.outcome is None:
            self.runners.stop(name)
        if after.outcome is not None:
            log.info("transform job %s: %s %s", name, after.outcome.value, after.reason)
            await self._clear(after)

    async def _save(self, job: TransformJob, expect: int) -> int:
        """Returns the version of the record."""
        now = self.clock.now()
        version = await self.store.run(lambda tx: tx.put(TRANSFORM, job.name, job, expect=expect, now=now))
        self.written()
        return version

    async def _failure(self, job: TransformJob, seen: RunnerState) -> str:
        """Why the job cannot go on."""
        around, now = self.fleets.seen(job_fleet(job.name)), self.clock.now()
        patience = PATIENCE if job.pace.deadline is None else job.pace.deadline
        if around is not None and around.failure and not around.ready:
            trouble = f"the model does not start: {around.failure}"
            since = self._unstarted.setdefault(job.name, now)
            if not passes(around.failure) or (now - since).total_seconds() >= patience:
                return trouble
            self._note(job.name, trouble)
        else:
            self._unstarted.pop(job.name, None)
        starts = self._starts.get(job.name)
        return "" if starts is None else starts.failure(seen, now, patience)

    async def _go_on(self, job: TransformJob, seen: RunnerState) -> None:
        wanted = fleet(job)
        await self.fleets.ensure_fleet(wanted, 1)
        # Runners that die at once are started again at growing intervals.
        if not seen.alive and not is_pausing(self._next.get(job.name), self.clock.now(), LONGEST_PAUSE):
            now, starts = self.clock.now(), self._starts.get(job.name)
            if starts is None or starts.progress != _done(seen):
                starts = _Starts(0, now, _done(seen))
            self._starts[job.name] = replace(starts, count=starts.count + 1)
            await self.runners.start(job, wanted, partial(self.describe, job, wanted))
            self._next[job.name] = now + min(LONGEST_PAUSE, timedelta(seconds=PAUSE) * 2 ** min(starts.count, 10))

    async def _clear(self, job: TransformJob) -> None:
        """Repeat until none of its processes is left. The work of an incomplete job is kept."""
        name = job.name
        for notes in (self._starts, self._next, self._unstarted, self.trouble):
            notes.pop(name, None)
        self.runners.stop(name)
        await self.fleets.delete_fleet(job_fleet(name), 1)
        gone = self.fleets.seen(job_fleet(name)) is None
        if gone and not (await self.runners.look(job)).alive:
            await (self.runners.discard if job.outcome is JobStatus.COMPLETED else self.runners.keep)(name)
            self._active.discard(name)


def decide(job: TransformJob, seen: RunnerState, failure: str, now: datetime) -> TransformJob:
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


# --- the loop of transform jobs, joined, and what the runner of one is started with ---


def make_jobs(services: Services) -> Transforms:
    provider, describe = services.provider, partial(transform_file, services.settings, services.images)
    return Transforms(
        *(services.store, provider.fleets, provider.runners, services.clock, services.written, describe)
    )


def transform_file(
    settings: Settings, table: ImageTable, job: TransformJob, fleet: FleetSpec, replicas: Path
) -> bytes:
    kinds = [images.resolve_container(container, table).kind for container in fleet.variant.model.containers]
    return msgspec.json.encode(
        JobFile(
            job=job,
            replicas=str(replicas),
            built_in=not any(kind.descriptor.outside for kind in kinds),
            file_roots=file_roots(settings),
            s3_endpoint=settings.s3_endpoint,
            region=settings.region,
        )
    )
