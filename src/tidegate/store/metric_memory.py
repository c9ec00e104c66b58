"""Recent measurements in memory: what reads are answered from, and what is still to be written.

A cell is one span of one series. Memory adds to its cells and gives the whole value of each to be written, so that a
write may be repeated at will: whether an earlier try landed makes no difference. For that the value must include what
the database held before; a cell for which that is not known yet is only an addition ("unbased"), and is never written
before its base has been read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring.samples import merge
from tidegate.store.samples import CellSamples, SeriesKey, SeriesRow

CellKey = tuple[int, SeriesKey]
"""The begin of a span, and the series."""


@dataclass
class SpanCells:
    """Cells of one table. All that begin at ``floor`` or later are held, written or not; older ones until they are
    written. ``complete``: those that the database had at the start are among them."""

    floor: int
    complete: bool = False
    dirty: CellSamples = field(default_factory=dict)
    """To be written, in the order in which they came."""
    _recent: dict[int, dict[SeriesKey, Sample]] = field(default_factory=dict)
    _unbased: set[CellKey] = field(default_factory=set)

    def add(self, key: CellKey, sample: Sample) -> None:
        at, series = key
        recent = at >= self.floor
        present = self._recent.get(at, {}).get(series) if recent else self.dirty.get(key)
        if present is None and not (recent and self.complete):
            self._unbased.add(key)
        self._set(key, sample if present is None else merge((present, sample)))

    def _set(self, key: CellKey, value: Sample) -> None:
        at, series = key
        if at >= self.floor:
            self._recent.setdefault(at, {})[series] = value
        self.dirty[key] = value

    def load(self, stored: CellSamples) -> None:
        """Everything that the database held from ``floor`` on when it was read. A cell that was based or written
        since is ahead of it."""
        for key, sample in stored.items():
            at, series = key
            if key in self._unbased:
                self._set(key, merge((sample, self._recent[at][series])))
            elif at >= self.floor:
                self._recent.setdefault(at, {}).setdefault(series, sample)
        self._unbased = {key for key in self._unbased if key[0] < self.floor}
        self.complete = True

    def unbased(self, keys: Iterable[CellKey]) -> list[CellKey]:
        return [key for key in keys if key in self._unbased]

    def base(self, keys: Iterable[CellKey], stored: CellSamples) -> None:
        """What the database held of these cells."""
        for key in keys:
            if key in self._unbased and key in self.dirty:
                self._unbased.discard(key)
                if (sample := stored.get(key)) is not None:
                    self._set(key, merge((sample, self.dirty[key])))

    def written(self, cells: CellSamples) -> None:
        """These values are in the database. A cell that was added to meanwhile has yet to be written."""
        for key, value in cells.items():
            if self.dirty.get(key) is value:
                del self.dirty[key]

    def drop(self, most: int) -> int:
        """Give up writing the oldest cells beyond ``most``; how many."""
        excess = list(islice(self.dirty, max(0, len(self.dirty) - most)))
        for key in excess:
            self.give_up(key)
        return len(excess)

    def give_up(self, key: CellKey) -> None:
        """Memory goes on with the cell as long as it is recent."""
        self.dirty.pop(key, None)
        if key[0] < self.floor:
            self._unbased.discard(key)

    def raise_floor(self, floor: int) -> None:
        if floor <= self.floor:
            return
        self.floor = floor
        for at in [at for at in self._recent if at < floor]:
            del self._recent[at]
        self._unbased = {key for key in self._unbased if key[0] >= floor or key in self.dirty}

    def get(self, at: int, series: SeriesKey) -> Sample | None:
        return self._recent.get(at, {}).get(series)

    def newest(self, wanted: Iterable[SeriesKey], since: int) -> int | None:
        """The begin of the last span that has data of one of these series."""
        names = set(wanted)
        found = (at for at, cells in self._recent.items() if at >= since and not names.isdisjoint(cells))
        return max(found, default=None)

    def overlay(self, stored: CellSamples, metric: MetricId, begins: range) -> CellSamples:
        """Cells of a metric as they will be once everything is written."""
        whole = dict(stored)
        for key, sample in self.dirty.items():
            at, series = key
            if series.metric == metric and begins.start <= at < begins.stop:
                merges = key in self._unbased and key in stored
                whole[key] = merge((stored[key], sample)) if merges else sample
        return whole


@dataclass
class MetricMemory:
    """``known`` has the series of recent cells, with the minute of their last data; ``rows`` theirs in the
    database."""

    seconds: SpanCells
    minutes: SpanCells
    known: dict[MetricId, dict[SeriesKey, int]] = field(default_factory=dict)
    rows: dict[SeriesKey, SeriesRow] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.seconds.complete and self.minutes.complete

    def add(self, seconds: CellSamples, minutes: CellSamples) -> None:
        for key, sample in seconds.items():
            self.seconds.add(key, sample)
        for key, sample in minutes.items():
            self.minutes.add(key, sample)
            self._know(key[1], key[0])

    def load(self, seconds: CellSamples, minutes: CellSamples, rows: Mapping[SeriesKey, SeriesRow]) -> None:
        self.seconds.load(seconds)
        self.minutes.load(minutes)
        for series, row in rows.items():
            self.rows.setdefault(series, row)
            self._know(series, row.last_at)

    def read(self, metric: MetricId, begins: range, *, by_minutes: bool) -> list[Sample] | None:
        """The samples that begin there; None when part of them may be in the database alone."""
        spans = self.minutes if by_minutes else self.seconds
        if begins.start < spans.floor:
            return None
        series = tuple(self.known.get(metric, ()))
        return [s for one in series for at in begins if (s := spans.get(at, one)) is not None]

    def forget(self, seconds: int, minutes: int) -> None:
        self.seconds.raise_floor(seconds)
        self.minutes.raise_floor(minutes)
        for metric, last in list(self.known.items()):
            if max(last.values()) < min(seconds, minutes):
                for series in last:
                    self.rows.pop(series, None)
                del self.known[metric]

    def _know(self, series: SeriesKey, at: int) -> None:
        last = self.known.setdefault(series.metric, {})
        last[series] = max(at, last.get(series, at))
