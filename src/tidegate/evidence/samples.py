"""Adding samples up, and reading statistics off them. Pure; percentiles are within 1 % (``evidence.sketch``)."""

import re
from collections.abc import Sequence

from tidegate.evidence import sketch
from tidegate.model.errors import Invalid
from tidegate.model.metric import Sample

PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100(?:\.0+)?)")


def merge(samples: Sequence[Sample]) -> Sample:
    """What the span from the first begin to the last end holds. Metric and unit are the first one's; at least
    one sample is needed."""
    first, *others = samples
    if not others:
        return first
    begin = min(s.at for s in samples)
    return Sample(
        metric=first.metric,
        at=begin,
        count=sum(s.count for s in samples),
        total=sum(s.total for s in samples),
        low=min(s.low for s in samples),
        high=max(s.high for s in samples),
        bins=sketch.merge(_bins(s) for s in samples),
        unit=first.unit,
        resolution=max(s.at + s.resolution for s in samples) - begin,
    )


def statistic(sample: Sample, name: str) -> float | None:
    """``Average``, ``Sum``, ``Minimum``, ``Maximum``, ``SampleCount`` or a percentile (``p0`` to ``p100``, with
    decimals). None without values, and for a percentile of values of which only the sums are known: part of
    them would answer for the whole. Raises Invalid for another name."""
    simple = {
        "SampleCount": sample.count,
        "Sum": sample.total,
        "Minimum": sample.low,
        "Maximum": sample.high,
        "Average": sample.total / sample.count if sample.count else 0.0,
    }
    percent = PERCENTILE.fullmatch(name)
    if name not in simple and percent is None:
        raise Invalid(
            f"Statistic {name!r} is not supported: use {', '.join(simple)} or a percentile such as p99.9"
        )
    if sample.count <= 0:
        return None
    return simple[name] if percent is None else _percentile(sample, float(percent[1]))


def _percentile(sample: Sample, percent: float) -> float | None:
    bins = _bins(sample)
    if sum(bins.values()) < sample.count * 0.999_999:
        return None
    found = sketch.percentile(bins, percent)
    return None if found is None else min(sample.high, max(sample.low, found))


def _bins(sample: Sample) -> dict[int, float]:
    """The sketch; made up for sums alone where they leave no choice (all values are equal), as CloudWatch does
    for statistic sets."""
    if sample.bins or sample.low != sample.high or sample.count <= 0:
        return sample.bins
    return {sketch.index(sample.low): sample.count}
