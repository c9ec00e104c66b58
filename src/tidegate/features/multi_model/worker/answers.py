"""Statistics of what each model of a worker answered recently: how often, how fast, with how many errors. Pure.

Memory is bounded: latencies are counted in bins, of the last ten to twenty minutes, for the models that were asked
last. One answer costs two look-ups and a logarithm."""

import math
from collections import OrderedDict
from dataclasses import dataclass, field

from tidegate.statistics.distribution import quantile_of_counts

MODELS = 2_000
"""Models that are remembered; those that were not asked for the longest time are forgotten."""
SPAN = 600.0
"""Seconds after which the older half of what is known is forgotten."""
WIDTH = math.log(1.1)
"""Of a bin, on a logarithmic scale: its middle is off by 5 % at the most."""
LAST_BIN = 220
"""Of microseconds: a quarter of an hour and more."""


@dataclass(slots=True)
class _Half:
    began: float
    errors: int = 0
    bins: dict[int, int] = field(default_factory=dict)
    """Bin of the latency in microseconds -> answers."""


@dataclass(slots=True)
class _Answers:
    present: _Half
    before: _Half | None = None
    last: float = 0.0


@dataclass(frozen=True, slots=True)
class _AnswerSummary:
    """Statistics of the last ten to twenty minutes. Latencies are in seconds, and None if there was no answer."""

    requests: int
    errors: int
    p50: float | None
    p99: float | None
    last: float
    """When it answered last."""


class RecentAnswers:
    """Recent answers of the models that were asked last. Times are those of one clock that is never set back, in
    seconds."""

    def __init__(self, most: int = MODELS) -> None:
        self._most = most
        self._models: OrderedDict[str, _Answers] = OrderedDict()

    def __len__(self) -> int:
        return len(self._models)

    def note(self, name: str, seconds: float, failed: bool, now: float) -> None:
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = _Answers(_Half(now))
            if len(self._models) > self._most:
                self._models.popitem(last=False)
        else:
            self._models.move_to_end(name)
            _turn(found, now)
        found.last = now
        half = found.present
        half.errors += failed
        bin = bin_of(seconds)
        half.bins[bin] = half.bins.get(bin, 0) + 1

    def summary(self, name: str, now: float) -> _AnswerSummary | None:
        """Summarise the answers of a model; None for a model that has not answered, or is forgotten."""
        found = self._models.get(name)
        if found is None:
            return None
        _turn(found, now)
        halves = [found.present, *([found.before] if found.before is not None else [])]
        bins: dict[int, int] = {}
        for half in halves:
            for bin, count in half.bins.items():
                bins[bin] = bins.get(bin, 0) + count
        ordered, total = sorted(bins.items()), sum(bins.values())
        slow = [quantile_of_counts(ordered, total, part) for part in (0.5, 0.99)]
        p50, p99 = (None if bin is None else _seconds_of(bin) for bin in slow)
        return _AnswerSummary(total, sum(half.errors for half in halves), p50, p99, found.last)


def bin_of(seconds: float) -> int:
    micros = seconds * 1e6
    return min(LAST_BIN, round(math.log(micros) / WIDTH)) if micros > 1 else 0


def _seconds_of(bin: int) -> float:
    return math.exp(bin * WIDTH) / 1e6


def _turn(found: _Answers, now: float) -> None:
    if now - found.present.began < SPAN:
        return
    found.before = found.present if now - found.present.began < 2 * SPAN else None
    found.present = _Half(now)
