"""A mergeable sketch of values as sparse bins, for percentiles within 1 % (DDSketch's logarithmic mapping).

Bins are plain ``{index: count}`` so that a worker, a database row and an alarm share one form and merging is
adding. Zero and negative values stand in the bin ``ZERO``. Source: Masson, Rim, Lee, "DDSketch", VLDB 2019.
"""

import math
from collections.abc import Iterable

from ddsketch.mapping import LogarithmicMapping

from tidegate.domain.metric import Latency
from tidegate.monitoring import finite
from tidegate.statistics.distribution import quantile_of_counts

ACCURACY = 0.01
ZERO = -1_000_000
_MAPPING = LogarithmicMapping(ACCURACY)
LOWEST, HIGHEST = int(_MAPPING.key(5e-324)), int(_MAPPING.key(finite.MAX))
"""The bins of the least and of the largest positive float; every value is in one between them, or in ``ZERO``."""
POSITIVE = range(LOWEST, HIGHEST + 1)


def index(value: float) -> int:
    """The bin of one value."""
    return int(_MAPPING.key(value)) if value > 0 else ZERO


def is_bin(bin_index: int) -> bool:
    """Whether some value falls into the bin."""
    return LOWEST <= bin_index <= HIGHEST or bin_index == ZERO


def value(bin_index: int) -> float:
    """The value that stands for a bin: within 1 % of every value in it."""
    if bin_index == ZERO:
        return 0.0
    try:
        return float(_MAPPING.value(bin_index))
    except OverflowError:  # the middle of the last bin is beyond the largest float
        return finite.MAX


def highest(bin_index: int) -> float:
    """The largest value that falls into a bin."""
    return 0.0 if bin_index == ZERO else finite.saturated(value(bin_index) / (1 - ACCURACY))


def merge(parts: Iterable[dict[int, float]]) -> dict[int, float]:
    whole: dict[int, float] = {}
    for bins in parts:
        if not whole:
            whole = dict(bins)
            continue
        for key, count in bins.items():
            whole[key] = whole.get(key, 0) + count
    if math.inf in whole.values():
        return {key: finite.saturated(count) for key, count in whole.items()}
    return whole


def percentile(bins: dict[int, float], percent: float) -> float | None:
    """The least value that ``percent`` (0 to 100) of all counted values do not exceed, as of
    ``statistics.quantiles``; None where there is none."""
    total = finite.add(bins.values())
    found = quantile_of_counts(sorted(bins.items()), total, percent / 100) if total > 0 else None
    return None if found is None else value(found)


# --- merging spreads of values ---


def merge_spreads(parts: Iterable[Latency | None]) -> Latency | None:
    """All values of the parts together; None where there are none."""
    some = [part for part in parts if part is not None]
    if not some:
        return None
    bins = merge(part.bins for part in some)
    return Latency(bins, finite.add(p.total for p in some), min(p.low for p in some), max(p.high for p in some))
