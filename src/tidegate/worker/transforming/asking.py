"""One batch of records to a worker, as often as it takes, and down to single records where some are bad."""

import asyncio
from dataclasses import dataclass

import msgspec

from tidegate.model.errors import TidegateError
from tidegate.model.transform import BadRows, Split, TransformJob
from tidegate.transform.joining import Processor, Unfit
from tidegate.transform.splitting import Batch, cut_records
from tidegate.worker.byreference import HEADER, Part
from tidegate.worker.runtimes.client import Broken, Reply
from tidegate.worker.transforming.fleet import Fleet

PATH = "/invocations"
PAUSE = 0.1
"""Seconds before the first try again; each later pause is twice as long."""


class RecordFailed(TidegateError):
    """A record that cannot be had; the message names it."""


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
class Answered:
    """``errors`` are lines for the error file, one for each of the ``bad`` records."""

    batch: Batch
    out: bytes
    errors: bytes = b""
    bad: int = 0


class _Error(msgspec.Struct):
    message: str = msgspec.field(default="", name="Message")
    status: int = msgspec.field(default=0, name="OriginalStatusCode")
    original: str = msgspec.field(default="", name="OriginalMessage")


class Asker:
    def __init__(self, job: TransformJob, fleet: Fleet) -> None:
        self._pace = job.pace
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

    async def answer(self, batch: Batch, file: Local | None = None) -> Answered:
        """``file``: the batch lies in it as it is, and the worker can read it there. Raises RecordFailed."""
        part = None
        if file is not None and self._processor is None:
            size = len(batch.body)
            part = Part(file.path, batch.end - size, size, file.tag).encode()
        found = await self._try(batch.body, part)
        if isinstance(found, bytes):
            return Answered(batch, found)
        if batch.count > 1 and (self._lenient or not found.again):
            return await self._rescue(batch)
        what = f"record {batch.first}"
        if batch.count > 1:
            what = f"records {batch.first} to {batch.first + batch.count - 1}"
        if not self._lenient or self._split is Split.NONE:
            raise RecordFailed(f"{what}: {found.message}")
        return Answered(batch, b"", _line(batch.first, found.message), 1)

    async def _rescue(self, batch: Batch) -> Answered:
        """Halves a batch again and again until the bad records are alone."""
        records = cut_records(batch.body, self._split)
        out, errors, bad = [], [], 0
        waiting = [(0, len(records))]
        while waiting:
            low, high = waiting.pop()
            found = await self._try(b"".join(records[low:high]))
            if isinstance(found, bytes):
                out.append(found)
            elif high - low > 1:
                middle = (low + high) // 2
                waiting += [(middle, high), (low, middle)]
            elif self._lenient:
                errors.append(_line(batch.first + low, found.message))
                bad += 1
            else:
                raise RecordFailed(f"record {batch.first + low}: {found.message}")
        return Answered(batch, b"".join(out), b"".join(errors), bad)

    async def _try(self, body: bytes, part: bytes | None = None) -> bytes | Refusal:
        """``part`` is sent instead of the body, where it is given."""
        try:
            sent = body if self._processor is None else self._processor.before(body)
        except Unfit as unfit:
            return Refusal(str(unfit))
        refusal = Refusal("")
        for attempt in range(self._pace.retries + 1):
            if attempt:
                await asyncio.sleep(PAUSE * 2 ** (attempt - 1))
            found = await self._once(sent, part)
            if isinstance(found, bytes):
                return self._finished(body, found)
            refusal = found
            if not refusal.again:
                break
        return refusal

    async def _once(self, sent: bytes, part: bytes | None) -> bytes | Refusal:
        headers = self._headers
        if part is not None:
            headers, sent = [*headers, (HEADER, part)], b""
        worker = await self._fleet.take()
        try:
            async with asyncio.timeout(self._pace.timeout):
                reply = await worker.client.ask("POST", PATH, headers, sent)
        except TimeoutError:
            return Refusal(f"no answer within {self._pace.timeout:g} seconds", again=True)
        except Broken as broken:
            self._fleet.lost(worker)
            return Refusal(f"the worker broke off: {broken}", again=True)
        except ValueError as error:
            return Refusal(f"the answer cannot be taken: {error}")
        finally:
            self._fleet.give_back(worker)
        return reply.body if reply.status == 200 else _refusal(reply)

    def _finished(self, body: bytes, answer: bytes) -> bytes | Refusal:
        try:
            found = answer if self._processor is None else self._processor.after(body, answer)
        except Unfit as unfit:
            return Refusal(str(unfit))
        return found + b"\n" if self._by_line and not found.endswith(b"\n") else found


def _refusal(reply: Reply) -> Refusal:
    try:
        error = msgspec.json.decode(reply.body, type=_Error)
    except msgspec.DecodeError:
        error = _Error()
    status = error.status or reply.status
    message = error.original or error.message or f"status {status}"
    return Refusal(" ".join(message.split()), again=status >= 500 or status in (0, 429))


def _line(record: int, message: str) -> bytes:
    return msgspec.json.encode({"line": record, "message": message}) + b"\n"
