"""Paired features: do both versions make the same of a request, column by column? No I/O.

A column is the same if its values are equal up to rounding, or if one fixed map of the old value (a stretch and a
shift within the tolerance, as by a scaler that was fitted again) gives the new one. The map is learned from the first
requests, which do not count; then each request is a hit or none."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median, pstdev

from tidegate.domain.evidence import NO_SUMS, FeatureTolerance, Sums
from tidegate.domain.pairs import FeatureRow, KnownKeys, Pair, Value
from tidegate.features.evidence.units import PART
from tidegate.statistics.means import add_sums

LEARNED_FROM = 20
"""Requests from which the map of a column is learned."""
CONSTANT = 60
"""Requests after which a column that had one value only is taken as it is."""
MOST_COLUMNS = 256
STEEPEST = 1e300
"""A steeper slope counts as this: the mean of two must be a number."""
RELATIVE, ABSOLUTE = 1e-5, 1e-9
"""Numbers this close are equal: rounding of single precision, twice."""
MOST_KNOWN = 1_024
"""Columns of all stages that are compared, those that come first: names may come from requests."""
SOMETIMES = "sometimes "
"""Before the name of a column that is not in every request: its sums are kept in each block that has it."""
ROWS = "rows"
"""Sums that count 1 for each request whose columns can be compared and 0 for each where they cannot."""


@dataclass(frozen=True)
class ColumnMap:
    """A map of a column's old value to its new one: new = center + shift + scale * (old - center), within
    ``slack``."""

    scale: float = 1.0
    shift: float = 0.0
    center: float = 0.0
    slack: float = 0.0

    def fits(self, old: Value, new: Value) -> bool:
        if not isinstance(old, float) or not isinstance(new, float):
            return old == new
        if not math.isfinite(old) or not math.isfinite(new):
            return old == new or (math.isnan(old) and math.isnan(new))
        # In parts: no difference of two numbers is infinite, which would be within any margin.
        old, new, center, shift, slack, absolute = (
            value * PART for value in (old, new, self.center, self.shift, self.slack, ABSOLUTE)
        )
        expected = center + shift + self.scale * (old - center)
        return abs(new - expected) <= absolute + slack + RELATIVE * max(abs(expected), abs(old))


SAME = ColumnMap()


def learn_map(pairs: Sequence[tuple[Value, Value]], tolerance: FeatureTolerance) -> ColumnMap | None:
    """Learn the map of a column from its first values; None: more of them are needed. What lies beyond the tolerance
    is not learned, so that it shows as a difference."""
    if all(SAME.fits(old, new) for old, new in pairs):
        return SAME
    both = [(a, b) for a, b in pairs if isinstance(a, float) and isinstance(b, float)]
    both = sorted((a, b) for a, b in both if math.isfinite(a) and math.isfinite(b))
    if not both:
        return SAME
    old, new = [a for a, _ in both], [b for _, b in both]
    if old[0] == old[-1]:
        return _constant_map(old[0], new, len(pairs), tolerance)
    both = [(a * PART, b * PART) for a, b in both]
    old = [a for a, _ in both]
    slopes = sorted(
        min(max((both[far][1] - both[near][1]) / (both[far][0] - both[near][0]), -STEEPEST), STEEPEST)
        for near in range(len(both))
        for far in range(near + 1, len(both))
        if both[far][0] != both[near][0]
    )
    spread = pstdev(old)
    scale = min(max(median(slopes), 1 / (1 + tolerance.scale)), 1 + tolerance.scale)
    center = median(old)
    moved = median(b - center - scale * (a - center) for a, b in both)
    shift = min(max(moved, -tolerance.shift * spread), tolerance.shift * spread)
    return ColumnMap(scale, shift / PART, center / PART, RELATIVE * spread / PART)


def _constant_map(old: float, new: list[float], seen: int, tolerance: FeatureTolerance) -> ColumnMap | None:
    """Return the map of a column whose old value never changed; None: more values are needed. If the new value never
    changes either and is near, the column may come from a scaler of a rare value: the map shows once that comes."""
    if min(new) != max(new):
        return SAME
    near = abs(new[0] - old) <= tolerance.shift * abs(old)
    return None if near or seen < CONSTANT else SAME


@dataclass
class FeatureCounter:
    """Counts the requests of one variant, block by block. A column is named by its stage: ``prepare[3]``."""

    tolerance: FeatureTolerance
    maps: dict[str, ColumnMap] = field(default_factory=dict)
    _first: dict[str, list[tuple[Value, Value]]] = field(default_factory=dict)
    _keys: KnownKeys = field(default_factory=KnownKeys)
    _known: dict[str, None] = field(default_factory=dict)
    """Columns that were seen."""
    _sometimes: set[str] = field(default_factory=set)
    """Those that a usable request did not have."""
    _new: set[str] = field(default_factory=set)
    """Those that were first seen in the open block."""
    _had: Counter[str] = field(default_factory=Counter)
    """By column: the requests of the open block that had it."""
    _rows: Sums = NO_SUMS
    """Of the open block, as all that follows."""
    _found: dict[str, Sums] = field(default_factory=dict)

    def add(self, pairs: Iterable[Pair]) -> None:
        """Count pairs of the open block."""
        for pair in pairs:
            if not self._keys.add(pair.key):
                continue
            usable = bool(pair.features) and all(map(_is_comparable, pair.features))
            self._rows = add_sums(self._rows, (1, float(usable), float(usable)))
            for row in pair.features if usable else ():
                self._count(row)

    def close(self) -> dict[str, Sums]:
        """End the block and return its sums: of ROWS, and of columns. A column is kept in the block in which it is
        first seen, whatever it has, so that its test begins before its first hit. From then on a column that every
        request has is left out of a block in which all were compared and none is a hit; one that some requests lack
        (SOMETIMES) is left out where no request had it."""
        rows, found, had = self._rows, self._found, self._had
        new, self._new = self._new, set()
        self._rows, self._found, self._had = NO_SUMS, {}, Counter()
        if not rows[0]:
            return {}
        usable = round(rows[1])
        kept = {ROWS: rows}
        for name in self._known:
            sums = found.get(name, NO_SUMS)
            begins = had[name] < usable and name not in self._sometimes
            if begins:
                self._sometimes.add(name)
            if name in self._sometimes:
                if begins or had[name]:
                    kept[SOMETIMES + name] = sums
            elif name in new or sums[1] or sums[0] < usable:
                kept[name] = sums
        return kept

    def count(self, pairs: Iterable[Pair]) -> dict[str, Sums]:
        """Return the sums of a block that has these pairs."""
        self.add(pairs)
        return self.close()

    def _count(self, row: FeatureRow) -> None:
        news = dict(zip(row.new_names, row.new, strict=True))
        for column, old in dict(zip(row.names, row.old, strict=True)).items():
            if column not in news:
                continue
            name = f"{row.stage}[{column}]"
            if name not in self._known:
                if len(self._known) >= MOST_KNOWN:
                    continue
                self._known[name] = None
                self._new.add(name)
            self._had[name] += 1
            known = self.maps.get(name)
            if known is not None:
                hit = float(not known.fits(old, news[column]))
                self._found[name] = add_sums(self._found.get(name, NO_SUMS), (1, hit, hit))
                continue
            first = self._first.setdefault(name, [])
            if len(first) < CONSTANT or first[-1] != (old, news[column]):
                first.append((old, news[column]))
            if len(first) >= LEARNED_FROM and (learned := learn_map(first, self.tolerance)) is not None:
                self.maps[name] = learned
                del self._first[name]


def _is_comparable(row: FeatureRow) -> bool:
    """Whether the columns of a row can be compared. Columns are compared by their names. Those that have numbers only
    are comparable if there are as many."""
    sizes = len(row.names), len(row.new_names)
    if min(sizes) == 0 or max(sizes) > MOST_COLUMNS or sizes != (len(row.old), len(row.new)):
        return False
    numbered = all(name == str(number) for number, name in enumerate(row.names))
    return row.names == row.new_names if numbered else not set(row.names).isdisjoint(row.new_names)
