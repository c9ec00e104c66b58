"""How a column was distributed in the baseline and is now, in few numbers, for plots. Pure."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from tidegate.domain.drift import ColumnShares, DriftChange
from tidegate.features.drift.slices import EVERYTHING
from tidegate.rows.profile import ColumnProfile, TableProfile

BINS = 16
MOST_WHOLE = 100_000
"""Range of whole numbers up to which bins fall between them."""
MOST_NAMES = 8
LONGEST_NAME = 40
"""Characters of a value."""
TAIL = 0.01
"""Part of the values on either side that are counted in the outermost bins, so that one value does not stretch them
all."""
OTHERS = "(others)"


def column_shares(
    changes: Iterable[DriftChange], before: Mapping[str, TableProfile], now: Mapping[str, TableProfile]
) -> tuple[ColumnShares, ...]:
    """Return the shares of each change that can be drawn. A slice that the baseline does not have is shown against
    the whole baseline, with which it was compared."""
    found = (_shares(change, _column(change, before), _column(change, now, whole=False)) for change in changes)
    return tuple(one for one in found if one is not None)


def _column(change: DriftChange, tables: Mapping[str, TableProfile], whole: bool = True) -> ColumnProfile | None:
    places = (change.slice, EVERYTHING) if whole else (change.slice,)
    columns = (tables[place].columns.get(change.column) for place in places if place in tables)
    return next((one for one in columns if one is not None), None)


def _shares(change: DriftChange, before: ColumnProfile | None, now: ColumnProfile | None) -> ColumnShares | None:
    if before is None or now is None:
        return None
    if before.sample and now.sample:
        return _share_numbers(change, before, now)
    if before.categories and now.categories:
        return _share_texts(change, before, now)
    return None


def _share_numbers(change: DriftChange, before: ColumnProfile, now: ColumnProfile) -> ColumnShares | None:
    values = sorted(value for value in (*before.sample, *now.sample) if math.isfinite(value))
    if not values:
        return None
    tail = int(TAIL * len(values))
    low, high = values[tail], values[-1 - tail]
    if low == high:
        low, high = values[0], values[-1]
    edges = _edges(low, high, before.whole and now.whole)
    if not all(map(math.isfinite, edges)):
        return None
    old, new = (_count(one.sample, edges) for one in (before, now))
    return ColumnShares(change.slice, change.column, old, new, tuple(float(f"{edge:.6g}") for edge in edges))


def _edges(low: float, high: float, whole: bool) -> list[float]:
    """Return the edges of bins of equal width. For whole numbers each bin covers equally many of them."""
    if whole and high - low < MOST_WHOLE:
        width = max(1, math.ceil((high - low + 1) / BINS))
        return [low - 0.5 + width * place for place in range(math.ceil((high - low + 1) / width) + 1)]
    width_of_bin = (high / BINS - low / BINS) or 1.0
    return [low + width_of_bin * place for place in range(BINS + 1)]


def _count(values: Iterable[float], edges: Sequence[float]) -> tuple[float, ...]:
    counts = [0] * (len(edges) - 1)
    for value in values:
        if math.isfinite(value):
            counts[min(max(bisect_right(edges, value) - 1, 0), len(counts) - 1)] += 1
    total = sum(counts) or 1
    return tuple(round(count / total, 4) for count in counts)


def _share_texts(change: DriftChange, before: ColumnProfile, now: ColumnProfile) -> ColumnShares:
    olds, news = (
        {name: count / (profile.texts or 1) for name, count in profile.categories.items()}
        for profile in (before, now)
    )
    largest = {name: max(olds.get(name, 0.0), news.get(name, 0.0)) for name in olds | news}
    chosen = sorted(largest, key=lambda name: (-largest[name], name))[:MOST_NAMES]
    sides = []
    for shares in (olds, news):
        told = [round(shares.get(name, 0.0), 4) for name in chosen]
        sides.append((*told, round(max(0.0, 1 - sum(told)), 4)))
    names = (*(name[:LONGEST_NAME] for name in chosen), OTHERS)
    return ColumnShares(change.slice, change.column, sides[0], sides[1], names=names)
