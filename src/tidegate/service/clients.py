"""Which models of a multi-model endpoint have metrics of their own. Pure.

Each series costs room for 15 months, and clients come by the thousand. Workers name their busiest ones; here the
number is bounded over all workers and over time. The rest is counted together under the name ``OTHER``, so that the
sum over all names is the whole.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tidegate.domain.metric import FleetSecond, Latency, WorkerSeries
from tidegate.monitoring.value_spread import together

MODEL_DIMENSION = "TargetModel"
"""Dimension of a model's own series: its name in requests."""
OTHER = "(other)"
MAX_NAMES = 50
"""Names of one variant at one time."""
MAX_WATCHED = 4 * MAX_NAMES
"""Names whose heat is known, to see who has become busier than one that has a series."""
HALF_LIFE = 600.0
"""Seconds after which a request counts half."""
BUSIER_FACTOR = 4.0
"""So many times as busy as the least busy name must a newcomer be, where there is no room: names do not swap
places again and again, and a new series begins rarely."""


@dataclass(frozen=True)
class DecayedCount:
    count: float = 0.0
    at: int = 0

    def now(self, second: int) -> float:
        return self.count * math.exp2(min(0, self.at - second) / HALF_LIFE)

    def plus(self, count: float, second: int) -> "Heat":
        return DecayedCount(self.now(second) + count, max(self.at, second))


@dataclass(frozen=True)
class ClientNames:
    """Of one variant: ``named`` have series, ``watched`` are known besides."""

    named: Mapping[str, DecayedCount] = field(default_factory=dict)
    watched: Mapping[str, DecayedCount] = field(default_factory=dict)

    def heard(self, counts: Mapping[str, float], second: int) -> "Names":
        """After these requests."""
        named, watched = dict(self.named), dict(self.watched)
        for name, count in counts.items():
            group = named if name in named else watched
            group[name] = group.get(name, DecayedCount()).plus(count, second)
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
    """What is known after these seconds, and the seconds with no other names than those."""
    after, kept = dict(known), []
    for second in seconds:
        counts, key = _requests(second), (second.fleet.endpoint, second.fleet.variant)
        if counts:
            after[key] = after.get(key, ClientNames()).heard(counts, second.second)
        if any(MODEL_DIMENSION in dict(series.dimensions) for series in second.series):
            second = replace(second, series=_rename(second.series, after.get(key, ClientNames())))
        kept.append(second)
    return after, kept


def _requests(second: FleetSecond) -> dict[str, float]:
    """Name -> its requests; ``OTHER`` is nobody's name."""
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
    return tuple(WorkerSeries(*key, values) for key, parts in groups.items() if (values := together(parts)))


def _display_name(name: str, names: ClientNames) -> str:
    return name if name in names.named else OTHER
