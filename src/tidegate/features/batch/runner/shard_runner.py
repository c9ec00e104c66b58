"""Runs the shards of a job that it leases, beside other runners of the same job on other machines.

A lease is renewed as long as its shard is worked on. When it is lost, the work on it ends, and its output is not
published: another runner has the shard.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from tidegate.domain.errors import TidegateError, Unavailable
from tidegate.domain.shards import LISTING, JobOver, LeasedShard, NothingFree, ShardProgress
from tidegate.domain.transform import InputObject, TransformJob
from tidegate.features.batch.runner import job_storage, pacing
from tidegate.features.batch.runner.client import BatchClient
from tidegate.features.batch.runner.inputs import JobInputs
from tidegate.features.batch.runner.job_storage import JobStorage
from tidegate.features.batch.runner.object_runner import READING, ObjectRunner, log_event
from tidegate.features.batch.runner.output_part import OutputPart
from tidegate.features.batch.runner.pacing import RetryWait
from tidegate.features.batch.runner.table_records import import_early, splits_rows
from tidegate.features.batch.runner.worker_pool import WorkerPool
from tidegate.storage.files import Claim

T = TypeVar("T")

IDLE = 1.0
"""Seconds between looks for a shard while others have all that are left, or the database does not answer."""
MARGIN = 0.2
"""Part of a lease, at its end, in which nothing is published."""
MAX_LOSSES = 10
"""Runners that may die while they have a shard before it has failed."""


class ShardLeases(Protocol):
    """``seconds``: of a lease. Methods raise Unavailable."""

    seconds: float

    async def next(self) -> LeasedShard | NothingFree | JobOver: ...

    async def write_listing(self, held: LeasedShard, items: Sequence[InputObject]) -> bool: ...

    async def renew(self, held: Mapping[LeasedShard, ShardProgress]) -> set[LeasedShard]: ...

    async def finish(self, held: LeasedShard, progress: ShardProgress, reason: str) -> bool: ...

    async def fail_job(self, reason: str) -> None: ...


@dataclass
class _HeldShard:
    """``until``: end of the lease by this machine's monotonic clock, counted from before it was asked for."""

    shard: LeasedShard
    until: float
    task: asyncio.Task[None]
    part: OutputPart | None = None


@dataclass
class ShardRunner:
    """``folder``: for parts of outputs. ``clock``: monotonic seconds, callable from any thread."""

    job: TransformJob
    built_in: bool
    folder: Path
    storage: JobStorage
    leases: ShardLeases
    pool: WorkerPool
    clock: Callable[[], float]
    retry_wait: RetryWait = field(default_factory=RetryWait)
    _held: dict[int, _HeldShard] = field(default_factory=dict)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.job = replace(self.job, instances=1)  # as many as this runner has
        self.inputs = JobInputs(self.job, splits_rows(self.job, self.built_in), self.storage)

    async def run(self, left: float | None) -> None:
        """Returns when nothing is left to lease. ``left``: seconds until the job's deadline; None: it has none."""
        self.retry_wait.deadline = None if left is None else self.retry_wait.clock() + left
        self.folder.mkdir(parents=True, exist_ok=True)
        import_early(self.job, self.inputs.rows)
        try:
            async with asyncio.timeout(left):
                await self._run_lanes()
        except* TimeoutError:
            await self._fail_job(f"its deadline of {self.job.pace.deadline:g} seconds has passed")
        except* TidegateError as group:
            await self._fail_job(str(first_error(group)))
        finally:
            self.pool.close()

    async def _run_lanes(self) -> None:
        client = BatchClient(self.job, self.pool, self.inputs.rows)
        parameters = pacing.parse_parameters(await self.pool.execution_parameters())
        job = self.job
        self.inputs.plan = pacing.plan_requests(job.pace, parameters, job.source.split, self.built_in)
        self.pool.concurrency = self.inputs.plan.concurrency
        log_event("asked")
        objects = ObjectRunner(job, self.inputs, self.storage, self.retry_wait, client)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep_leases())
            lanes = [group.create_task(self._work(objects)) for _ in range(max(1, self.pool.concurrency))]
            await asyncio.wait(lanes)
            keeping.cancel()

    async def _work(self, objects: ObjectRunner) -> None:
        """Lease and process shards until the job is over. Raises errors that end the job; an error of one object is
        recorded with its shard."""
        while True:
            async with self._asking:
                asked, found = await self._ask()
            if isinstance(found, JobOver):
                return
            if isinstance(found, LeasedShard) and found.losses >= MAX_LOSSES:
                await self._give_up(found)
            elif isinstance(found, LeasedShard):
                await self._hold(found, asked + self.leases.seconds, objects)

    async def _ask(self) -> tuple[float, LeasedShard | NothingFree | JobOver]:
        """Ask what to do next; return it with the time of asking. While no shard is free, one lane asks on behalf of
        all."""
        asked = self.clock()
        try:
            found = await self.leases.next()
        except Unavailable as error:
            log_event(f"waiting: {error}")
            found = NothingFree()
        if isinstance(found, NothingFree):
            await asyncio.sleep(IDLE)
        return asked, found

    async def _give_up(self, shard: LeasedShard) -> None:
        """Fail a shard on which several runners died. Whatever the cause was, it is attributed to the shard."""
        reason = f"{shard.losses} runners died while they worked on it"
        if shard.item is None:
            await self._fail_job(f"{self.job.source.uri}: {reason}")
        else:
            await _insist(lambda: self.leases.finish(shard, ShardProgress(), reason))

    async def _hold(self, shard: LeasedShard, until: float, objects: ObjectRunner) -> None:
        """Work on it until it has ended or its lease is lost."""
        if (former := self._held.get(shard.number)) is not None:
            # Another lane still has an older lease of it, which ended unnoticed: both would write the same files.
            former.task.cancel()
            await asyncio.gather(former.task, return_exceptions=True)
        work = self._list(shard) if shard.number == LISTING else self._process(shard, objects)
        task = asyncio.create_task(work)
        held = self._held[shard.number] = _HeldShard(shard, until, task)
        try:
            await asyncio.wait((task,))
        finally:
            if self._held.get(shard.number) is held:
                del self._held[shard.number]
            held.until = float("-inf")  # a thread that is still publishing stops short of it
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _list(self, shard: LeasedShard) -> None:
        uri = self.job.source.uri
        try:
            items = await self.retry_wait.retry(uri, READING, self._list_objects)
            self.storage.check_writable(self.job.sink.uri)
        except TidegateError as error:
            raise type(error)(f"{uri}: {error}") from None
        await _insist(lambda: self.leases.write_listing(shard, items))

    async def _list_objects(self) -> list[InputObject]:
        return await asyncio.to_thread(self.storage.list_objects, self.job.source)

    async def _process(self, shard: LeasedShard, objects: ObjectRunner) -> None:
        item, held = shard.item, self._held[shard.number]
        assert item is not None
        part = held.part = OutputPart(self.folder / job_storage.part_name(f"{item.uri} {item.tag}"))
        part.load_checkpoint()
        try:
            if not part.checkpoint.done and not part.checkpoint.reason:  # else this process died after that
                margin = MARGIN * self.leases.seconds
                await objects.process(item, part, Claim(shard.fence, lambda: self.clock() > held.until - margin))
            reason = part.checkpoint.reason
            done = self._progress(held)
            final = replace(done, bytes_done=done.bytes_done if reason else item.size, waiting="")
            await _insist(lambda: self.leases.finish(shard, final, reason))
            part.discard()
        finally:
            part.close()

    def _progress(self, held: _HeldShard) -> ShardProgress:
        part, item = held.part, held.shard.item
        if part is None or item is None:
            return ShardProgress(waiting=self.retry_wait.reasons.get(self.job.source.uri, ""))
        at = part.checkpoint
        why = self.retry_wait.reasons.get(item.uri)
        waiting = f"{item.uri}: {why}" if why else ""
        return ShardProgress(at.record - 1, at.bad, self.inputs.bytes_done.get(part.path.name, 0), waiting)

    async def _keep_leases(self) -> None:
        """Renew leases until cancelled. What is lost ends at once."""
        while True:
            await asyncio.sleep(self.leases.seconds / 3)
            asked, held = self.clock(), dict(self._held)
            try:
                kept = await self.leases.renew({one.shard: self._progress(one) for one in held.values()})
            except Unavailable as error:
                log_event(f"waiting: {error}")
                continue
            for one in held.values():
                if one.shard in kept:
                    one.until = asked + self.leases.seconds
                else:
                    one.task.cancel()

    async def _fail_job(self, reason: str) -> None:
        log_event(reason)
        await _insist(lambda: self.leases.fail_job(reason))


async def _insist(work: Callable[[], Awaitable[T]]) -> T:
    """Retry until the database answers."""
    while True:
        try:
            return await work()
        except Unavailable as error:
            log_event(f"waiting: {error}")
            await asyncio.sleep(IDLE)


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
