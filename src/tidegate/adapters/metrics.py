"""Measurements in the store's database: by the second for some hours, added up by the minute for long.

Every sample goes into both tables, so a minute always is the sum of its seconds. What is recent is also held in
memory, so that alarms which look every second ask no database. Memory takes a write over after its commit, and is
filled from the database at the first use; after a write that failed it is thrown away and filled again.

One process writes metrics to a database; another one's writes are seen after the next start.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, Table

from tidegate.adapters.clock import SystemClock
from tidegate.adapters.store import samples as stored
from tidegate.adapters.store.database import Database
from tidegate.adapters.store.samples import Cells, Row, Series
from tidegate.adapters.store.tables import MINUTES, SECONDS
from tidegate.evidence.samples import merge
from tidegate.model.errors import Invalid
from tidegate.model.metric import MetricId, Sample
from tidegate.ports.clock import Clock

MINUTE = 60
CLEANING = 10
"""Seconds between two removals of what is too old; a removal takes off six times as much time, so it catches up
after a pause and never takes long."""


@dataclass(frozen=True)
class Keep:
    """How long things are kept, in seconds."""

    seconds: int = 3 * 3600
    minutes: int = 455 * 24 * 3600
    """15 months, as CloudWatch."""
    seconds_in_memory: int = 300
    minutes_in_memory: int = 3600

    def __post_init__(self) -> None:
        if self.seconds_in_memory > self.seconds or self.minutes_in_memory > self.minutes:
            raise Invalid("Metrics cannot be held in memory for longer than they are kept")


_CLOCK, _KEEP = SystemClock(), Keep()


@dataclass
class Recent:
    """The spans of one table that begin at ``floor`` or later, all of them."""

    floor: int
    spans: dict[int, dict[Series, Sample]] = field(default_factory=dict)

    def add(self, cells: Cells) -> None:
        for (at, series), sample in cells.items():
            if at >= self.floor:
                self.spans.setdefault(at, {})[series] = sample

    def raise_floor(self, floor: int) -> None:
        if floor > self.floor:
            self.floor = floor
            for at in [at for at in self.spans if at < floor]:
                del self.spans[at]

    def get(self, at: int, series: Series) -> Sample | None:
        return self.spans.get(at, {}).get(series)


@dataclass
class Memory:
    """What is known without asking the database. ``known`` has the series that were written lately."""

    seconds: Recent
    minutes: Recent
    known: dict[MetricId, dict[Series, Row]] = field(default_factory=dict)

    def note(self, rows: dict[Series, Row]) -> None:
        for series, row in rows.items():
            self.known.setdefault(series.metric, {})[series] = row

    def read(self, metric: MetricId, begins: range) -> list[Sample] | None:
        """The samples that begin there; None when part of them is not in memory."""
        recent = self.minutes if begins.step == MINUTE else self.seconds
        wanted = tuple(self.known.get(metric, ()))
        found = [s for series in wanted for at in begins if (s := recent.get(at, series)) is not None]
        return found if begins.start >= recent.floor else None  # now: it may have risen meanwhile

    def row(self, series: Series) -> Row | None:
        return self.known.get(series.metric, {}).get(series)

    def forget(self, seconds: int, minutes: int) -> None:
        self.seconds.raise_floor(seconds)
        self.minutes.raise_floor(minutes)
        for metric, rows in list(self.known.items()):
            if all(row.last_at < min(seconds, minutes) for row in rows.values()):
                del self.known[metric]


@dataclass(frozen=True)
class Batch:
    """What one put adds to each table, and what came of it."""

    seconds: Cells
    minutes: Cells
    rows: dict[Series, Row] = field(default_factory=dict)


class SqlMetrics:
    """A ``ports.metrics.Metrics``. Raises Unavailable, with nothing written, when the database is in trouble."""

    def __init__(self, database: Database, clock: Clock = _CLOCK, keep: Keep = _KEEP) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        self._memory: Memory | None = None
        self._cleaned = 0

    async def put(self, samples: Sequence[Sample]) -> None:
        """A sample of a minute or longer stands in the second and the minute of its begin. Samples without values
        are dropped. Raises Invalid for a number that is not finite."""
        for s in samples:
            if not all(map(math.isfinite, (s.count, s.total, s.low, s.high, *s.bins.values()))):
                raise Invalid(f"{s.metric.name}: a number that is not finite cannot be kept")
        given = [s for s in samples if s.count > 0]
        if given:
            seconds = _gathered(given, 1)
            batch = Batch(seconds, _gathered(seconds.values(), MINUTE))
            await self._database.call(lambda: self._put(batch))

    async def read(self, metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
        """The last span is whole, also where it goes beyond ``end``. Spans made of whole minutes are read by the
        minute. Others are read by the second while the seconds are kept; before that, a minute counts in the span
        that it begins in, and nothing is told of periods below a minute."""
        stop = start + max(0, -(-(end - start) // period)) * period
        whole = start % MINUTE == 0 and period % MINUTE == 0
        memory: Memory = await self._database.call(self._fill) if self._memory is None else self._memory
        found = memory.read(metric, range(start, stop, MINUTE)) if whole else None
        if found is None:
            found = memory.read(metric, range(start, stop))
        if found is None:
            found = await self._database.run(lambda c: self._read(c, metric, range(start, stop, period), whole))
        return _spans(found, start, period)

    async def series(
        self,
        namespace: str | None,
        name: str | None,
        dimensions: Sequence[tuple[str, str | None]],
        since: int,
    ) -> list[MetricId]:
        """``since`` counts by the minute."""
        found = await self._database.run(lambda c: stored.active(c, namespace, name, since))
        return [metric for metric in found if _carries(dict(metric.dimensions), dimensions)]

    def _read(self, connection: Connection, metric: MetricId, spans: range, whole: bool) -> list[Sample]:
        named = stored.of_metric(connection, metric)
        if whole:
            return stored.minutes(connection, named, spans.start, spans.stop)
        kept = -(-(self._now() - self._keep.seconds) // MINUTE) * MINUTE
        later = stored.seconds(connection, named, max(spans.start, kept), spans.stop)
        if spans.start >= kept or spans.step < MINUTE:
            return later
        return stored.minutes(connection, named, spans.start, min(kept, spans.stop)) + later

    def _put(self, batch: Batch) -> None:
        """On the database's thread, like everything that changes memory."""
        memory, now = self._fill(), self._now()
        try:
            clean = now - self._cleaned >= CLEANING
            written = self._database.transact(lambda connection: self._write(connection, memory, batch, clean))
        except BaseException:
            self._memory = None  # it may have landed or not
            raise
        memory.note(written.rows)
        memory.seconds.add(written.seconds)
        memory.minutes.add(written.minutes)
        memory.forget(now - self._keep.seconds_in_memory, now - self._keep.minutes_in_memory)
        self._cleaned = now if clean else self._cleaned

    def _write(self, connection: Connection, memory: Memory, batch: Batch, clean: bool) -> Batch:
        if clean:
            self._clean(connection)
        rows = _identified(connection, memory, batch.minutes)
        seconds = _merged(connection, SECONDS, memory.seconds, batch.seconds, rows)
        minutes = _merged(connection, MINUTES, memory.minutes, batch.minutes, rows)
        stored.write(connection, SECONDS, seconds, rows)
        stored.write(connection, MINUTES, minutes, rows)
        return Batch(seconds, minutes, rows)

    def _fill(self) -> Memory:
        if self._memory is None:
            self._memory = self._database.transact(self._load)
        return self._memory

    def _load(self, connection: Connection) -> Memory:
        now = self._now()
        memory = Memory(Recent(now - self._keep.seconds_in_memory), Recent(now - self._keep.minutes_in_memory))
        for table, recent in ((SECONDS, memory.seconds), (MINUTES, memory.minutes)):
            cells, rows = stored.latest(connection, table, recent.floor)
            recent.add(cells)
            memory.note(rows)
        return memory

    def _clean(self, connection: Connection) -> None:
        now = self._now()
        stored.drop(connection, SECONDS, now - self._keep.seconds - MINUTE, 6 * CLEANING)
        if stored.drop(connection, MINUTES, now - self._keep.minutes, 6 * MINUTE):
            stored.drop_series(connection, now - self._keep.minutes)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _gathered(samples: Iterable[Sample], span: int) -> Cells:
    """The samples added up by series and span."""
    groups: dict[tuple[int, Series], list[Sample]] = {}
    for sample in samples:
        at = sample.at // span * span
        placed = replace(sample, at=at, resolution=span)
        groups.setdefault((at, Series(sample.metric, sample.unit)), []).append(placed)
    return {key: merge(group) for key, group in groups.items()}


def _identified(connection: Connection, memory: Memory, minutes: Cells) -> dict[Series, Row]:
    """The rows of all series of a batch, made where there are none, with the minute of their last data."""
    last: dict[Series, int] = {}
    for at, series in minutes:
        last[series] = max(at, last.get(series, at))
    rows = {series: row for series in last if (row := memory.row(series)) is not None}
    rows |= stored.known(connection, last.keys() - rows.keys())
    if missing := {series: at for series, at in last.items() if series not in rows}:
        rows |= stored.register(connection, missing)
    later = {s: Row(row.id, last[s]) for s, row in rows.items() if last[s] > row.last_at}
    if later:
        stored.advance(connection, list(later.values()))
    return rows | later


def _merged(connection: Connection, table: Table, recent: Recent, new: Cells, rows: dict[Series, Row]) -> Cells:
    """The new cells with what was there before."""
    older = [key for key in new if key[0] < recent.floor]
    before = stored.cells(connection, table, older, rows) if older else {}
    merged: Cells = {}
    for key, sample in new.items():
        present = before.get(key) or recent.get(*key)
        merged[key] = sample if present is None else merge((present, sample))
    return merged


def _spans(samples: Iterable[Sample], start: int, period: int) -> dict[int, Sample]:
    groups: dict[int, list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.at - start) // period * period + start, []).append(sample)
    return {at: replace(merge(group), at=at, resolution=period) for at, group in sorted(groups.items())}


def _carries(dimensions: dict[str, str], wanted: Sequence[tuple[str, str | None]]) -> bool:
    return all(name in dimensions and value in (None, dimensions[name]) for name, value in wanted)
