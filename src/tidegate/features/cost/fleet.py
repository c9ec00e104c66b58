"""The number of instances that each hour of a load needs, and how long they are paid for."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tidegate.features.cost.bill import BillLine
from tidegate.features.cost.errors import above, in_range
from tidegate.features.cost.traffic import Load
from tidegate.prices import Rate

SCALE_IN = 0.25
"""Hours that an instance goes on after it was needed last: target tracking takes 15 quiet minutes to scale in."""
TARGET = 0.7
"""Part of what an instance can do at which autoscaling holds it: room for the minutes until more are ready."""
WAVES = 0.15
"""Part by which the rate of an hour's busiest minutes lies above that of the hour, beside what the shape says of it:
arrivals come in waves, and an autoscaler follows them up within minutes and down after a quarter of an hour."""
ORDINARY = "ordinary days"
_SLACK = 1e-9
"""So that 2.0000000001 instances are two."""


@dataclass(frozen=True)
class ScalingBounds:
    """The bounds and the target of autoscaling. ``per_instance`` requests a second are what one instance answers
    within its latency goal; autoscaling holds it at ``target`` (a part, at most 1) of that, with ``least`` to
    ``most`` instances. ``lag`` is in hours; ``waves`` is the part by which the busiest minutes of an hour lie above
    it."""

    per_instance: float
    least: int
    most: int
    target: float = TARGET
    lag: float = SCALE_IN
    waves: float = WAVES

    def __post_init__(self) -> None:
        above("requests a second that one instance answers", self.per_instance, 0)
        in_range("instances at least", self.least, 0, 100_000)
        in_range("instances at most", self.most, max(1, self.least), 100_000)
        above("target utilisation", self.target, 0)
        in_range("target utilisation", self.target, 0, 1)
        in_range("hours until an instance is scaled in", self.lag, 0, 1)
        in_range("waves within an hour", self.waves, 0, 10)

    def needed(self, rate: float) -> int:
        """Return the number of instances that ``rate`` requests a second need."""
        wanted = math.ceil(rate / (self.per_instance * self.target) - _SLACK)
        return max(self.least, min(self.most, wanted))


@dataclass(frozen=True)
class FleetUsage:
    """The instances of a fleet in each hour of a year. ``counts`` are those that the busiest minutes of each hour
    need, ``paid`` the instance-hours that it is billed, the wait until they are scaled in included. ``short`` hours
    need more than ``most`` can answer at all."""

    counts: tuple[int, ...] = field(repr=False)
    paid: tuple[float, ...] = field(repr=False)
    short: int = 0

    @property
    def hours(self) -> float:
        """Instance-hours of the year."""
        return math.fsum(self.paid)

    @property
    def largest(self) -> int:
        return max(self.counts)


def fleet(load: Load, scaling: ScalingBounds) -> FleetUsage:
    """Replay the year. Within an hour the count goes with the waves: it is the mean of those that its rate, its
    busiest minutes and the middle of the two need. Instances that the next hour does not need are paid ``lag`` hours
    more."""
    one = scaling.per_instance * scaling.target
    least, most, lag = scaling.least, scaling.most, scaling.lag
    levels = (one, one / (1 + scaling.waves / 2), one / (1 + scaling.waves))
    counts, paid, before = list[int](), list[float](), float(least)
    # A year has few different days, unless it grows.
    known: dict[tuple[tuple[float, ...], float], tuple[list[int], list[float], float]] = {}
    for rates in load.daily_peaks:
        day = known.get((rates, before))
        if day is None:
            needed = [
                [max(least, min(most, math.ceil(rate / level - _SLACK))) for level in levels] for rate in rates
            ]
            means = [sum(each) / len(each) for each in needed]
            hours = [
                max(mean, mean + lag * (last - mean)) for last, mean in zip([before, *means], means, strict=False)
            ]
            day = known[rates, before] = [each[-1] for each in needed], hours, means[-1]
        counts += day[0]
        paid += day[1]
        before = day[2]
    full = most * scaling.per_instance * (1 + _SLACK)
    short = sum(1 for rate in load.peak if rate > full) if load.busiest > full else 0
    return FleetUsage(tuple(counts), tuple(paid), short)


def instances(item: str, rate: Rate, scaling: ScalingBounds, load: Load, made: FleetUsage) -> Iterator[BillLine]:
    """Yield the lines of a fleet: its minimum, then by the peaks what goes above it."""
    yield BillLine(item, float(scaling.least * load.hours), rate, f"{scaling.least} at all hours (the minimum)")
    above_least: dict[str, float] = defaultdict(float)
    largest: dict[str, int] = defaultdict(int)
    more = [paid - scaling.least for paid in made.paid]
    for day, name in enumerate(load.days):
        hours = slice(24 * day, 24 * day + 24)
        if any(more[hours]):
            above_least[name] = sum(more[hours], above_least[name])
            largest[name] = max(largest[name], *made.counts[hours])
    for name, hourly in above_least.items():
        yield BillLine(
            item, hourly, rate, f"above the minimum, {name or ORDINARY}: up to {largest[name]} instances"
        )


def shortage(scaling: ScalingBounds, load: Load, made: FleetUsage) -> list[str]:
    """Return a warning if the most instances are too few, otherwise nothing."""
    if not made.short:
        return []
    full = scaling.most * scaling.per_instance
    return [
        f"{made.short} hours need more than {scaling.most} instances can answer "
        f"({full:g} requests/s; the busiest hour has {load.busiest:g})"
    ]


def fixed(load: Load, scaling: ScalingBounds) -> ScalingBounds:
    """Return bounds for a fleet without autoscaling, which has at all hours as many instances as the busiest hour
    needs."""
    most = max(1, scaling.needed(load.busiest * (1 + scaling.waves)))
    return replace(scaling, least=most, most=most)
