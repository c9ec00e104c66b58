"""Recent measurements in memory: a cache for reads, and a buffer of values to write.

A cell is one span of one series. Cells are written with their complete values, so writes are idempotent: it does not
matter whether an earlier attempt was committed. The complete value includes what the database had before. A cell for
which that is not known yet is only an increment ("unbased"), and is not written before its base has been read.

Cells of spans that are over are packed: a cell takes a tenth of what it takes as a ``Sample``, and the garbage
collector, which visits every object again and again, does not see it. With 500 fleets there are about two million
cells, nearly all of which are read once or never.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring.samples import merge
from tidegate.store.samples import CellSamples, SeriesKey, StoredSeries

_Numbers = tuple[float, float, float, float, dict[int, float]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(prepare_type(_Numbers)).decode


def pack(sample: Sample) -> bytes:
    """Its values, without series and span."""
    try:
        return _encode((sample.count, sample.total, sample.low, sample.high, sample.bins))
    except OverflowError:  # a whole number of more than 64 bits
        numbers = [float(one) for one in (sample.count, sample.total, sample.low, sample.high)]
        return _encode((*numbers, {key: float(count) for key, count in sample.bins.items()}))


def unpack(packed: bytes, at: int, series: SeriesKey, resolution: int) -> Sample:
    count, total, low, high, bins = _decode(packed)
    return Sample(series.metric, at, count, total, low, high, bins, series.unit, resolution)


@dataclass
class RecentCells:
    """``resolution``: of the table, in seconds."""

    resolution: int
    _open: dict[int, dict[SeriesKey, Sample]] = field(default_factory=dict)
    _packed: dict[int, dict[SeriesKey, bytes]] = field(default_factory=dict)
    """Start of a span -> its cells. A span is in one of the two."""

    def get(self, at: int, series: SeriesKey) -> Sample | None:
        if (cells := self._open.get(at)) is not None:
            return cells.get(series)
        packed = self._packed.get(at, {}).get(series)
        return None if packed is None else unpack(packed, at, series, self.resolution)

    def put(self, at: int, series: SeriesKey, sample: Sample) -> None:
        if (packed := self._packed.get(at)) is not None:
            packed[series] = pack(sample)
        else:
            self._open.setdefault(at, {})[series] = sample

    def has(self, at: int, series: SeriesKey) -> bool:
        return series in self._open.get(at, ()) or series in self._packed.get(at, ())

    def series(self) -> Iterator[tuple[int, Iterable[SeriesKey]]]:
        """Starts of spans, each with the series that have a cell there."""
        spans: Iterable[tuple[int, Mapping[SeriesKey, object]]] = chain(self._open.items(), self._packed.items())
        return ((at, cells.keys()) for at, cells in spans)

    def drop_before(self, at: int) -> None:
        for spans in (self._open, self._packed):
            for old in [start for start in spans if start < at]:
                del spans[old]

    def pack_before(self, at: int) -> None:
        """Equal cells of a span are one object: of two series of one fleet, and of the counts of what did not
        happen."""
        for old in [start for start in self._open if start < at]:
            same: dict[bytes, bytes] = {}
            packed = {series: pack(sample) for series, sample in self._open.pop(old).items()}
            self._packed[old] = {series: same.setdefault(one, one) for series, one in packed.items()}


CellKey = tuple[int, SeriesKey]
"""Start of a span, and the series."""
UNPACKED = 2
"""Spans that cells are still added to, as a rule: the current one and the one before."""


@dataclass
class SpanCells:
    """Cells of one table. Those that start at ``floor`` or later are kept, written or not; older ones until they are
    written. ``complete``: includes those that the database had at the start. ``resolution``: of the table."""

    floor: int
    resolution: int
    complete: bool = False
    dirty: CellSamples = field(default_factory=dict)
    """To be written, in order of arrival."""
    _unbased: set[CellKey] = field(default_factory=set)
    _reads: dict[int, CellSamples] = field(default_factory=dict)
    """For each read of the database that is under way, the cells that were written since it began."""
    _recent: RecentCells = field(init=False)

    def __post_init__(self) -> None:
        self._recent = RecentCells(self.resolution)

    def add(self, key: CellKey, sample: Sample) -> None:
        at, series = key
        recent = at >= self.floor
        present = self._recent.get(at, series) if recent else self.dirty.get(key)
        if present is None and not (recent and self.complete):
            self._unbased.add(key)
        self._set(key, sample if present is None else merge((present, sample)))

    def _set(self, key: CellKey, value: Sample) -> None:
        at, series = key
        if at >= self.floor:
            self._recent.put(at, series, value)
        self.dirty[key] = value

    def load(self, stored: CellSamples) -> None:
        """Load all that the database had from ``floor`` on when it was read. Cells that were based or written since
        are newer and stay."""
        for key, sample in stored.items():
            at, series = key
            if key in self._unbased:
                # One from before the floor, which rose meanwhile, waits for ``base``.
                if (added := self._recent.get(at, series)) is not None:
                    self._set(key, merge((sample, added)))
            elif at >= self.floor and not self._recent.has(at, series):
                self._recent.put(at, series, sample)
        self._unbased = {key for key in self._unbased if key[0] < self.floor}
        self.complete = True

    def unbased(self, keys: Iterable[CellKey]) -> list[CellKey]:
        return [key for key in keys if key in self._unbased]

    def base(self, keys: Iterable[CellKey], stored: CellSamples) -> None:
        """Add the database's values of these cells to unbased ones."""
        for key in keys:
            if key in self._unbased and key in self.dirty:
                self._unbased.discard(key)
                if (sample := stored.get(key)) is not None:
                    self._set(key, merge((sample, self.dirty[key])))

    def mark_written(self, cells: CellSamples) -> None:
        """Mark these values as written. A cell that changed meanwhile stays dirty."""
        for key, value in cells.items():
            if self.dirty.get(key) is value:
                del self.dirty[key]
        for written in self._reads.values():
            written.update(cells)

    @contextlib.contextmanager
    def reading(self) -> Iterator[CellSamples]:
        """The block reads the database. Yields the cells that are written meanwhile: it depends on chance whether the
        database shows them to that read, and they are no longer ``dirty`` afterwards. ``overlay`` needs them."""
        written: CellSamples = {}
        self._reads[id(written)] = written
        try:
            yield written
        finally:
            del self._reads[id(written)]

    def drop(self, most: int) -> int:
        """Give up writing the oldest cells beyond ``most``. Returns how many."""
        excess = list(islice(self.dirty, max(0, len(self.dirty) - most)))
        for key in excess:
            self.give_up(key)
        return len(excess)

    def give_up(self, key: CellKey) -> None:
        """Do not write the cell. It stays in memory while it is recent."""
        self.dirty.pop(key, None)
        if key[0] < self.floor:
            self._unbased.discard(key)

    def raise_floor(self, floor: int) -> None:
        if floor <= self.floor:
            return
        self.floor = floor
        self._recent.drop_before(floor)
        self._unbased = {key for key in self._unbased if key[0] >= floor or key in self.dirty}

    def pack(self, now: int) -> None:
        """Cells of spans that are over take less memory from here on."""
        self._recent.pack_before(now - UNPACKED * self.resolution)

    def get(self, at: int, series: SeriesKey) -> Sample | None:
        return self._recent.get(at, series)

    def newest(self, wanted: Iterable[SeriesKey], since: int) -> int | None:
        """Start of the last span with data of one of these series."""
        names = set(wanted)
        found = (at for at, cells in self._recent.series() if at >= since and not names.isdisjoint(cells))
        return max(found, default=None)

    def overlay(self, stored: CellSamples, written: CellSamples, metric: MetricId, begins: range) -> CellSamples:
        """Cells of a metric as they will be after everything is written. ``stored``: what the database showed;
        ``written``: what was written meanwhile (``reading``)."""
        whole = dict(stored)
        for key, sample in chain(written.items(), self.dirty.items()):
            at, series = key
            if series.metric == metric and begins.start <= at < begins.stop:
                adds = key in self._unbased and key in whole
                whole[key] = merge((whole[key], sample)) if adds else sample
        return whole


@dataclass
class MetricMemory:
    """``known``: series of recent cells, with the minute of their last data; ``rows``: their rows in the database."""

    seconds: SpanCells
    minutes: SpanCells
    known: dict[MetricId, dict[SeriesKey, int]] = field(default_factory=dict)
    rows: dict[SeriesKey, StoredSeries] = field(default_factory=dict)
    _forgotten: int | None = None
    """The minute before which series were forgotten last."""

    @property
    def complete(self) -> bool:
        return self.seconds.complete and self.minutes.complete

    def add(self, seconds: CellSamples, minutes: CellSamples) -> None:
        for key, sample in seconds.items():
            self.seconds.add(key, sample)
        for key, sample in minutes.items():
            self.minutes.add(key, sample)
            self._know(key[1], key[0])

    def load(self, seconds: CellSamples, minutes: CellSamples, rows: Mapping[SeriesKey, StoredSeries]) -> None:
        self.seconds.load(seconds)
        self.minutes.load(minutes)
        for series, row in rows.items():
            self.rows.setdefault(series, row)
            self._know(series, row.last_at)

    def read(self, metrics: Iterable[MetricId], begins: range, *, by_minutes: bool) -> list[list[Sample]] | None:
        """Samples of each metric that start in this range; None if some may be in the database only."""
        spans = self.minutes if by_minutes else self.seconds
        if begins.start < spans.floor:
            return None
        return [
            [
                s
                for one in tuple(self.known.get(metric, ()))
                for at in begins
                if (s := spans.get(at, one)) is not None
            ]
            for metric in metrics
        ]

    def pack(self, now: int) -> None:
        self.seconds.pack(now)
        self.minutes.pack(now)

    def forget(self, seconds: int, minutes: int) -> None:
        self.seconds.raise_floor(seconds)
        self.minutes.raise_floor(minutes)
        floor = min(seconds, minutes) // self.minutes.resolution
        if floor == self._forgotten:  # series are known by the minute of their last data
            return
        self._forgotten = floor
        for metric, last in list(self.known.items()):
            if max(last.values()) < min(seconds, minutes):
                for series in last:
                    self.rows.pop(series, None)
                del self.known[metric]

    def _know(self, series: SeriesKey, at: int) -> None:
        last = self.known.setdefault(series.metric, {})
        last[series] = max(at, last.get(series, at))
