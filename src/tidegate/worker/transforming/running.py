"""Runs a job: several objects at a time, several requests of each in flight, outputs in the order of the input."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.model.errors import TidegateError, Transient
from tidegate.model.transform import Progress
from tidegate.transform import naming, pacing
from tidegate.transform.pacing import Settled
from tidegate.transform.splitting import Oversized
from tidegate.worker.transforming.asking import Answered, Asker, RecordFailed
from tidegate.worker.transforming.fleet import Fleet
from tidegate.worker.transforming.inputs import Inputs
from tidegate.worker.transforming.jobfile import JobFile, Result, keep, load
from tidegate.worker.transforming.part import Part
from tidegate.worker.transforming.places import Places, Thing
from tidegate.worker.transforming.tabular import assemble, by_rows, tables_out

SHOW_EVERY = 0.2
TRIES = 5
"""Times that a place which does not answer is tried."""


class Unusable(TidegateError):
    """Records that cannot be had; the message names them."""


@dataclass
class Run:
    file: JobFile
    folder: Path
    places: Places
    things: list[Thing] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)
    _answered: bool = False

    def __post_init__(self) -> None:
        job = self.file.job
        self.inputs = Inputs(job, by_rows(job, self.file.built_in), self.places)

    @property
    def settled(self) -> Settled:
        return self.inputs.settled

    async def run(self) -> Result:
        """How the job ended; everything that went wrong is in it."""
        job = self.file.job
        fleet = Fleet(Path(self.file.replicas))
        asker = Asker(job, fleet, self.inputs.rows)
        try:
            await patient(self._list)
            self.places.check_writable(job.sink.uri)
        except TidegateError as error:
            return Result(f"{job.source.uri}: {error}")
        showing = asyncio.create_task(self._show())
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
            showing.cancel()
            fleet.close()
            for part in self.parts.values():
                part.close()
            keep(self.folder / "progress.json", self.progress(), sync=False)
        failed = [(thing, part) for thing in self.things if (part := self._part(thing)).mark.reason]
        if not failed:
            return Result()
        more = f" (and {len(failed) - 1} objects more)" if len(failed) > 1 else ""
        return Result(f"{failed[0][0].uri}: {failed[0][1].mark.reason}{more}")

    def _list(self) -> None:
        """Once: a job that goes on reads what it read at first."""
        kept = self.folder / "objects.json"
        (self.folder / "parts").mkdir(exist_ok=True)
        self.things = load(kept, list[Thing]) or self.places.listing(self.file.job.source)
        keep(kept, self.things)
        for thing in self.things:
            self._part(thing).resume_mark()

    def _part(self, thing: Thing) -> Part:
        name = naming.part_name(thing.uri)
        if name not in self.parts:
            self.parts[name] = Part(self.folder / "parts" / name)
        return self.parts[name]

    async def _lane(self, left: deque[Thing], asker: Asker) -> None:
        while left:
            thing = left.popleft()
            part = self._part(thing)
            part.resume()
            if not part.mark.done and not part.mark.reason:
                await self._object(thing, part, asker)
            self.inputs.taken[part.path.name] = thing.size

    async def _object(self, thing: Thing, part: Part, asker: Asker) -> None:
        try:
            for attempt in range(TRIES):
                try:
                    await self._stream(thing, part, asker)
                    break
                except Transient:
                    if attempt == TRIES - 1:
                        raise
                    await asyncio.sleep(0.5 * 2**attempt)
                    part.keep()
                    part.close()
                    part.resume()
            if part.mark.bad and part.mark.bad == part.mark.record - 1:
                raise Unusable("the model turned every record down")
            await asyncio.to_thread(part.sync)
            await patient(lambda: self._publish(thing, part))
        except TidegateError as error:
            part.finish(str(error))
        else:
            part.finish()

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
                        waiting.append(asyncio.create_task(asking))
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
        self.inputs.passed(thing, part)

    def _publish(self, thing: Thing, part: Part) -> None:
        prefix = self.file.job.sink.uri.rstrip("/")
        errors = part.errors.stat().st_size > 0
        out = part.out
        if tables_out(self.file.job):
            out = part.assembled
            assemble(part.out, out)
        self.places.publish(out, f"{prefix}/{thing.name}{naming.OUT}")
        if errors:
            self.places.publish(part.errors, f"{prefix}/{thing.name}{naming.ERRORS}")

    def progress(self) -> Progress:
        marks = [part.mark for part in self.parts.values()]
        return Progress(
            objects=len(self.things),
            objects_done=sum(mark.done for mark in marks),
            objects_failed=sum(bool(mark.reason) for mark in marks),
            records=sum(mark.record - 1 for mark in marks),
            bad_records=sum(mark.bad for mark in marks),
            bytes_total=sum(thing.size for thing in self.things),
            bytes_done=sum(self.inputs.taken.values()),
        )

    async def _show(self) -> None:
        shown = Progress()
        while True:
            now = self.progress()
            if now != shown:
                with contextlib.suppress(OSError):
                    keep(self.folder / "progress.json", now, sync=False)
                shown = now
            await asyncio.sleep(SHOW_EVERY)


def say(what: str) -> None:
    """To the log, with the time (epoch seconds)."""
    print(f"{what} {time.time():.4f}", flush=True)


async def patient(work: Callable[[], None]) -> None:
    """What a place refuses for now is tried again, in a thread."""
    for attempt in range(TRIES):
        try:
            await asyncio.to_thread(work)
            return
        except Transient:
            if attempt == TRIES - 1:
                raise
            await asyncio.sleep(0.5 * 2**attempt)
