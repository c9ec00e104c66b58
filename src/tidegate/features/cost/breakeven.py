"""The rate at which one way of serving begins to cost less than another, and curves of cost by rate."""

from collections.abc import Callable
from dataclasses import dataclass

from tidegate.features.cost.bill import Bill, Tariff
from tidegate.features.cost.errors import above, in_range
from tidegate.features.cost.extras import NOTHING, Extras
from tidegate.features.cost.fleet import ScalingBounds, fixed
from tidegate.features.cost.hosted import real_time
from tidegate.features.cost.on_demand import OnDemandUsage, serverless
from tidegate.features.cost.traffic import Load, Traffic

Priced = Callable[[Load], Bill]
STEPS, HALVINGS = 200, 60
CLOSE = 1e-9
"""Part by which two bills may differ that cost the same."""
FIRST, LAST = 1e-6, 1e6
"""Requests a second between which a break-even is looked for."""


@dataclass(frozen=True)
class Crossing:
    """The rate at which two ways of serving cost the same. At ``rps`` both cost ``month`` dollars; below it the first
    is cheaper. ``rps`` is that of ``Traffic``: the mean of the busiest ordinary hour; ``requests`` are those of
    the mean month."""

    rps: float
    month: float
    requests: float


def crossing(first: Priced, second: Priced, traffic: Traffic, year: int) -> Crossing | None:
    """The lowest rate at which ``first`` is no longer cheaper, or None where there is none up to ``LAST``.

    ``first`` has to rise with the rate without jumps, as a bill by the request does; ``second`` may jump up, as
    instances do. So ``first`` stays below ``second`` until it has reached what ``second`` costs already: from there
    the same holds again, and these steps end at the lowest crossing and never pass it. Where both rise nearly alike
    the steps are too short; the rest is halved then, which finds a crossing, if perhaps not the lowest.
    """
    unit = _unit(traffic, year)
    rps = FIRST
    for _ in range(STEPS):
        aim = second(unit.times(rps)).total
        if first(unit.times(rps)).total >= aim * (1 - CLOSE):
            break
        found = _find_rate(first, unit, aim, rps)
        if found is None:
            return None
        rps = found
    else:
        rps = _bisect(lambda load: first(load).total - second(load).total, unit, rps)
    if rps == FIRST:
        return None
    load = unit.times(rps)
    return Crossing(rps, first(load).month, load.requests / 12)


def _bisect(difference: Callable[[Load], float], unit: Load, low: float) -> float:
    """Find by bisection the rate, above ``low``, at which the difference turns from below 0 to above. Returns
    ``LAST`` if it does not."""
    high = LAST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if difference(unit.times(middle)) < 0 else (low, middle)
    return high


def _find_rate(priced: Priced, unit: Load, aim: float, low: float) -> float | None:
    """Find the rate, above ``low``, at which the bill is ``aim``: by false position, as it is nearly straight."""
    high = LAST
    at_low, at_high = priced(unit.times(low)).total - aim, priced(unit.times(high)).total - aim
    if at_high < 0:
        return None
    for _ in range(STEPS):
        middle = min(high, max(low, low - at_low * (high - low) / (at_high - at_low)))
        there = priced(unit.times(middle)).total - aim
        if abs(there) <= aim * CLOSE / 10:
            return middle
        # The end that stays is believed half as much (the Illinois rule), or it would stay for ever.
        if there < 0:
            low, at_low, at_high = middle, there, at_high / 2
        else:
            high, at_high, at_low = middle, there, at_low / 2
    return high


def curve(
    ways: dict[str, Priced], traffic: Traffic, year: int, *, least: float, most: float, points: int = 24
) -> list[dict[str, float]]:
    """Return the dollars of the mean month of each way at rates from ``least`` to ``most``, evenly on a log scale."""
    above("least rate of a curve", least, 0)
    in_range("most rate of a curve", most, least, LAST)
    in_range("points of a curve", points, 2, 1000)
    unit = _unit(traffic, year)
    found = []
    for step in range(points):
        rps = least * (most / least) ** (step / (points - 1))
        load = unit.times(rps)
        found.append({"rps": rps, **{name: priced(load).month for name, priced in ways.items()}})
    return found


def _unit(traffic: Traffic, year: int) -> Load:
    """Return the load of one request a second, from which that of any rate is made by multiplication."""
    return Traffic(1.0, traffic.shape, traffic.growth).hours(year)


def serverless_against_real_time(
    tariff: Tariff, what: OnDemandUsage, instance: str, scaling: ScalingBounds, extras: Extras = NOTHING
) -> dict[str, Priced]:
    """Return the bills of the two ways, cheaper at low rates first, as ``crossing`` and ``curve`` take them."""
    return {
        "serverless": lambda load: serverless(tariff, what, load, extras),
        "real-time": lambda load: real_time(tariff, instance, scaling, load, extras),
    }


@dataclass(frozen=True)
class BillComparison:
    """Two bills of the same traffic; ``saved`` is the part (of the first) that the second saves."""

    first: Bill
    second: Bill

    @property
    def saved(self) -> float:
        return 1.0 - self.second.total / self.first.total if self.first.total else 0.0


def fixed_against_scaled(
    tariff: Tariff, instance: str, scaling: ScalingBounds, load: Load, extras: Extras = NOTHING
) -> BillComparison:
    """Instances for the busiest hour at all hours, against autoscaling."""
    return BillComparison(
        real_time(tariff, instance, fixed(load, scaling), load, extras),
        real_time(tariff, instance, scaling, load, extras),
    )
