"""Runs one object of a job: reads it, asks the workers, writes the output in the input's order, and publishes it."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from tidegate.domain.errors import TidegateError
from tidegate.domain.transform import InputObject, TransformJob
from tidegate.features.batch.runner import job_storage
from tidegate.features.batch.runner.client import BatchAnswer, BatchClient, RecordError
from tidegate.features.batch.runner.inputs import JobInputs
from tidegate.features.batch.runner.job_storage import JobStorage
from tidegate.features.batch.runner.output_part import OutputPart
from tidegate.features.batch.runner.pacing import RetryTimeout, RetryWait
from tidegate.features.batch.runner.table_records import assemble, may_answer_tables
from tidegate.storage.files import ALONE, Claim
from tidegate.transform.splitting import Oversized

READING, PUBLISHING = "reading", "publishing"
AHEAD = 4
"""Times the requests in flight: so many batches of an object may be answered before one that comes first."""
HELD = 16 * 1024 * 1024
"""Bytes of answers that wait for an earlier one, from which on no more is asked for."""
BAD_SIZE = 256
"""Bytes that a bad record counts as, with its message."""


class _UnusableRecords(TidegateError):
    """Records that got no answer; the message names them."""


@dataclass
class ObjectRunner:
    """Several objects may be processed at a time."""

    job: TransformJob
    inputs: JobInputs
    storage: JobStorage
    retry_wait: RetryWait
    client: BatchClient
    _has_answer: bool = False

    async def process(self, item: InputObject, part: OutputPart, claim: Claim = ALONE) -> None:
        """Raises RetryTimeout if other objects have the same trouble with the storage or the disk."""
        retry = partial(self.retry_wait.retry, item.uri)
        try:
            await retry(READING, lambda: self._process_once(item, part), lambda: part.saved.record)
            if part.checkpoint.bad and part.checkpoint.bad == part.checkpoint.record - 1:
                await retry(READING, lambda: asyncio.to_thread(part.save))
                raise _UnusableRecords("the model turned every record down")
            await retry(PUBLISHING, lambda: self._publish_once(item, part, claim))
        except RetryTimeout as error:
            raise RetryTimeout(f"{item.uri}: {error}") from None
        except TidegateError as error:
            part.fail(str(error))
        else:
            part.finish()

    async def _process_once(self, item: InputObject, part: OutputPart) -> None:
        """Continues from the last checkpoint. Saves one if it fails; else the output is about to be published."""
        part.resume()
        try:
            await self._stream(item, part)
            # Of answers that are framed, what is assembled of them is brought to the disk.
            await asyncio.to_thread(part.sync, out=not may_answer_tables(self.job))
        except BaseException:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(part.save)
            raise

    async def _stream(self, item: InputObject, part: OutputPart) -> None:
        """Raises errors of the storage or of a record, after everything before it is written."""
        local = self.inputs.local(item)
        source = self.inputs.requests(item, part, self.client, local)
        waiting: deque[asyncio.Task[BatchAnswer]] = deque()
        answered = asyncio.Event()
        failed: TidegateError | None = None
        ended = False
        try:
            while waiting or not ended:
                answered.clear()
                while not ended and _has_room(waiting, self._window) and not (waiting and waiting[0].done()):
                    try:
                        asking = next(source, None) if local else await asyncio.to_thread(next, source, None)
                    except TidegateError as error:
                        asking, failed = None, error
                    if asking is None:
                        ended = True
                    else:
                        waiting.append(asyncio.create_task(asking()))
                        waiting[-1].add_done_callback(lambda _: answered.set())
                while waiting and waiting[0].done():
                    await self._add_answer(item, part, waiting.popleft())
                if waiting and (ended or not _has_room(waiting, self._window)):
                    await answered.wait()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if isinstance(failed, Oversized):
            raise _UnusableRecords(f"record {part.checkpoint.record} is larger than {failed.size}")
        if failed is not None:
            raise failed

    @property
    def _window(self) -> int:
        """Batches of an object in flight: one more than the workers take, so that one is always ready."""
        return self.inputs.plan.concurrency * self.job.instances + 1

    async def _add_answer(self, item: InputObject, part: OutputPart, asking: asyncio.Task[BatchAnswer]) -> None:
        try:
            done = await asking
        except RecordError as failed:
            raise _UnusableRecords(failed.describe(part.checkpoint.record)) from None
        if not self._has_answer:
            self._has_answer = True
            log_event("answered")
        if part.add(done):
            await asyncio.to_thread(part.save)
            self.retry_wait.mark_progress(READING)
        self.inputs.record_progress(item, part)

    async def _publish_once(self, item: InputObject, part: OutputPart, claim: Claim) -> None:
        """Saves a checkpoint if it fails: what was computed is published later."""
        try:
            await asyncio.to_thread(self._publish, item, part, claim)
        except (TidegateError, OSError):
            with contextlib.suppress(OSError):
                await asyncio.to_thread(part.save)
            raise

    def _publish(self, item: InputObject, part: OutputPart, claim: Claim) -> None:
        prefix = self.job.sink.uri.rstrip("/")
        out = part.assembled if may_answer_tables(self.job) else part.out
        outputs = {out: job_storage.OUT, part.errors: job_storage.ERRORS}
        if not part.checkpoint.errors:
            del outputs[part.errors]
        if out == part.assembled and out not in part.published:
            assemble(part.out, out)
        for path, ending in outputs.items():
            if path in part.published:
                continue  # a local output was renamed
            self.storage.publish(path, f"{prefix}/{item.name}{ending}", claim)
            part.published.add(path)


def _has_room(waiting: Iterable["asyncio.Task[BatchAnswer]"], window: int) -> bool:
    """Whether another batch may be asked for, with those ``waiting``, in order. An answer that comes late keeps no
    worker idle, but what is held until then is bounded: in number, and beyond a ``window`` of them in bytes."""
    asked = under_way = held = 0
    for task in waiting:
        asked += 1
        if not task.done():
            under_way += 1
        elif not task.cancelled() and task.exception() is None:
            found = task.result()
            held += len(found.out) + BAD_SIZE * len(found.bad)
        else:
            return False  # nothing after it will be written
    return under_way < window and (asked < window or (asked < AHEAD * window and held < HELD))


def log_event(what: str) -> None:
    """Writes an event to the log, with the time (epoch seconds)."""
    print(f"{what} {time.time():.4f}", flush=True)
