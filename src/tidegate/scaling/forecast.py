"""Forecast: the load of the near future, learned from the same time of earlier seasons. Pure.

Seasonal naive with the level of today: what the same time of the last seasons had on average, times how much today's
load is of what that says for the last hours. ``bench/forecast.py`` compares it with exponential smoothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tidegate.domain.scaling import ForecastPolicy, RateSample
from tidegate.scaling.calendar import lead_time
from tidegate.scaling.proposals import round_up

TICK = 60
"""Seconds: it looks again at every whole minute."""
SEASONS = 3
RECENT = timedelta(hours=2)
LEAST, MOST = 0.5, 2.0
"""Of the level: today is taken to be at most so far from the earlier seasons."""


def count(
    policy: ForecastPolicy, history: Sequence[RateSample], start_up: float | None, now: datetime
) -> int | None:
    """Instances for the highest rate that is expected between now and when a replica asked for now would be ready.
    None: there is not one season of history."""
    if len(history) < 2:
        return None
    span = history[1].at - history[0].at
    season = timedelta(seconds=policy.season)
    rates = {rate.at: rate.value for rate in history}
    minute = next_tick(now) - timedelta(seconds=TICK)
    end = minute + lead_time(start_up, policy.margin)
    at = history[0].at + (minute - history[0].at) // span * span
    expected = []
    while at <= end:
        if (value := seasonal_mean(rates, at, season)) is not None:
            expected.append(value)
        at += span
    if not expected:
        return None
    return round_up(
        max(expected) * current_level(rates, history[-1].at, span, season) * policy.headroom / policy.per_instance
    )


def next_tick(now: datetime) -> datetime:
    """When ``count`` may be another, with the same history."""
    return datetime.fromtimestamp((int(now.timestamp()) // TICK + 1) * TICK, UTC)


def seasonal_mean(rates: dict[datetime, float], at: datetime, season: timedelta) -> float | None:
    """The mean of the same time in the last seasons that are known."""
    known = [rates[then] for k in range(1, SEASONS + 1) if (then := at - k * season) in rates]
    return sum(known) / len(known) if known else None


def current_level(rates: dict[datetime, float], last: datetime, span: timedelta, season: timedelta) -> float:
    """Today's load over what the earlier seasons say, of the last hours."""
    hours = [last - n * span for n in range(max(1, RECENT // span))]
    recent = [(rates[at], said) for at in hours if at in rates and (said := seasonal_mean(rates, at, season))]
    expected = sum(said for _, said in recent)
    return min(MOST, max(LEAST, sum(value for value, _ in recent) / expected)) if expected > 0 else 1.0
