"""Adding samples up, and reading datapoints off them. Pure; percentiles are within 1 % (``monitoring.sketch``)."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring import finite, sketch

PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100(?:\.0+)?)", re.ASCII)
_PERCENT = r"(?:\d{1,2}(?:\.\d{1,10})?|100(?:\.0{1,10})?)"
_NUMBER = r"-?\d{1,40}(?:\.\d{1,20})?"
_SHORT = re.compile(rf"(tm|wm|tc|ts)({_PERCENT})", re.ASCII)
_BY_PERCENT = re.compile(rf"(TM|WM|TC|TS)\((?:({_PERCENT})%)?:(?:({_PERCENT})%)?\)", re.ASCII)
_BY_VALUE = re.compile(rf"(TM|WM|TC|TS|PR)\(({_NUMBER})?:({_NUMBER})?\)", re.ASCII)
EXTENDED = (
    "a percentile such as p99.9, or a trimmed statistic (tm90, TM(10%:90%), wm98, tc90, ts90, PR(:300), IQM)"
)
"""Statistics beside the simple ones, for messages."""

END = 2**40
"""Epoch seconds: beyond, a moment is nonsense."""


@dataclass(frozen=True)
class TrimmedStatistic:
    """A statistic of the values within bounds: TM their mean, TC their count, TS their sum, PR their share in
    percent; WM the mean of all, with those outside moved to the nearest bound. The bounds are percentiles, or values:
    above ``low``, up to ``high``."""

    kind: str
    low: float
    high: float
    by_percent: bool


@lru_cache(maxsize=1024)
def parse_trimmed(name: str) -> TrimmedStatistic | None:
    """None for what is no trimmed statistic."""
    if name == "IQM":
        return TrimmedStatistic("TM", 25.0, 75.0, True)
    if short := _SHORT.fullmatch(name):
        return TrimmedStatistic(short[1].upper(), 0.0, float(short[2]), True)
    found, by_percent = _BY_PERCENT.fullmatch(name), True
    if found is None:
        found, by_percent = _BY_VALUE.fullmatch(name), False
    if found is None or (found[2] is None and found[3] is None):
        return None
    least, most = (0.0, 100.0) if by_percent else (-math.inf, math.inf)
    low = least if found[2] is None else float(found[2])
    high = most if found[3] is None else float(found[3])
    return TrimmedStatistic(found[1], low, high, by_percent) if low < high else None


def is_extended(name: str) -> bool:
    """Whether it is a percentile or a trimmed statistic."""
    return PERCENTILE.fullmatch(name) is not None or parse_trimmed(name) is not None


def merge(samples: Sequence[Sample]) -> Sample:
    """Merge samples into one for the span from the first begin to the last end. Metric and unit are those of the
    first sample; at least one sample is needed."""
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
    """Return the spans of one unit, for a reader that names none: the unit with the newest span, the first by name
    among several. CloudWatch does not define which unit an alarm without one reads from a metric with several."""
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
    """Return a statistic of a sample: ``Average``, ``Sum``, ``Minimum``, ``Maximum``, ``SampleCount``, a percentile
    (``p0`` to ``p100``, with decimals) or a trimmed statistic. None without values; None also for a percentile or a
    trimmed statistic if only the sums of some values are known, since the others would stand for the whole. Raises
    Invalid for another name."""
    simple = {
        "SampleCount": sample.count,
        "Sum": sample.total,
        "Minimum": sample.low,
        "Maximum": sample.high,
        "Average": finite.saturated(sample.total / sample.count) if sample.count else 0.0,
    }
    percent, trimmed = PERCENTILE.fullmatch(name), parse_trimmed(name)
    if name not in simple and percent is None and trimmed is None:
        raise Invalid(f"Statistic {name!r} is not supported: use {', '.join(simple)}, {EXTENDED}")
    if sample.count <= 0:
        return None
    if name in simple:
        return simple[name]
    bins = _bins(sample)
    if finite.add(bins.values()) < sample.count * 0.999_999:
        return None
    if trimmed is not None:
        return _trim(sample, bins, trimmed)
    assert percent is not None
    found = sketch.percentile(bins, float(percent[1]))
    return None if found is None else min(sample.high, max(sample.low, found))


def _trim(sample: Sample, bins: Mapping[int, float], wanted: TrimmedStatistic) -> float | None:
    """Compute a trimmed statistic; None for the mean of no values. A bin at a percentile counts in part."""
    rows = [(min(sample.high, max(sample.low, sketch.value(key))), bins[key]) for key in sorted(bins)]
    total, low, high = finite.add(bins.values()), wanted.low, wanted.high
    if wanted.by_percent:
        ranks = low / 100 * total, high / 100 * total
        weights = _overlaps([count for _, count in rows], *ranks)
        kept = [value for (value, _), weight in zip(rows, weights, strict=True) if weight > 0]
        low, high = (kept[0], kept[-1]) if kept else (low, high)
    else:
        lowest, highest = _bin_of(low), _bin_of(high)
        weights = [bins[key] if lowest < key <= highest else 0.0 for key in sorted(bins)]
    if wanted.kind == "WM":
        weights, rows = (
            [count for _, count in rows],
            [(min(high, max(low, value)), count) for value, count in rows],
        )
    number = finite.add(weights)
    if wanted.kind == "TC":
        return number
    if wanted.kind == "PR":
        return 100 * number / total
    whole = finite.add([weight * value for (value, _), weight in zip(rows, weights, strict=True)])
    if wanted.kind == "TS":
        return whole
    return finite.saturated(whole / number) if number > 0 else None


def _bin_of(bound: float) -> float:
    """Return the bin of a bound. Values are compared with it by their bins, so that an equal one is not above it."""
    return -math.inf if bound < 0 else bound if math.isinf(bound) else sketch.index(bound)


def _overlaps(counts: Sequence[float], low: float, high: float) -> list[float]:
    """The part of each count that lies between two ranks."""
    begin, found = 0.0, list[float]()
    for count in counts:
        end = begin + count
        found.append(max(0.0, min(end, high) - max(begin, low)))
        begin = end
    return found


def _bins(sample: Sample) -> dict[int, float]:
    """The sketch; made up for sums alone where they leave no choice (all values are equal), as CloudWatch does
    for statistic sets."""
    if sample.bins or sample.low != sample.high or sample.count <= 0:
        return sample.bins
    return {sketch.index(sample.low): sample.count}


# --- one period of a metric, as an alarm or a graph sees it, and the names of statistics ---


STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


@dataclass(frozen=True)
class Datapoint:
    """``at`` is the begin of its period (epoch seconds); ``samples`` says how many values stand behind it."""

    at: int
    value: float
    samples: float = 1.0


def datapoint(at: int, sample: Sample | None, name: str) -> Datapoint | None:
    """The statistic ``name`` of one period; None where there is no data, or none that the statistic can be made of (a
    percentile of values of which only the sums are known)."""
    if sample is None:
        return None
    value = statistic(sample, name)
    return None if value is None else Datapoint(at, value, sample.count)


def check_extended(name: str) -> None:
    """Raises Invalid for an extended statistic that is neither a percentile nor trimmed."""
    if not is_extended(name):
        raise Invalid(f"statistic {name!r} is not supported: use {EXTENDED}")
