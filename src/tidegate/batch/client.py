"""One batch of records to a worker, as often as it takes, and down to single records where some are bad."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tidegate.batch.line_ranges import Piece
from tidegate.batch.retry_wait import of_disk
from tidegate.batch.table_records import BEGINNINGS, framed, tables, tables_out
from tidegate.batch.worker_pool import Fleet
from tidegate.domain.errors import ArtifactError
from tidegate.domain.transform import BadRows, SplitType, TransformJob
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.runtimes.http_client import ConnectionBroken, Reply
from tidegate.serving.scoring.file_ranges import FIRST, HEADER, RECORDS, Part, read
from tidegate.transform.joining import Processor, Unfit
from tidegate.transform.splitting import Batch, count_lines, cut_records

PATH = "/invocations"
PAUSE = 0.1
"""Seconds before the first try again; each later pause is twice as long."""


class RecordFailed(Exception):
    """Records that cannot be had, from ``low`` to ``high`` (inclusive), counted within their batch from 0."""

    def __init__(self, low: int, high: int, message: str) -> None:
        super().__init__(message)
        self._low, self._high, self._message = low, high, message

    def named(self, first: int) -> str:
        """``first``: number of the batch's first record."""
        low, high = first + self._low, first + self._high
        what = f"record {low}" if low == high else f"records {low} to {high}"
        return f"{what}: {self._message}"


@dataclass(frozen=True)
class Local:
    """A file of this machine, as it was when the job began; see ``byreference``."""

    path: str
    tag: str


@dataclass(frozen=True)
class Refusal:
    """The model's answer to a batch is no. ``again``: another try may help."""

    message: str
    again: bool = False


@dataclass(frozen=True)
class Bad:
    """``record`` counts within the batch, from 0."""

    record: int
    message: str


@dataclass(frozen=True)
class Answered:
    """``end``: offset after the batch; ``count``: records that it had, the ``bad`` ones too."""

    end: int
    count: int
    out: bytes
    bad: tuple[Bad, ...] = ()

    def errors(self, first: int) -> bytes:
        """Lines for the error file. ``first``: number of the batch's first record."""
        return b"".join(
            msgspec.json.encode({"line": first + bad.record, "message": bad.message}) + b"\n" for bad in self.bad
        )


class _Error(msgspec.Struct):
    message: str = msgspec.field(default="", name="Message")
    status: int = msgspec.field(default=0, name="OriginalStatusCode")
    original: str = msgspec.field(default="", name="OriginalMessage")


class Asker:
    def __init__(self, job: TransformJob, fleet: Fleet, rows: bool = False) -> None:
        """``rows``: objects are tables, batches some of their rows."""
        self._pace = job.pace
        self._rows = rows
        self._framed = tables_out(job)
        self._split = job.source.split
        self._lenient = job.on_bad_rows is BadRows.ERRORS
        self._by_line = job.sink.by_line
        self._fleet = fleet
        self._processor = None if job.processing.plain else Processor(job.processing, job.source.content_type)
        self._headers = [
            (name, value.encode("latin-1", "replace"))
            for name, value in ((b"content-type", job.source.content_type), (b"accept", job.sink.accept))
            if value
        ]

    async def answer(self, batch: Batch) -> Answered:
        """Raises RecordFailed."""
        found = await self._try(batch.body, batch.first)
        if isinstance(found, Refusal):
            return await self._refused(batch, found)
        return Answered(batch.end, batch.count, found)

    async def answer_piece(self, piece: Piece, file: Local) -> Answered:
        """Of a part of a file that the worker reads itself. Raises RecordFailed, or Transient or ArtifactError where
        the part cannot be read here either."""
        part = Part(file.path, piece.begin, piece.end - piece.begin, file.tag)
        headers = [*self._headers, (FIRST, b"0" if piece.begin else b"1"), (HEADER, part.encode())]
        found = await self._patiently(headers, b"")
        if isinstance(found, Reply):
            said = found.headers.get(RECORDS)
            # A worker from before an upgrade does not count.
            count = int(said) if said is not None else count_lines(await asyncio.to_thread(read, part))
            return Answered(piece.end, count, self._ended(found.body))
        try:
            body = await asyncio.to_thread(read, part)
        except ModelFailed as error:
            raise ArtifactError(error.message) from None
        except OSError as error:
            raise of_disk("it cannot be read", error) from None
        return await self._refused(Batch(body, 2 if piece.begin else 1, count_lines(body), piece.end), found)

    async def _refused(self, batch: Batch, found: Refusal) -> Answered:
        if batch.count > 1 and (self._lenient or not found.again):
            return await self._rescue(batch)
        if not self._lenient or not (self._rows or self._split is not SplitType.NONE):
            raise RecordFailed(0, batch.count - 1, found.message)
        return Answered(batch.end, 1, b"", (Bad(0, found.message),))

    async def _rescue(self, batch: Batch) -> Answered:
        """Halves a batch again and again until the bad records are alone."""
        slice_of = tables().slicer(batch.body) if self._rows else _slicer(cut_records(batch.body, self._split))
        out, bad = [], []
        waiting = [(0, batch.count)]
        while waiting:
            low, high = waiting.pop()
            found = await self._try(slice_of(low, high), batch.first + low)
            if isinstance(found, bytes):
                out.append(found)
            elif high - low > 1:
                middle = (low + high) // 2
                waiting += [(middle, high), (low, middle)]
            elif self._lenient:
                bad.append(Bad(low, found.message))
            else:
                raise RecordFailed(low, low, found.message)
        return Answered(batch.end, batch.count, b"".join(out), tuple(bad))

    async def _try(self, body: bytes, first: int) -> bytes | Refusal:
        """What the output gets of a batch. ``first``: number of its first record; only whether it is 1 counts."""
        try:
            begins = first == 1
            sent = body if self._processor is None else self._processor.before(body, begins)
            found = await self._patiently([*self._headers, (FIRST, b"1" if first == 1 else b"0")], sent)
            if isinstance(found, Refusal):
                return found
            return self._ended(
                found.body if self._processor is None else self._processor.after(body, found.body, begins)
            )
        except Unfit as unfit:
            return Refusal(str(unfit))

    async def _patiently(self, headers: list[tuple[bytes, bytes]], sent: bytes) -> Reply | Refusal:
        refusal = Refusal("")
        for attempt in range(self._pace.retries + 1):
            if attempt:
                await asyncio.sleep(PAUSE * 2 ** (attempt - 1))
            found = await self._once(headers, sent)
            if isinstance(found, Reply):
                return found
            refusal = found
            if not refusal.again:
                break
        return refusal

    async def _once(self, headers: list[tuple[bytes, bytes]], sent: bytes) -> Reply | Refusal:
        worker = await self._fleet.take()
        try:
            async with asyncio.timeout(self._pace.timeout):
                reply = await worker.client.ask("POST", PATH, headers, sent)
        except TimeoutError:
            return Refusal(f"no answer within {self._pace.timeout:g} seconds", again=True)
        except ConnectionBroken as broken:
            self._fleet.lost(worker)
            return Refusal(f"the worker broke off: {broken}", again=True)
        except ValueError as error:
            return Refusal(f"the answer cannot be taken: {error}")
        finally:
            self._fleet.give_back(worker)
        return reply if reply.status == 200 else _refusal(reply)

    def _ended(self, found: bytes) -> bytes:
        if self._by_line and not found.endswith(b"\n") and not (self._framed and found.startswith(BEGINNINGS)):
            found += b"\n"
        return framed(found) if self._framed else found


def _slicer(records: list[bytes]) -> Callable[[int, int], bytes]:
    return lambda low, high: b"".join(records[low:high])


def _refusal(reply: Reply) -> Refusal:
    try:
        error = msgspec.json.decode(reply.body, type=_Error)
    except msgspec.DecodeError:
        error = _Error()
    status = error.status or reply.status
    message = error.original or error.message or f"status {status}"
    return Refusal(" ".join(message.split()), again=status >= 500 or status in (0, 429))
