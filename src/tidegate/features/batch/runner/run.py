"""Runs a job: several objects at a time, several requests of each in flight, outputs in the order of the input."""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidegate.domain.errors import TidegateError
from tidegate.domain.transform import InputObject, TransformJob, TransformProgress
from tidegate.features.batch.runner import job_storage, pacing
from tidegate.features.batch.runner.client import BatchClient
from tidegate.features.batch.runner.inputs import JobInputs
from tidegate.features.batch.runner.job_file import JobFile, TransformResult, load, save
from tidegate.features.batch.runner.job_storage import JobStorage
from tidegate.features.batch.runner.object_runner import READING, ObjectRunner, log_event
from tidegate.features.batch.runner.output_part import OutputPart
from tidegate.features.batch.runner.pacing import RequestPlan, RetryWait
from tidegate.features.batch.runner.table_records import import_early, splits_rows
from tidegate.features.batch.runner.worker_pool import ReplicaFolders, WorkerPool
from tidegate.host.preallocated import PreallocatedFiles

PROGRESS_INTERVAL = 0.2
ATTEMPT = "attempt.json"
"""How often the job had been resumed when its objects were last listed."""


@dataclass
class JobRunner:
    file: JobFile
    folder: Path
    storage: JobStorage
    objects: list[InputObject] = field(default_factory=list)
    parts: dict[str, OutputPart] = field(default_factory=dict)
    retry_wait: RetryWait = field(default_factory=RetryWait)

    def __post_init__(self) -> None:
        job = self.file.job
        self.inputs = JobInputs(job, splits_rows(job, self.file.built_in), self.storage)
        self._files = PreallocatedFiles(self.folder)

    @property
    def plan(self) -> RequestPlan:
        return self.inputs.plan

    async def run(self) -> TransformResult:
        """Returns how the job ended, errors included."""
        job, left = self.file.job, remaining(self.file.job, time.time())
        self.retry_wait.deadline = None if left is None else self.retry_wait.clock() + left
        import_early(job, self.inputs.rows)
        showing = asyncio.create_task(self._report_progress())
        reason = ""
        try:
            async with asyncio.timeout(left):
                await self._run_objects()
        except* TimeoutError:
            reason = f"its deadline of {job.pace.deadline:g} seconds has passed"
        except* TidegateError as group:
            reason = str(_first_error(group))
        finally:
            showing.cancel()
            for part in self.parts.values():
                part.close()
            self._write_progress(self.progress())
        failed = [(item, part) for item in self.objects if (part := self._part(item)).checkpoint.reason]
        if reason or not failed:
            return self._result(reason)
        more = f" (and {len(failed) - 1} objects more)" if len(failed) > 1 else ""
        return self._result(f"{failed[0][0].uri}: {failed[0][1].checkpoint.reason}{more}")

    def _result(self, reason: str) -> TransformResult:
        return TransformResult(reason, self.file.job.resumed)

    async def _run_objects(self) -> None:
        """Raises errors that end the job; an error of one object is in its checkpoint."""
        job = self.file.job
        try:
            await self.retry_wait.retry(job.source.uri, READING, lambda: asyncio.to_thread(self._list_objects))
            self.storage.check_writable(job.sink.uri)
        except TidegateError as error:
            raise type(error)(f"{job.source.uri}: {error}") from None
        pool = WorkerPool(ReplicaFolders(Path(self.file.replicas)))
        client = BatchClient(job, pool, self.inputs.rows)
        objects = ObjectRunner(job, self.inputs, self.storage, self.retry_wait, client)
        try:
            parameters = pacing.parse_parameters(await pool.execution_parameters())
            self.inputs.plan = pacing.plan_requests(job.pace, parameters, job.source.split, self.file.built_in)
            pool.concurrency = self.plan.concurrency
            log_event("asked")
            left = deque(self.objects)
            lanes = min(len(left), max(1, job.instances * self.plan.concurrency))
            async with asyncio.TaskGroup() as group:
                for _ in range(lanes):
                    group.create_task(self._work(left, objects))
        finally:
            pool.close()

    def _list_objects(self) -> None:
        """Lists the objects once: a job that continues keeps the first list. A job that was resumed compares it with
        a new one, and starts changed objects again."""
        kept, attempt = self.folder / "objects.json", self.file.job.resumed
        (self.folder / "parts").mkdir(exist_ok=True)
        known, compared = load(kept, list[InputObject]), load(self.folder / ATTEMPT, int) or 0
        if known is None:
            self.objects = self.storage.list_objects(self.file.job.source)
        elif attempt != compared:
            now = {item.uri: item for item in self.storage.list_objects(self.file.job.source)}
            self.objects = [now.get(item.uri, item) for item in known]
            for before, item in zip(known, self.objects, strict=True):
                if item != before:
                    self._part(item).discard()
        else:
            self.objects = known
        if self.objects != known:
            save(kept, self.objects)
        if attempt != compared:
            save(self.folder / ATTEMPT, attempt)
        for item in self.objects:
            self._part(item).load_checkpoint()

    def _part(self, item: InputObject) -> OutputPart:
        name = job_storage.part_name(item.uri)
        if name not in self.parts:
            self.parts[name] = OutputPart(self.folder / "parts" / name, attempt=self.file.job.resumed)
        return self.parts[name]

    async def _work(self, left: deque[InputObject], objects: ObjectRunner) -> None:
        while left:
            item = left.popleft()
            part = self._part(item)
            if not part.checkpoint.done and not part.checkpoint.reason:
                await objects.process(item, part)
            self.inputs.bytes_done[part.path.name] = item.size

    def progress(self) -> TransformProgress:
        checkpoints = [part.checkpoint for part in self.parts.values()]
        return TransformProgress(
            objects=len(self.objects),
            objects_done=sum(checkpoint.done for checkpoint in checkpoints),
            objects_failed=sum(bool(checkpoint.reason) for checkpoint in checkpoints),
            records=sum(checkpoint.record - 1 for checkpoint in checkpoints),
            bad_records=sum(checkpoint.bad for checkpoint in checkpoints),
            bytes_total=sum(item.size for item in self.objects),
            bytes_done=sum(self.inputs.bytes_done.values()),
            waiting=next(iter(f"{who}: {why}" for who, why in self.retry_wait.reasons.items()), ""),
        )

    async def _report_progress(self) -> None:
        shown = TransformProgress()
        while True:
            now = self.progress()
            if now != shown:
                self._write_progress(now)
                shown = now
            await asyncio.sleep(PROGRESS_INTERVAL)

    def _write_progress(self, progress: TransformProgress) -> None:
        """Works while the disk is full, too."""
        with contextlib.suppress(OSError):
            self._files.write("progress.json", msgspec.json.encode(progress))


def remaining(job: TransformJob, now: float) -> float | None:
    """Seconds until the job's deadline; None: it has none. ``now``: epoch seconds."""
    begun = job.resumed_at or job.started_at
    if job.pace.deadline is None or begun is None:
        return job.pace.deadline
    return max(0.0, begun.timestamp() + job.pace.deadline - now)


def _first_error(group: BaseExceptionGroup[TidegateError]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
