"""Choose the models of a multi-model endpoint that have metrics of their own. Pure.

Each series takes storage for 15 months, and there may be thousands of models. Workers report their busiest models by
name; this module bounds the number of names over all workers and over time. All others are counted together as
``OTHER``, so that the sum over all names is complete.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tidegate.domain.metric import FleetSecond, Latency, WorkerSeries
from tidegate.monitoring.sketch import merge_spreads

MODEL_DIMENSION = "TargetModel"
"""Dimension of a model's own series: its name in requests."""
OTHER = "(other)"
MAX_NAMES = 50
"""Names with series of their own, per variant."""
MAX_WATCHED = 4 * MAX_NAMES
"""Names whose request counts are tracked, to find one that is busier than a name with a series."""
HALF_LIFE = 600.0
"""Seconds after which a request counts half."""
BUSIER_FACTOR = 4.0
"""A new name replaces the least busy one only if it is this many times as busy. So names are not exchanged back and
forth, and new series are rare."""


@dataclass(frozen=True)
class _DecayedCount:
    count: float = 0.0
    at: int = 0

    def now(self, second: int) -> float:
        return self.count * math.exp2(min(0, self.at - second) / HALF_LIFE)

    def plus(self, count: float, second: int) -> "_DecayedCount":
        return _DecayedCount(self.now(second) + count, max(self.at, second))


@dataclass(frozen=True)
class ClientNames:
    """Names of one variant: ``named`` have series; ``watched`` are tracked only."""

    named: Mapping[str, _DecayedCount] = field(default_factory=dict)
    watched: Mapping[str, _DecayedCount] = field(default_factory=dict)

    def count_requests(self, counts: Mapping[str, float], second: int) -> "ClientNames":
        """Add requests, and exchange names if others became busier."""
        named, watched = dict(self.named), dict(self.watched)
        for name, count in counts.items():
            group = named if name in named else watched
            group[name] = group.get(name, _DecayedCount()).plus(count, second)
        for name in sorted(watched, key=lambda one: watched[one].now(second), reverse=True):
            if len(named) >= MAX_NAMES:
                coldest = min(named, key=lambda one: named[one].now(second))
                if watched[name].now(second) < BUSIER_FACTOR * named[coldest].now(second):
                    break
                watched[coldest] = named.pop(coldest)
            named[name] = watched.pop(name)
        hottest = sorted(watched, key=lambda one: watched[one].now(second), reverse=True)[:MAX_WATCHED]
        return ClientNames(named, {name: watched[name] for name in hottest})


NamesByVariant = Mapping[tuple[str, str], ClientNames]
"""Endpoint and variant -> its names."""


def bound_names(
    known: NamesByVariant, seconds: Iterable[FleetSecond]
) -> tuple[dict[tuple[str, str], ClientNames], list[FleetSecond]]:
    """Update the names with these seconds, and rename series of all other models to ``OTHER``."""
    after, kept = dict(known), []
    for second in seconds:
        counts, key = _requests(second), (second.fleet.endpoint, second.fleet.variant)
        if counts:
            after[key] = after.get(key, ClientNames()).count_requests(counts, second.second)
        if any(MODEL_DIMENSION in dict(series.dimensions) for series in second.series):
            second = replace(second, series=_rename(second.series, after.get(key, ClientNames())))
        kept.append(second)
    return after, kept


def _requests(second: FleetSecond) -> dict[str, float]:
    """Model name -> requests, without ``OTHER``."""
    found: dict[str, float] = {}
    for series in second.series:
        name = dict(series.dimensions).get(MODEL_DIMENSION, OTHER)
        if series.name == "Invocations" and name != OTHER:
            found[name] = found.get(name, 0) + series.values.count
    return found


def _rename(series: Iterable[WorkerSeries], names: ClientNames) -> tuple[WorkerSeries, ...]:
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Latency]] = {}
    for one in series:
        named = tuple(
            (key, _display_name(text, names) if key == MODEL_DIMENSION else text) for key, text in one.dimensions
        )
        groups.setdefault((one.name, named), []).append(one.values)
    return tuple(WorkerSeries(*key, values) for key, parts in groups.items() if (values := merge_spreads(parts)))


def _display_name(name: str, names: ClientNames) -> str:
    return name if name in names.named else OTHER
