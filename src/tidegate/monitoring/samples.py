"""Adding samples up, and reading statistics off them. Pure; percentiles are within 1 % (``monitoring.sketch``)."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring import finite, sketch

PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100(?:\.0+)?)")

END = 2**40
"""Epoch seconds: beyond, a moment is nonsense."""


def merge(samples: Sequence[Sample]) -> Sample:
    """What the span from the first begin to the last end holds. Metric and unit are the first one's; at least
    one sample is needed."""
    first = samples[0]
    if len(samples) == 1:
        return first
    begin = min([s.at for s in samples])
    return Sample(
        metric=first.metric,
        at=begin,
        count=finite.add([s.count for s in samples]),
        total=finite.add([s.total for s in samples]),
        low=min([s.low for s in samples]),
        high=max([s.high for s in samples]),
        bins=sketch.merge([_bins(s) for s in samples]),
        unit=first.unit,
        resolution=max([s.at + s.resolution for s in samples]) - begin,
    )


def spans(samples: Iterable[Sample], start: int, period: int) -> dict[str, dict[int, Sample]]:
    """The samples added up by unit, and by span of ``period`` seconds counted from ``start``; each span is keyed by
    its begin, in order."""
    groups: dict[str, dict[int, list[Sample]]] = {}
    for sample in samples:
        at = (sample.at - start) // period * period + start
        groups.setdefault(sample.unit, {}).setdefault(at, []).append(sample)
    return {
        unit: {at: replace(merge(group), at=at, resolution=period) for at, group in sorted(found.items())}
        for unit, found in groups.items()
    }


def newest_unit(found: Mapping[str, dict[int, Sample]]) -> dict[int, Sample]:
    """Spans of one unit, where a reader names none: the unit with the newest span, the first by name among
    several. CloudWatch leaves open what an alarm without a unit sees of a metric with several."""
    if not found:
        return {}
    return found[min(found, key=lambda unit: (-max(found[unit], default=0), unit))]


def flaw(sample: Sample) -> str | None:
    """Why a sample cannot be kept: a number that is not finite or makes no sense, or text that no database takes.
    None if nothing is wrong."""
    if not _is_writable(sample.metric, sample.unit):
        return "text that cannot be written"
    if not 0 <= sample.at < END:
        return f"the moment {sample.at!r}"
    numbers = (sample.count, sample.total, sample.low, sample.high, *sample.bins.values())
    # A sum is quick, and not finite where one of its numbers is not; a finite one that overflows is looked at.
    if not math.isfinite(sum(numbers)) and not all(map(math.isfinite, numbers)):
        return "a number that is not finite"
    if sample.count < 0 or min(sample.bins.values(), default=0) < 0:
        return "a negative count"
    if not all(map(sketch.POSITIVE.__contains__, sample.bins)) and not all(map(sketch.is_bin, sample.bins)):
        return "a bin that no value falls into"
    return None


@lru_cache(maxsize=65_536)
def _is_writable(metric: MetricId, unit: str) -> bool:
    """Whether a database takes its texts: PostgreSQL takes no NUL, and neither takes half of a surrogate pair."""
    text = "".join((metric.namespace, metric.name, unit, *chain.from_iterable(metric.dimensions)))
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def statistic(sample: Sample, name: str) -> float | None:
    """``Average``, ``Sum``, ``Minimum``, ``Maximum``, ``SampleCount`` or a percentile (``p0`` to ``p100``, with
    decimals). None without values, and for a percentile of values of which only the sums are known: part of
    them would answer for the whole. Raises Invalid for another name."""
    simple = {
        "SampleCount": sample.count,
        "Sum": sample.total,
        "Minimum": sample.low,
        "Maximum": sample.high,
        "Average": finite.saturated(sample.total / sample.count) if sample.count else 0.0,
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
    if finite.add(bins.values()) < sample.count * 0.999_999:
        return None
    found = sketch.percentile(bins, percent)
    return None if found is None else min(sample.high, max(sample.low, found))


def _bins(sample: Sample) -> dict[int, float]:
    """The sketch; made up for sums alone where they leave no choice (all values are equal), as CloudWatch does
    for statistic sets."""
    if sample.bins or sample.low != sample.high or sample.count <= 0:
        return sample.bins
    return {sketch.index(sample.low): sample.count}
