"""What is asked of an object, batch by batch: its bytes as they come, parts of a local file, or rows of a table."""

import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tidegate.batch.client import Answered, Asker, Local
from tidegate.batch.line_ranges import pieces
from tidegate.batch.object_io import Places, Thing, skipped, unpacked
from tidegate.batch.output_part import Part
from tidegate.batch.table_records import tables
from tidegate.domain.transform import TransformJob
from tidegate.serving.scoring.file_ranges import THREADS
from tidegate.transform.pacing import Settled
from tidegate.transform.splitting import Batch, batches

TABLE_AIM = 2 * 1024 * 1024
"""Bytes of a batch of a table's rows."""


@dataclass
class Inputs:
    """``taken``: name of a part -> stored bytes of its object that are behind us."""

    job: TransformJob
    rows: bool
    places: Places
    taken: dict[str, int] = field(default_factory=dict)
    settled: Settled = field(default_factory=lambda: Settled(False, 0, 1))
    _rows: dict[str, int] = field(default_factory=dict)
    """Name of a part -> rows of its object."""

    def passed(self, thing: Thing, part: Part) -> None:
        """Up to the part's mark."""
        name, offset = part.path.name, part.mark.offset
        if self.rows:
            self.taken[name] = thing.size * offset // max(1, self._rows.get(name, 0), offset)
        elif not self.job.source.gzip:
            self.taken[name] = offset

    def local(self, thing: Thing) -> Local | None:
        """Where workers can read the object themselves."""
        if not self.settled.parts or self.job.source.gzip or self.rows or not self.job.processing.plain:
            return None
        path = self.places.local(thing.uri)
        return None if path is None else Local(path, thing.tag)

    def asked(
        self, thing: Thing, part: Part, asker: Asker, local: Local | None
    ) -> Iterator[Callable[[], Coroutine[None, None, Answered]]]:
        """From where the part goes on. What is not called yet may be thrown away."""
        how = self.settled
        if local is None:
            found = self._table(thing, part) if self.rows else self._batches(thing, part)
            return (partial(asker.answer, batch) for batch in found)
        lanes = THREADS * self.job.instances
        cut = pieces(local.path, local.tag, part.mark.offset, how.aim or how.limit, how.limit, lanes)
        return (partial(asker.answer_piece, piece, local) for piece in cut)

    def _batches(self, thing: Thing, part: Part) -> Iterator[Batch]:
        source, how, mark, name = self.job.source, self.settled, part.mark, part.path.name
        if source.gzip:
            parts = skipped(self._unpacked(thing, name), mark.offset)
        else:
            parts = self.places.read(thing.uri, mark.offset, thing.tag)
        return batches(
            parts,
            source.split,
            limit=how.limit,
            single=how.single,
            aim=how.aim,
            record=mark.record,
            offset=mark.offset,
        )

    def _unpacked(self, thing: Thing, name: str) -> Iterator[bytes]:
        self.taken[name] = 0
        return unpacked(self.places.read(thing.uri, 0, thing.tag), self._counting(name))

    def _counting(self, name: str) -> Callable[[int], None]:
        def count(size: int) -> None:
            self.taken[name] += size

        return count

    def _table(self, thing: Thing, part: Part) -> Iterator[Batch]:
        """A table is read from its end, so one that lies elsewhere, or is packed, is brought here first."""
        path = None if self.job.source.gzip else self.places.local(thing.uri)
        tag = None if path is None else thing.tag
        source = tables().Source(self._brought(thing, part) if path is None else Path(path), tag)
        self._rows[part.path.name] = source.rows
        how = self.settled
        yield from source.batches(part.mark.offset, min(TABLE_AIM, how.limit), how.limit, how.single)

    def _brought(self, thing: Thing, part: Part) -> Path:
        if not part.source.exists():
            coming = part.source.with_suffix(".coming")
            packed = self.job.source.gzip
            parts = self._unpacked(thing, part.path.name) if packed else self.places.read(thing.uri, 0, thing.tag)
            with coming.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            coming.replace(part.source)
        return part.source
