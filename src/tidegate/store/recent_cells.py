"""Cells of one table in memory. Those of spans that are over are packed: a cell takes a tenth of what it takes as a
``Sample``, and the garbage collector, which visits every object again and again, does not see it.

With 500 fleets there are some two million cells, nearly all of which are read once or never.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from tidegate.domain.metric import Sample
from tidegate.store.samples import SeriesKey

_Numbers = tuple[float, float, float, float, dict[int, float]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Numbers).decode


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
