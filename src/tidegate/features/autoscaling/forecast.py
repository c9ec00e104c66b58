"""Forecast policies: predict the load from the same time of earlier seasons. Pure.

Seasonal naive forecast with level correction: the mean at the same time of the last seasons, times the ratio of the
last hours' load to its own forecast. ``bench/forecast.py`` compares it with exponential smoothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tidegate.domain.scaling import ForecastPolicy, RateSample
from tidegate.features.autoscaling.calendar import lead_time
from tidegate.features.autoscaling.proposals import round_up

TICK = 60
"""Seconds: forecasts are computed at every whole minute."""
SEASONS = 3
RECENT = timedelta(hours=2)
MIN_LEVEL, MAX_LEVEL = 0.5, 2.0
"""Bounds of the level correction."""


def count(
    policy: ForecastPolicy, history: Sequence[RateSample], start_up: float | None, now: datetime
) -> int | None:
    """Instances for the highest rate expected until a replica requested now would be ready. None: there is less than
    one season of history."""
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
    """Next time at which ``count`` may change with the same history."""
    return datetime.fromtimestamp((int(now.timestamp()) // TICK + 1) * TICK, UTC)


def seasonal_mean(rates: dict[datetime, float], at: datetime, season: timedelta) -> float | None:
    """Mean at the same time of the last known seasons; None: no season is known."""
    known = [rates[then] for k in range(1, SEASONS + 1) if (then := at - k * season) in rates]
    return sum(known) / len(known) if known else None


def current_level(rates: dict[datetime, float], last: datetime, span: timedelta, season: timedelta) -> float:
    """Ratio of the last hours' load to its forecast from earlier seasons, within bounds."""
    hours = [last - n * span for n in range(max(1, RECENT // span))]
    recent = [
        (rates[at], predicted) for at in hours if at in rates and (predicted := seasonal_mean(rates, at, season))
    ]
    expected = sum(predicted for _, predicted in recent)
    return min(MAX_LEVEL, max(MIN_LEVEL, sum(value for value, _ in recent) / expected)) if expected > 0 else 1.0
