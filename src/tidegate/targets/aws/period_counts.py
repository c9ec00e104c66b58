"""Counts by the minute, or another period that CloudWatch has them by, as counts by the second. Pure.

A period's requests are spread evenly over its seconds, and its errors evenly over its requests. Percentiles become
bins of a sketch: each request counts as slow as the next percentile above it, so that no fleet looks faster than it
was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import FleetSecond, Latency
from tidegate.monitoring import sketch

MINUTE = 60


@dataclass(frozen=True)
class PeriodCounts:
    """``failed`` and ``refused`` are among the ``requests``, answered 5xx and 4xx; ``model_errors``, which the model
    did not answer well, may be among those."""

    requests: int = 0
    failed: int = 0
    refused: int = 0
    model_errors: int = 0

    @property
    def errors(self) -> int:
        return max(self.failed + self.refused, self.model_errors)

    def growth(self, before: "PeriodCounts") -> "PeriodCounts":
        """Return the counts that were added since ``before``; late data only adds. Errors that arrive after their
        requests count as requests, too: those were passed on as good ones, and an error without a request would count
        nowhere."""
        more = self.minus(before)
        more = PeriodCounts(more.requests, max(0, more.failed), max(0, more.refused), max(0, more.model_errors))
        return replace(more, requests=max(more.requests, more.errors))

    def minus(self, before: "PeriodCounts") -> "PeriodCounts":
        return PeriodCounts(
            self.requests - before.requests,
            self.failed - before.failed,
            self.refused - before.refused,
            self.model_errors - before.model_errors,
        )

    def plus(self, more: "PeriodCounts") -> "PeriodCounts":
        return PeriodCounts(
            self.requests + more.requests,
            self.failed + more.failed,
            self.refused + more.refused,
            self.model_errors + more.model_errors,
        )


def spread(
    fleet: FleetId, config: str, start: int, counts: PeriodCounts, ready: int, period: int = MINUTE
) -> list[FleetSecond]:
    """``start``: epoch second at which the period begins. ``period``: its seconds. ``ready``: instances."""
    found = []
    done = PeriodCounts()
    for second in range(period):
        requests = counts.requests * (second + 1) // period
        upto = PeriodCounts(
            requests,
            _part(counts.failed, requests, counts),
            _part(counts.refused, requests, counts),
            _part(counts.model_errors, requests, counts),
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
                    model_errors=here.model_errors,
                )
            )
    return found


def _part(whole: int, requests: int, counts: PeriodCounts) -> int:
    """Return how many of ``whole`` events of the period belong to its first ``requests`` requests. Returns ``whole``
    if the period has no requests, which late errors may come without."""
    return whole * requests // counts.requests if counts.requests else whole


def latency(
    requests: int, percentiles: Mapping[float, float], total: float | None = None, least: float | None = None
) -> Latency | None:
    """``percentiles``: percent (the last one 100) -> microseconds. ``total`` and ``least``: the sum and the minimum
    of all, if they are known; otherwise they follow from the percentiles."""
    if requests <= 0 or not percentiles:
        return None
    bins: dict[int, float] = {}
    below, sum_of_bins = 0, 0.0
    ordered = sorted(percentiles.items())
    for percent, value in ordered:
        upto = requests if percent >= 100 else int(requests * percent / 100)
        if upto > below:
            bins[sketch.index(value)] = bins.get(sketch.index(value), 0.0) + upto - below
            sum_of_bins += value * (upto - below)
            below = upto
    if below < requests:  # no maximum among them
        last = ordered[-1][1]
        bins[sketch.index(last)] = bins.get(sketch.index(last), 0.0) + requests - below
        sum_of_bins += last * (requests - below)
    return Latency(
        bins,
        sum_of_bins if total is None else total,
        ordered[0][1] if least is None else least,
        ordered[-1][1],
    )
