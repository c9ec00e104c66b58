"""Merging spreads of values."""

from collections.abc import Iterable

from tidegate.domain.metric import Latency
from tidegate.monitoring import finite, sketch


def merge_spreads(parts: Iterable[Latency | None]) -> Latency | None:
    """All values of the parts together; None where there are none."""
    some = [part for part in parts if part is not None]
    if not some:
        return None
    bins = sketch.merge(part.bins for part in some)
    return Latency(bins, finite.add(p.total for p in some), min(p.low for p in some), max(p.high for p in some))
