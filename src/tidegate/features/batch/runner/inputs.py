"""The requests for one object, batch by batch: its bytes in order, parts of a local file, or rows of a table."""

import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tidegate.domain.transform import InputObject, TransformJob
from tidegate.features.batch.runner.client import BatchAnswer, BatchClient, LocalFile
from tidegate.features.batch.runner.job_storage import JobStorage, decompress, skip
from tidegate.features.batch.runner.line_ranges import cut_ranges
from tidegate.features.batch.runner.output_part import OutputPart
from tidegate.features.batch.runner.pacing import RequestPlan
from tidegate.features.batch.runner.table_records import table_io
from tidegate.serving.scoring.file_ranges import THREADS
from tidegate.transform.splitting import Batch, batches

TABLE_AIM = 2 * 1024 * 1024
"""Bytes of a batch of a table's rows."""


@dataclass
class JobInputs:
    """``bytes_done``: name of a part -> stored bytes of its object that are done."""

    job: TransformJob
    rows: bool
    storage: JobStorage
    bytes_done: dict[str, int] = field(default_factory=dict)
    plan: RequestPlan = field(default_factory=lambda: RequestPlan(False, 0, 1))
    _row_counts: dict[str, int] = field(default_factory=dict)
    """Name of a part -> rows of its object."""

    def record_progress(self, item: InputObject, part: OutputPart) -> None:
        """Counts what is done, up to the part's checkpoint."""
        name, offset = part.path.name, part.checkpoint.offset
        if self.rows:
            self.bytes_done[name] = item.size * offset // max(1, self._row_counts.get(name, 0), offset)
        elif not self.job.source.gzip:
            self.bytes_done[name] = offset

    def local(self, item: InputObject) -> LocalFile | None:
        """The file that workers can read themselves; None: they cannot."""
        if not self.plan.parts or self.job.source.gzip or self.rows or not self.job.processing.plain:
            return None
        path = self.storage.local(item.uri)
        return None if path is None else LocalFile(path, item.tag)

    def requests(
        self, item: InputObject, part: OutputPart, client: BatchClient, local: LocalFile | None
    ) -> Iterator[Callable[[], Coroutine[None, None, BatchAnswer]]]:
        """The requests from the checkpoint of the part on. Those that were not called yet may be dropped."""
        plan = self.plan
        if local is None:
            found = self._table(item, part) if self.rows else self._batches(item, part)
            return (partial(client.answer, batch) for batch in found)
        lanes = THREADS * self.job.instances
        cut = cut_ranges(local.path, local.tag, part.checkpoint.offset, plan.aim or plan.limit, plan.limit, lanes)
        return (partial(client.answer_range, line_range, local) for line_range in cut)

    def _batches(self, item: InputObject, part: OutputPart) -> Iterator[Batch]:
        source, plan, checkpoint, name = self.job.source, self.plan, part.checkpoint, part.path.name
        if source.gzip:
            parts = skip(self._read_gzip(item, name), checkpoint.offset)
        else:
            parts = self.storage.read(item.uri, checkpoint.offset, item.tag)
        return batches(
            parts,
            source.split,
            limit=plan.limit,
            single=plan.single,
            aim=plan.aim,
            record=checkpoint.record,
            offset=checkpoint.offset,
        )

    def _read_gzip(self, item: InputObject, name: str) -> Iterator[bytes]:
        self.bytes_done[name] = 0
        return decompress(self.storage.read(item.uri, 0, item.tag), self._count_bytes(name))

    def _count_bytes(self, name: str) -> Callable[[int], None]:
        def count(size: int) -> None:
            self.bytes_done[name] += size

        return count

    def _table(self, item: InputObject, part: OutputPart) -> Iterator[Batch]:
        """A table is read from its end, so one that is remote or compressed is downloaded first."""
        path = None if self.job.source.gzip else self.storage.local(item.uri)
        tag = None if path is None else item.tag
        source = table_io().ParquetSource(self._download(item, part) if path is None else Path(path), tag)
        self._row_counts[part.path.name] = source.rows
        plan = self.plan
        yield from source.batches(part.checkpoint.offset, min(TABLE_AIM, plan.limit), plan.limit, plan.single)

    def _download(self, item: InputObject, part: OutputPart) -> Path:
        if not part.source.exists():
            coming = part.source.with_suffix(".coming")
            packed = self.job.source.gzip
            parts = self._read_gzip(item, part.path.name) if packed else self.storage.read(item.uri, 0, item.tag)
            with coming.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            coming.replace(part.source)
        return part.source
