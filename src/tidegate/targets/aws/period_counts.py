"""Counts by the minute, or another period that CloudWatch has them by, as counts by the second. Pure.

A period's requests are spread evenly over its seconds, and its errors evenly over its requests. Percentiles become
bins of a sketch: each request counts as slow as the next percentile above it, so that no fleet looks faster than it
was.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import FleetSecond, Latency
from tidegate.monitoring import sketch

MINUTE = 60


@dataclass(frozen=True)
class PeriodCounts:
    """``failed`` and ``refused`` are among the ``requests``."""

    requests: int = 0
    failed: int = 0
    refused: int = 0

    def growth(self, before: "PeriodCounts") -> "PeriodCounts":
        """What came in addition; late data only adds. Errors that arrive after their requests count as requests, too:
        those were passed on as good ones, and an error without a request would count nowhere."""
        failed, refused = max(0, self.failed - before.failed), max(0, self.refused - before.refused)
        return PeriodCounts(max(self.requests - before.requests, failed + refused), failed, refused)

    def minus(self, before: "PeriodCounts") -> "PeriodCounts":
        return PeriodCounts(
            self.requests - before.requests, self.failed - before.failed, self.refused - before.refused
        )

    def plus(self, more: "PeriodCounts") -> "PeriodCounts":
        return PeriodCounts(self.requests + more.requests, self.failed + more.failed, self.refused + more.refused)


def spread(
    fleet: FleetId, config: str, start: int, counts: PeriodCounts, ready: int, period: int = MINUTE
) -> list[FleetSecond]:
    """``start``: epoch second at which the period begins. ``period``: its seconds. ``ready``: instances."""
    found = []
    done = PeriodCounts()
    for second in range(period):
        requests = counts.requests * (second + 1) // period
        upto = PeriodCounts(
            requests, _part(counts.failed, requests, counts), _part(counts.refused, requests, counts)
        )
        here, done = upto.minus(done), upto
        if here != PeriodCounts():
            found.append(
                FleetSecond(
                    fleet,
                    config,
                    start + second,
                    ready,
                    invocations=here.requests,
                    errors_4xx=here.refused,
                    errors_5xx=here.failed,
                    model_errors=here.failed + here.refused,
                )
            )
    return found


def _part(whole: int, requests: int, counts: PeriodCounts) -> int:
    """Of so many in the period, those by its first ``requests`` requests; late errors may come without requests."""
    return whole * requests // counts.requests if counts.requests else whole


def latency(requests: int, percentiles: Mapping[float, float]) -> Latency | None:
    """``percentiles``: percent (the last one 100) -> microseconds."""
    if requests <= 0 or not percentiles:
        return None
    bins: dict[int, float] = {}
    below, total = 0, 0.0
    ordered = sorted(percentiles.items())
    for percent, value in ordered:
        upto = requests if percent >= 100 else int(requests * percent / 100)
        if upto > below:
            bins[sketch.index(value)] = bins.get(sketch.index(value), 0.0) + upto - below
            total += value * (upto - below)
            below = upto
    if below < requests:  # no maximum among them
        last = ordered[-1][1]
        bins[sketch.index(last)] = bins.get(sketch.index(last), 0.0) + requests - below
        total += last * (requests - below)
    return Latency(bins, total, ordered[0][1], ordered[-1][1])
