"""The forecast of a bill against the bill of the instances that really ran.

    python -m bench.forecast_bill [--keep] [--days N]

A trace is replayed second by second through the scaling machine (``features.autoscaling.simulation``: alarms on
metrics of minutes, cooldowns, instances that take minutes to start). What it ran is billed by the second. The
forecast knows none of that: it has the rate of each hour and the rule of ``tidegate.features.cost.fleet``.

The traces of the named shapes are not the shapes: between the hours the rate goes over in a line, every hour has
waves and a level of its own that the forecast does not know, and requests come by chance. A bank's calls and the
December are those of ``tidegate replay run trace``; their forecast is made of other draws of the same traffic.
"""

import argparse
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench import tables
from tidegate.domain.scaling import Dimension, PredefinedMetricType, ScalableTarget, TargetTracking
from tidegate.features.autoscaling.simulation import InstanceModel, ScalingRun, ScalingSimulation
from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.fleet import ScalingBounds, fleet
from tidegate.features.cost.hosted import ran
from tidegate.features.cost.shapes import shape
from tidegate.features.cost.traffic import Load, Traffic
from tidegate.load.shapes import bank_calls, december
from tidegate.load.trace import Trace
from tidegate.prices import Catalogue
from tidegate.simulation.arrivals import draw_arrivals

INSTANCE = "ml.c5.xlarge"
YEAR, DAY = 2026, 86400
PART = 0.7
"""Of what an instance can do, that the policy gives it."""
LEVEL, WAVES = 0.1, 0.15
"""Part by which an hour's level differs from the shape (standard deviation), and height of the waves in it."""


@dataclass(frozen=True)
class Case:
    """``hourly`` requests a second are what the forecast knows, ``arrivals`` of each second what comes."""

    name: str
    hourly: tuple[float, ...]
    arrivals: list[float]
    per_instance: float
    least: int
    most: int


def named(name: str, curve: str, rps: float, per_instance: float, bounds: tuple[int, int], span: slice) -> Case:
    """A named shape of ``cost`` on some days of the year."""
    load = Traffic(rps, shape(curve)).hours(YEAR)
    hourly = load.mean[span.start * 24 : span.stop * 24]
    return Case(name, hourly, uneven(hourly, random.Random(span.start)), per_instance, *bounds)


def drawn(name: str, make: Callable[[int], Trace], per_instance: float, bounds: tuple[int, int]) -> Case:
    """A trace in minutes. The forecast is of another draw of it than that which comes."""
    comes, known = make(1).counts, make(2).counts
    hourly = tuple(sum(known[at : at + 60]) / 3600 for at in range(0, len(known), 60))
    return Case(name, hourly, [count / 60 for count in comes for _ in range(60)], per_instance, *bounds)


def cases(days: int) -> Iterator[Case]:
    yield named("payroll, a pay day in it", "payroll", 40, 40 / PART, (2, 10), slice(159, 159 + days))
    yield named("payroll, year end", "payroll", 40, 40 / PART, (2, 10), slice(346, 346 + days))
    yield named("day and night", "diurnal", 100, 25, (2, 20), slice(100, 100 + days))
    yield named("business hours", "business_hours", 60, 20, (1, 10), slice(100, 100 + days))
    yield named("steady", "steady", 50, 20, (1, 10), slice(100, 100 + days))
    yield drawn("calls to a bank", lambda seed: bank_calls(50, days=days, seed=seed), 20, (2, 12))
    yield drawn("December", lambda seed: december(10, first=15, days=days, seed=seed), 20, (2, 12))


def uneven(rates: Sequence[float], draw: random.Random) -> list[float]:
    """Arrivals of each second, from the means of each hour."""
    found: list[float] = []
    levels = [max(0.0, draw.gauss(1, LEVEL)) for _ in rates]
    for hour, rate in enumerate(rates):
        near = [rates[max(0, hour - 1)], rates[min(len(rates) - 1, hour + 1)]]
        period, phase = draw.uniform(300, 1800), draw.uniform(0, 2 * math.pi)
        for second in range(3600):
            # Ten minutes of going over on both sides of the full hour.
            side = (300 - second) / 600 if second < 300 else (second - 3300) / 600 if second >= 3300 else 0.0
            other = near[0] if second < 1800 else near[1]
            mean = rate + (other - rate) * side
            found.append(mean * levels[hour] * (1 + WAVES * math.sin(2 * math.pi * second / period + phase)))
    return draw_arrivals(found, draw.random)


@dataclass(frozen=True)
class Compared:
    """Dollars of what ran and of the forecast; how often the count changed, and the largest."""

    bill: float
    expected: float
    changes: int
    most: int

    def row(self, case: Case) -> list[object]:
        return [
            case.name,
            f"{sum(case.arrivals):,.0f}",
            self.changes,
            self.most,
            f"{self.bill:,.2f}",
            f"{self.expected:,.2f}",
            f"{(self.expected / self.bill - 1) * 100:+.1f} %",
        ]


def compared(case: Case) -> Compared:
    days = len(case.hourly) // 24
    load = Load(YEAR, case.hourly, case.hourly, ("",) * days)
    forecast = fleet(load, ScalingBounds(case.per_instance, case.least, case.most, PART)).hours
    counts: list[tuple[float, int]] = []
    changes, count = 0, case.least
    for day in range(days):
        one = _day(case, day, count)
        for second, moment in enumerate(one.moments):
            if not counts or counts[-1][1] != moment.desired:
                counts.append((float(day * DAY + second), moment.desired))
        changes, count = changes + one.changes, one.moments[-1].desired
    tariff = Tariff(Catalogue.load())
    bill = ran(tariff, INSTANCE, counts, float(len(case.arrivals)))
    expected = forecast * tariff.hosting(INSTANCE).amount
    return Compared(bill.total, expected, changes, max(count for _, count in counts))


def _day(case: Case, day: int, count: int) -> ScalingRun:
    """One day; it begins with the instances that the day before ended with."""
    start = datetime(YEAR, 1, 1, tzinfo=UTC) + timedelta(days=day)
    target = ScalableTarget("e", "v", Dimension.INSTANCES, case.least, case.most, start)
    policy = TargetTracking("p", case.per_instance * PART * 60, PredefinedMetricType.INVOCATIONS)
    machine = InstanceModel(slots=8, service_time=8 / case.per_instance, start_up=180.0)
    arrivals = case.arrivals[day * DAY : (day + 1) * DAY]
    return ScalingSimulation(target, [policy], arrivals, instances=machine, count=count, start=start).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write the table into bench/results.md")
    parser.add_argument("--days", type=int, default=7)
    asked = parser.parse_args()
    rows = [compared(case).row(case) for case in cases(asked.days)]
    header = ("traffic", "requests", "changes", "most instances", "$ that ran", "$ forecast", "off by")
    title = f"Forecast of a bill, {asked.days} days replayed second by second"
    tables.show("forecast_bill", title, header, rows, keep=asked.keep)


if __name__ == "__main__":
    main()
