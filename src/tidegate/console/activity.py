"""Activity of the endpoints in the last seconds, by metrics whose names are known, so that a page of many endpoints
does not query the database.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.metric import SAGEMAKER, MetricId
from tidegate.gateway.live import percentile_milliseconds, read_series
from tidegate.monitoring import sketch
from tidegate.monitoring.samples import newest_unit
from tidegate.ports.metrics import Metrics

WINDOW = 10
"""Seconds of rates, latencies and errors."""
SPAN = 5
"""Seconds of one point of a sparkline."""
SPANS = 54
"""Points of a sparkline: as far back as metrics are in memory."""
_NAMES = ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency")


@dataclass(frozen=True)
class RecentActivity:
    """``rate`` is requests per second, ``errors`` the fraction of them that failed; latencies are milliseconds. None
    where there were no requests."""

    rate: float
    errors: float | None
    p50_ms: float | None
    p99_ms: float | None


def variants_of(endpoint: Endpoint) -> list[str]:
    """Names of the production variants of all versions that run."""
    versions = [endpoint.serving]
    if endpoint.rollout is not None:
        versions += [endpoint.rollout.old, endpoint.rollout.new]
    return sorted({each.name for version in versions if version is not None for each in version.production})


async def read_activity(
    metrics: Metrics, endpoint: str, variants: Iterable[str], now: int, config: str | None = None
) -> RecentActivity:
    """Return the activity of the last ``WINDOW`` whole seconds before ``now``. ``config`` limits it to the fleets of
    that config."""
    requests = errors = 0.0
    latencies: list[dict[int, float]] = []
    fleets = [_dimensions(endpoint, variant, config) for variant in variants]
    for values in await read_series(metrics, fleets, _NAMES, now - WINDOW, WINDOW):
        latencies.append(values.bins("ModelLatency"))
        if found := values.total("Invocations"):
            requests += found
            errors += values.total("Invocation4XXErrors") + values.total("Invocation5XXErrors")
    bins = sketch.merge(latencies)
    return RecentActivity(
        requests / WINDOW,
        min(1.0, errors / requests) if requests else None,
        percentile_milliseconds(bins, 50),
        percentile_milliseconds(bins, 99),
    )


async def read_rates(
    metrics: Metrics, endpoint: str, variants: Iterable[str], now: int, latest: int = SPANS
) -> Sequence[float]:
    """Requests per second over the last minutes, a value for each ``SPAN``; all zero without traffic. ``latest``: how
    many values."""
    end = now // SPAN * SPAN
    start = end - SPAN * latest
    totals = [0.0] * latest
    wanted = [MetricId(SAGEMAKER, "Invocations", _dimensions(endpoint, variant, None)) for variant in variants]
    for units in await metrics.read_units(wanted, start, end, SPAN):
        for at, sample in newest_unit(units).items():
            totals[(at - start) // SPAN] += sample.total
    return [total / SPAN if math.isfinite(total) else 0.0 for total in totals]


def _dimensions(endpoint: str, variant: str, config: str | None) -> tuple[tuple[str, str], ...]:
    named = {"EndpointName": endpoint, "VariantName": variant}
    if config is not None:
        named["EndpointConfigName"] = config
    return tuple(sorted(named.items()))
