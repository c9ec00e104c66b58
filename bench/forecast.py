"""What is expected of the load in the next two hours: the shipped rule, the plain seasonal-naive one, and exponential
smoothing (MSTL with AutoETS of statsforecast, where it is installed), on a bank's calls and on a December.

The bank is the shape of ``tidegate replay trace`` (hourly means of a real series) with Poisson arrivals and a level
of each day drawn by chance (log-normal, 12 %), which suits a rule that looks at the day's level; so ``--calls CSV``
takes the series itself (``at,count`` in epoch seconds; ``bank_calls`` of the R package fpp3, which may not be
shipped). The December is that week with three pay days of ten times the load and a rise up to twice on the 23rd.
Spans are half an hour. Every two hours the next four spans are forecast, over the last week of the bank and from the
16th to the 24th of December, where there is any load; instances are the forecast and 10 %, rounded up, one for each
1/8 of the highest usual load.

python -m bench.forecast [--calls CSV] [--keep]
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from bench.tables import show
from tidegate.features.autoscaling.forecast import current_level, seasonal_mean
from tidegate.load import shapes, trace

try:
    import numpy
    from statsforecast.models import MSTL, AutoETS
except ImportError:
    MSTL = None

SPAN = timedelta(minutes=30)
DAY, WEEK = 48, 336
AHEAD = 4
HISTORY = 4 * WEEK
MONDAY = datetime(2030, 10, 28, tzinfo=UTC)
PAY_DAYS = {(12, 2), (12, 13), (12, 23)}

Forecaster = Callable[[Sequence[float], int], list[float]]


def last_week(series: Sequence[float], now: int) -> list[float]:
    return [series[now + k - WEEK] for k in range(AHEAD)]


def shipped(series: Sequence[float], now: int) -> list[float]:
    """As ``scaling.forecast`` does it: spans before ``now`` are known."""
    rates = {MONDAY + n * SPAN: series[n] for n in range(max(0, now - HISTORY), now)}
    factor = current_level(rates, MONDAY + (now - 1) * SPAN, SPAN, WEEK * SPAN)
    return [(seasonal_mean(rates, MONDAY + (now + k) * SPAN, WEEK * SPAN) or 0.0) * factor for k in range(AHEAD)]


def smoothing(series: Sequence[float], now: int) -> list[float]:
    model = MSTL(season_length=[DAY, WEEK], trend_forecaster=AutoETS(model="ZZN"))
    known = numpy.array(series[max(0, now - HISTORY) : now])
    return [max(0.0, float(value)) for value in model.forecast(known, h=AHEAD)["mean"]]


def bank(seed: int) -> list[float]:
    """Sixteen weeks."""
    dice = Random(seed)
    counts = shapes.bank_calls(20.0, days=16 * 7, interval=SPAN.total_seconds(), seed=seed).counts
    levels = [math.exp(dice.gauss(0.0, 0.12)) for _ in range(16 * 7)]
    return [count * levels[n // DAY] for n, count in enumerate(counts)]


def from_file(path: Path) -> list[float]:
    """Calls by the half hour from the first Monday on; 0 where nothing was recorded."""
    read = trace.read(path)
    first = float(next(line for line in path.read_text().splitlines() if line[0].isdigit()).split(",")[0])
    midnight = first - first % 86_400
    width = SPAN.total_seconds()
    series = [0.0] * (int((first + read.at[-1] - midnight) // width) + 1)
    for at, count in zip(read.at, read.counts, strict=True):
        series[int((first + at - midnight) // width)] += count
    return series


def december(seed: int) -> list[float]:
    """Five usual weeks and December; MONDAY is the first day."""
    counts = shapes.bank_calls(20.0, days=58, interval=SPAN.total_seconds(), seed=seed).counts
    return [count * _season(MONDAY + n * SPAN) for n, count in enumerate(counts)]


def _season(at: datetime) -> float:
    if at.month != 12:
        return 1.0
    if (at.month, at.day) in PAY_DAYS and 8 <= at.hour < 18:
        return 10.0
    return 1.0 + (at.day - 1) / 22 if at.day <= 23 else 1.0


@dataclass
class Score:
    """Over all spans that were forecast and not closed."""

    error: float = 0.0
    actual: float = 0.0
    spans: int = 0
    short: int = 0
    given: int = 0
    needed: int = 0
    forecasts: int = 0
    seconds: float = 0.0

    def row(self, traffic: str, method: str) -> tuple[object, ...]:
        return (
            traffic,
            method,
            f"{100 * self.error / self.actual:.1f} %",
            f"{100 * self.short / self.spans:.1f} %",
            f"{self.given / self.needed:.2f}",
            f"{1000 * self.seconds / self.forecasts:.1f}",
        )


def scored(series: Sequence[float], start: int, method: Forecaster, calendar: bool = False) -> Score:
    """``calendar``: the peaks are known, and their instances there."""
    usual = sorted(value for value in series[:start] if value > 0)
    per_instance = usual[int(0.99 * len(usual))] / 8
    score = Score()
    for now in range(start, len(series) - AHEAD, AHEAD):
        if not any(series[now : now + AHEAD]):
            continue
        began = time.perf_counter()
        expected = method(series, now)
        score.seconds += time.perf_counter() - began
        score.forecasts += 1
        for k, value in enumerate(expected):
            actual = series[now + k]
            if actual <= 0:
                continue
            needed = max(1, math.ceil(actual / per_instance))
            given = max(1, math.ceil(value * 1.1 / per_instance))
            if calendar and _season(MONDAY + (now + k) * SPAN) == 10.0:
                given = max(given, 80)
            score.error += abs(value - actual)
            score.actual += actual
            score.spans += 1
            score.short += given < needed
            score.given += given
            score.needed += needed
    return score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=Path)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    traffic = {"bank, its shape": bank(1), "December": december(1)}
    if arguments.calls is not None:
        traffic["bank, the calls themselves"] = from_file(arguments.calls)
    methods: dict[str, Forecaster] = {"same time last week": last_week, "shipped: three weeks x today": shipped}
    if MSTL is not None:
        methods["MSTL and AutoETS"] = smoothing
        smoothing(traffic["December"], 5 * WEEK)  # compiled before it is timed
    rows = []
    for name, series in traffic.items():
        start = 7 * WEEK if name == "December" else len(series) - WEEK
        for method, forecaster in methods.items():
            if forecaster is smoothing and "shape" in name:
                continue  # Half a second each: for what says something.
            rows.append(scored(series, start, forecaster).row(name, method))
            if name == "December" and forecaster is shipped:
                rows.append(
                    scored(series, start, forecaster, calendar=True).row(name, f"{method}, and a calendar")
                )
    header = ("traffic", "forecast", "mean error", "spans short of instances", "given / needed", "ms each")
    show("forecast", "Forecasts of the next two hours", header, rows, keep=arguments.keep)


if __name__ == "__main__":
    main()
