"""Sends one batch of records to a worker: with retries, and split down to single records if some are bad."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError
from tidegate.domain.transform import BadRows, SplitType, TransformJob
from tidegate.features.batch.runner.line_ranges import LineRange
from tidegate.features.batch.runner.table_records import frame, may_answer_tables, table_io
from tidegate.features.batch.runner.worker_pool import WorkerPool
from tidegate.http1.messages import ConnectionBroken, HttpReply
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.scoring.file_ranges import FIRST, HEADER, RECORDS, FilePart, read
from tidegate.storage.files import unreadable
from tidegate.transform.joining import MAGIC, Processor, UnfitRecord
from tidegate.transform.splitting import Batch, count_lines, cut_records

PATH = "/invocations"
PAUSE = 0.1
"""Seconds before the first retry; doubled with each."""


class RecordError(Exception):
    """Records that got no answer, from ``low`` to ``high`` (inclusive), counted within their batch from 0."""

    def __init__(self, low: int, high: int, message: str) -> None:
        super().__init__(message)
        self._low, self._high, self._message = low, high, message

    def describe(self, first: int) -> str:
        """Describe the failure. ``first``: number of the batch's first record."""
        low, high = first + self._low, first + self._high
        what = f"record {low}" if low == high else f"records {low} to {high}"
        return f"{what}: {self._message}"


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine, as it was when the job began; workers read parts of it themselves."""

    path: str
    tag: str


@dataclass(frozen=True)
class _BatchRefused:
    """The model refused a batch. ``retryable``: another attempt may succeed."""

    message: str
    retryable: bool = False


@dataclass(frozen=True)
class BadRecord:
    """``record`` counts within the batch, from 0."""

    record: int
    message: str


@dataclass(frozen=True)
class BatchAnswer:
    """``end``: offset after the batch; ``count``: its records, the ``bad`` ones included."""

    end: int
    count: int
    out: bytes
    bad: tuple[BadRecord, ...] = ()

    def error_lines(self, first: int) -> bytes:
        """Return the lines for the error file. ``first``: number of the batch's first record."""
        return b"".join(
            msgspec.json.encode({"line": first + bad.record, "message": bad.message}) + b"\n" for bad in self.bad
        )


class _Error(msgspec.Struct):
    message: str = msgspec.field(default="", name="Message")
    status: int = msgspec.field(default=0, name="OriginalStatusCode")
    original: str = msgspec.field(default="", name="OriginalMessage")


class BatchClient:
    def __init__(self, job: TransformJob, pool: WorkerPool, rows: bool = False) -> None:
        """``rows``: objects are tables, and batches are some of their rows."""
        self._pace = job.pace
        self._rows = rows
        self._framed = may_answer_tables(job)
        self._split = job.source.split
        self._lenient = job.on_bad_rows is BadRows.ERRORS
        self._by_line = job.sink.by_line
        self._pool = pool
        self._processor = None if job.processing.plain else Processor(job.processing, job.source.content_type)
        accept = job.sink.accept or (self._processor.accept if self._processor is not None else "")
        self._headers = [
            (name, value.encode("latin-1", "replace"))
            for name, value in ((b"content-type", job.source.content_type), (b"accept", accept))
            if value
        ]

    async def answer(self, batch: Batch) -> BatchAnswer:
        """Answer a batch. Raises RecordError."""
        found = await self._ask_records(batch.body, batch.first)
        if isinstance(found, _BatchRefused):
            return await self._handle_refusal(batch, found)
        return BatchAnswer(batch.end, batch.count, found)

    async def answer_range(self, line_range: LineRange, file: LocalFile) -> BatchAnswer:
        """Answer a part of a file that the worker reads itself. Raises RecordError, or Transient or ArtifactError if
        the part cannot be read here either."""
        part = FilePart(file.path, line_range.begin, line_range.end - line_range.begin, file.tag)
        headers = [*self._headers, (FIRST, b"0" if line_range.begin else b"1"), (HEADER, part.encode())]
        found = await self._ask_with_retries(headers, b"")
        if isinstance(found, HttpReply):
            counted = found.headers.get(RECORDS)
            # Workers that were started before an upgrade do not count records.
            count = int(counted) if counted is not None else count_lines(await asyncio.to_thread(read, part))
            return BatchAnswer(line_range.end, count, self._finish_output(found.body))
        try:
            body = await asyncio.to_thread(read, part)
        except ModelFailed as error:
            raise ArtifactError(error.message) from None
        except OSError as error:
            raise unreadable(error) from None
        return await self._handle_refusal(
            Batch(body, 2 if line_range.begin else 1, count_lines(body), line_range.end), found
        )

    async def _handle_refusal(self, batch: Batch, found: _BatchRefused) -> BatchAnswer:
        if batch.count > 1 and (self._lenient or not found.retryable):
            return await self._bisect(batch)
        if not self._lenient or not (self._rows or self._split is not SplitType.NONE):
            raise RecordError(0, batch.count - 1, found.message)
        return BatchAnswer(batch.end, 1, b"", (BadRecord(0, found.message),))

    async def _bisect(self, batch: Batch) -> BatchAnswer:
        """Bisect a batch until the bad records are found."""
        slice_of = table_io().slicer(batch.body) if self._rows else _slicer(cut_records(batch.body, self._split))
        out, bad = [], []
        waiting = [(0, batch.count)]
        while waiting:
            low, high = waiting.pop()
            found = await self._ask_records(slice_of(low, high), batch.first + low)
            if isinstance(found, bytes):
                out.append(found)
            elif high - low > 1:
                middle = (low + high) // 2
                waiting += [(middle, high), (low, middle)]
            elif self._lenient:
                bad.append(BadRecord(low, found.message))
            else:
                raise RecordError(low, low, found.message)
        return BatchAnswer(batch.end, batch.count, b"".join(out), tuple(bad))

    async def _ask_records(self, body: bytes, first: int) -> bytes | _BatchRefused:
        """Send a batch, and return what it adds to the output. ``first``: number of its first record; only whether it
        is 1 matters."""
        try:
            begins = first == 1
            sent = body if self._processor is None else self._processor.filter_input(body, begins)
            of_records = self._rows or self._split is not SplitType.NONE
            place = [(FIRST, b"1" if begins else b"0")] if of_records else []
            found = await self._ask_with_retries([*self._headers, *place], sent)
            if isinstance(found, _BatchRefused):
                return found
            if self._processor is None:
                return self._finish_output(found.body)
            self._processor.check_answer(found.headers.get(b"content-type", b"").decode("latin-1"), found.body)
            return self._finish_output(self._processor.join_output(body, found.body, begins))
        except UnfitRecord as unfit:
            return _BatchRefused(str(unfit))

    async def _ask_with_retries(
        self, headers: list[tuple[bytes, bytes]], sent: bytes
    ) -> HttpReply | _BatchRefused:
        refusal = _BatchRefused("")
        for attempt in range(self._pace.retries + 1):
            if attempt:
                await asyncio.sleep(PAUSE * 2 ** (attempt - 1))
            found = await self._ask(headers, sent)
            if isinstance(found, HttpReply):
                return found
            refusal = found
            if not refusal.retryable:
                break
        return refusal

    async def _ask(self, headers: list[tuple[bytes, bytes]], sent: bytes) -> HttpReply | _BatchRefused:
        worker = await self._pool.acquire()
        try:
            async with asyncio.timeout(self._pace.timeout):
                reply = await worker.client.request("POST", PATH, headers, sent)
        except TimeoutError:
            return _BatchRefused(f"no answer within {self._pace.timeout:g} seconds", retryable=True)
        except ConnectionBroken as broken:
            self._pool.discard(worker)
            return _BatchRefused(f"the worker closed the connection: {broken}", retryable=True)
        except ValueError as error:
            return _BatchRefused(f"the answer cannot be used: {error}")
        finally:
            self._pool.release(worker)
        return reply if reply.status == 200 else _refusal(reply)

    def _finish_output(self, found: bytes) -> bytes:
        if self._by_line and not found.endswith(b"\n") and not (self._framed and found.startswith(MAGIC)):
            found += b"\n"
        return frame(found) if self._framed else found


def _slicer(records: list[bytes]) -> Callable[[int, int], bytes]:
    return lambda low, high: b"".join(records[low:high])


def _refusal(reply: HttpReply) -> _BatchRefused:
    try:
        error = msgspec.json.decode(reply.body, type=prepare_type(_Error))
    except msgspec.DecodeError:
        error = _Error()
    status = error.status or reply.status
    message = error.original or error.message or f"status {status}"
    return _BatchRefused(" ".join(message.split()), retryable=status >= 500 or status in (0, 429))
