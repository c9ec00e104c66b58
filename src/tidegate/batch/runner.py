"""Runs a job: several objects at a time, several requests of each in flight, outputs in the order of the input."""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from tidegate.batch.client import Answered, Asker, RecordFailed
from tidegate.batch.inputs import Inputs
from tidegate.batch.job_file import JobFile, Result, keep, load
from tidegate.batch.object_io import Places, Thing
from tidegate.batch.output_part import Part
from tidegate.batch.retry_wait import GivenUp, Waits
from tidegate.batch.table_records import assemble, by_rows, tables_out
from tidegate.batch.worker_pool import Fleet
from tidegate.domain.errors import TidegateError
from tidegate.domain.transform import TransformJob, TransformProgress
from tidegate.host.preallocated import PreallocatedFiles
from tidegate.transform import naming, pacing
from tidegate.transform.pacing import Settled
from tidegate.transform.splitting import Oversized

SHOW_EVERY = 0.2
READING, PUBLISHING = "reading", "publishing"
ATTEMPT = "attempt.json"
"""How often the job had been resumed when its objects were looked at last."""


class Unusable(TidegateError):
    """Records that cannot be had; the message names them."""


@dataclass
class Run:
    file: JobFile
    folder: Path
    places: Places
    things: list[Thing] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)
    waits: Waits = field(default_factory=Waits)
    _answered: bool = False

    def __post_init__(self) -> None:
        job = self.file.job
        self.inputs = Inputs(job, by_rows(job, self.file.built_in), self.places)
        self._files = PreallocatedFiles(self.folder)

    @property
    def settled(self) -> Settled:
        return self.inputs.settled

    async def run(self) -> Result:
        """How the job ended; everything that went wrong is in it."""
        job, left = self.file.job, remaining(self.file.job, time.time())
        self.waits.deadline = None if left is None else self.waits.clock() + left
        showing = asyncio.create_task(self._show())
        reason = ""
        try:
            async with asyncio.timeout(left):
                await self._whole()
        except* TimeoutError:
            reason = f"its deadline of {job.pace.deadline:g} seconds has passed"
        except* TidegateError as group:
            reason = str(_first(group))
        finally:
            showing.cancel()
            for part in self.parts.values():
                part.close()
            self._show_once(self.progress())
        failed = [(thing, part) for thing in self.things if (part := self._part(thing)).mark.reason]
        if reason or not failed:
            return self._result(reason)
        more = f" (and {len(failed) - 1} objects more)" if len(failed) > 1 else ""
        return self._result(f"{failed[0][0].uri}: {failed[0][1].mark.reason}{more}")

    def _result(self, reason: str) -> Result:
        return Result(reason, self.file.job.resumed)

    async def _whole(self) -> None:
        """Raises what ends the job; what ends an object alone is in its mark."""
        job = self.file.job
        try:
            await self.waits.out(job.source.uri, READING, lambda: asyncio.to_thread(self._list))
            self.places.check_writable(job.sink.uri)
        except TidegateError as error:
            raise type(error)(f"{job.source.uri}: {error}") from None
        fleet = Fleet(Path(self.file.replicas))
        asker = Asker(job, fleet, self.inputs.rows)
        try:
            said = pacing.heard(await fleet.parameters())
            self.inputs.settled = pacing.settle(job.pace, said, job.source.split, self.file.built_in)
            fleet.each = self.settled.concurrency
            say("asked")
            left = deque(self.things)
            lanes = min(len(left), max(1, job.instances * self.settled.concurrency))
            async with asyncio.TaskGroup() as group:
                for _ in range(lanes):
                    group.create_task(self._lane(left, asker))
        finally:
            fleet.close()

    def _list(self) -> None:
        """Once: a job that goes on reads what it read at first. One that was resumed looks which of its objects have
        changed, and does those anew."""
        kept, attempt = self.folder / "objects.json", self.file.job.resumed
        (self.folder / "parts").mkdir(exist_ok=True)
        known = load(kept, list[Thing])
        if known is None:
            self.things = self.places.listing(self.file.job.source)
        elif attempt != (load(self.folder / ATTEMPT, int) or 0):
            now = {thing.uri: thing for thing in self.places.listing(self.file.job.source)}
            self.things = [now.get(thing.uri, thing) for thing in known]
            for before, thing in zip(known, self.things, strict=True):
                if thing != before:
                    self._part(thing).discard()
        else:
            self.things = known
        keep(kept, self.things)
        keep(self.folder / ATTEMPT, attempt)
        for thing in self.things:
            self._part(thing).resume_mark()

    def _part(self, thing: Thing) -> Part:
        name = naming.part_name(thing.uri)
        if name not in self.parts:
            self.parts[name] = Part(self.folder / "parts" / name, attempt=self.file.job.resumed)
        return self.parts[name]

    async def _lane(self, left: deque[Thing], asker: Asker) -> None:
        while left:
            thing = left.popleft()
            part = self._part(thing)
            if not part.mark.done and not part.mark.reason:
                await self._object(thing, part, asker)
            self.inputs.taken[part.path.name] = thing.size

    async def _object(self, thing: Thing, part: Part, asker: Asker) -> None:
        """Raises GivenUp where trouble with the storage or the disk is not of this object alone."""
        out = partial(self.waits.out, thing.uri)
        try:
            await out(READING, lambda: self._go_on(thing, part, asker), lambda: part.saved.record)
            if part.mark.bad and part.mark.bad == part.mark.record - 1:
                raise Unusable("the model turned every record down")
            await out(READING, lambda: asyncio.to_thread(part.keep))
            await out(PUBLISHING, lambda: asyncio.to_thread(self._publish, thing, part))
        except GivenUp as error:
            raise GivenUp(f"{thing.uri}: {error}") from None
        except TidegateError as error:
            part.fail(str(error))
        else:
            part.finish()

    async def _go_on(self, thing: Thing, part: Part, asker: Asker) -> None:
        """From the last checkpoint."""
        part.resume()
        try:
            await self._stream(thing, part, asker)
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(part.keep)

    async def _stream(self, thing: Thing, part: Part, asker: Asker) -> None:
        """Raises what the place or a record raises, once all that comes before it is written."""
        local = self.inputs.local(thing)
        source, room = self.inputs.asked(thing, part, asker, local), self._room
        waiting: deque[asyncio.Task[Answered]] = deque()
        failed: TidegateError | None = None
        ended = False
        try:
            while waiting or not ended:
                while not ended and len(waiting) < room:
                    try:
                        asking = next(source, None) if local else await asyncio.to_thread(next, source, None)
                    except TidegateError as error:
                        asking, failed = None, error
                    if asking is None:
                        ended = True
                    else:
                        waiting.append(asyncio.create_task(asking()))
                if waiting:
                    await self._take(thing, part, waiting.popleft())
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if isinstance(failed, Oversized):
            raise Unusable(f"record {part.mark.record} is larger than {failed.size}")
        if failed is not None:
            raise failed

    @property
    def _room(self) -> int:
        """Batches of an object that are asked for at one time: one is ready when a worker is."""
        return self.settled.concurrency * self.file.job.instances + 1

    async def _take(self, thing: Thing, part: Part, asking: asyncio.Task[Answered]) -> None:
        try:
            done = await asking
        except RecordFailed as failed:
            raise Unusable(failed.named(part.mark.record)) from None
        if not self._answered:
            self._answered = True
            say("answered")
        if part.add(done):
            await asyncio.to_thread(part.keep)
            self.waits.moved(READING)
        self.inputs.passed(thing, part)

    def _publish(self, thing: Thing, part: Part) -> None:
        prefix = self.file.job.sink.uri.rstrip("/")
        out = part.assembled if tables_out(self.file.job) else part.out
        outputs = {out: naming.OUT, part.errors: naming.ERRORS}
        if not part.mark.errors:
            del outputs[part.errors]
        if out == part.assembled and out not in part.published:
            assemble(part.out, out)
        for path, ending in outputs.items():
            if path in part.published:
                continue  # a local output was renamed, and is gone from here
            self.places.publish(path, f"{prefix}/{thing.name}{ending}")
            part.published.add(path)

    def progress(self) -> TransformProgress:
        marks = [part.mark for part in self.parts.values()]
        return TransformProgress(
            objects=len(self.things),
            objects_done=sum(mark.done for mark in marks),
            objects_failed=sum(bool(mark.reason) for mark in marks),
            records=sum(mark.record - 1 for mark in marks),
            bad_records=sum(mark.bad for mark in marks),
            bytes_total=sum(thing.size for thing in self.things),
            bytes_done=sum(self.inputs.taken.values()),
            waiting=next(iter(f"{who}: {why}" for who, why in self.waits.reasons.items()), ""),
        )

    async def _show(self) -> None:
        shown = TransformProgress()
        while True:
            now = self.progress()
            if now != shown:
                self._show_once(now)
                shown = now
            await asyncio.sleep(SHOW_EVERY)

    def _show_once(self, progress: TransformProgress) -> None:
        """Also while the disk is full."""
        with contextlib.suppress(OSError):
            self._files.write("progress.json", msgspec.json.encode(progress))


def say(what: str) -> None:
    """To the log, with the time (epoch seconds)."""
    print(f"{what} {time.time():.4f}", flush=True)


def remaining(job: TransformJob, now: float) -> float | None:
    """Seconds until the job's deadline; None where it has none. ``now``: epoch seconds."""
    begun = job.resumed_at or job.started_at
    if job.pace.deadline is None or begun is None:
        return job.pace.deadline
    return max(0.0, begun.timestamp() + job.pace.deadline - now)


def _first(group: BaseExceptionGroup[TidegateError]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
