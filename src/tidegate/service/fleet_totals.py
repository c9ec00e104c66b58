"""Totals of fleets since the start of this server, for the counters of Prometheus, and how long they are kept.
Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tidegate.domain.metric import FleetSecond, Latency, WorkerSeries
from tidegate.monitoring import finite, sketch
from tidegate.service.clients import MAX_NAMES, MODEL_DIMENSION, OTHER

# --- totals of fleets whose requests are copied to a shadow, for the page of Prometheus ---


MIRROR_COUNTERS = (
    ("tidegate_mirror_copies_total", "Copies of requests that a shadow was sent", "copies"),
    ("tidegate_mirror_failed_total", "Copies that the shadow did not answer well", "failed"),
    ("tidegate_mirror_dropped_total", "Copies that were not sent", "dropped"),
    ("tidegate_mirror_compared_total", "Copies answered well by both", "compared"),
    ("tidegate_mirror_agreed_total", "Copies whose two answers say the same", "agreed"),
)


@dataclass(frozen=True)
class MirrorTotals:
    """Totals of a fleet whose requests are copied to a shadow."""

    copies: float = 0
    failed: float = 0
    dropped: float = 0
    compared: float = 0
    agreed: float = 0

    def plus(self, series: WorkerSeries) -> "MirrorTotals":
        count, total = series.values.count, series.values.total
        if series.name == "MirrorCopies":
            return replace(self, copies=self.copies + count, failed=self.failed + count - total)
        if series.name == "MirrorDropped":
            return replace(self, dropped=self.dropped + count)
        if series.name == "MirrorAgreement":
            return replace(self, compared=self.compared + count, agreed=self.agreed + total)
        return self


def add_mirror(before: MirrorTotals | None, second: FleetSecond) -> MirrorTotals | None:
    for series in second.series:
        if series.name in ("MirrorCopies", "MirrorDropped", "MirrorAgreement"):
            before = (before or MirrorTotals()).plus(series)
    return before


KEPT_CONFIGS = 10
"""Configs of a variant whose totals are always kept: those with the latest requests."""
MOST_CONFIGS = 100
"""The same of a variant that is given new configs all the time."""
MOST_FLEETS = 10_000
"""The same of all endpoints together, those that are gone included."""
SILENT = 3_600
"""Seconds without a request after which others are dropped. A counter that ends is no reset, and one that begins
again at 0 is read as one; where it ended so long ago no usual window of ``rate()`` has both."""


BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the latency buckets in seconds: a small model's millisecond to the invocation timeout."""
MICRO = 1e-6


class FleetKey(NamedTuple):
    endpoint: str
    variant: str
    config: str


@dataclass(frozen=True)
class Histogram:
    """``buckets`` count the values between two bounds each; the last one is above all bounds."""

    buckets: tuple[float, ...] = (0.0,) * (len(BOUNDS) + 1)
    total: float = 0.0

    def plus(self, latency: Latency | None) -> "Histogram":
        if latency is None:
            return self
        buckets = list(self.buckets)
        for index, count in latency.bins.items():
            seconds = sketch.value(index) * MICRO
            buckets[sum(seconds > bound for bound in BOUNDS)] += count
        return Histogram(tuple(buckets), finite.add((self.total, latency.total * MICRO)))


@dataclass(frozen=True)
class ClientTotals:
    """Totals of one model of a multi-model fleet; ``last`` is the second of its last request."""

    invocations: float = 0
    errors_4xx: float = 0
    errors_5xx: float = 0
    seconds: float = 0.0
    last: int = 0

    def plus(self, name: str, values: Latency, at: int) -> "ClientTotals":
        member, unit = CLIENT_FIELDS[name]
        total = finite.add((getattr(self, member), values.total * unit))
        return replace(self, last=max(self.last, at), **{member: total})


CLIENT_FIELDS = {
    "Invocations": ("invocations", 1.0),
    "Invocation4XXErrors": ("errors_4xx", 1.0),
    "Invocation5XXErrors": ("errors_5xx", 1.0),
    "ModelLatency": ("seconds", MICRO),
}
"""Metric of a model -> the field for its total, and the factor of its unit."""


@dataclass(frozen=True)
class ModelTotals:
    """Totals of a multi-model fleet. ``loaded``: models loaded per instance at last, on average."""

    hits: float = 0
    misses: float = 0
    loaded: float = 0
    loading: Histogram = Histogram()
    waiting: Histogram = Histogram()
    clients: Mapping[str, ClientTotals] = field(default_factory=dict)

    def plus(self, series: WorkerSeries, at: int) -> "ModelTotals":
        values, client = series.values, dict(series.dimensions).get(MODEL_DIMENSION)
        if client is not None and series.name in CLIENT_FIELDS:
            return self._client(client, series.name, values, at)
        if series.name == "ModelCacheHit":
            return replace(self, hits=self.hits + values.total, misses=self.misses + values.count - values.total)
        if series.name == "LoadedModelCount":
            return replace(self, loaded=values.total / values.count)
        if series.name == "ModelLoadingTime":
            return replace(self, loading=self.loading.plus(values))
        if series.name == "ModelLoadingWaitTime":
            return replace(self, waiting=self.waiting.plus(values))
        return self

    def _client(self, client: str, name: str, values: Latency, at: int) -> "ModelTotals":
        """A name without a series of its own any more stays on the page until another one replaces it."""
        clients = {**self.clients, client: self.clients.get(client, ClientTotals()).plus(name, values, at)}
        while len(clients) > MAX_NAMES + 1:
            del clients[min(clients, key=lambda one: (one == OTHER, clients[one].last))]
        return replace(self, clients=clients)


@dataclass(frozen=True)
class FleetTotals:
    """Counts since the start of this server."""

    invocations: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_errors: int = 0
    model_latency: Histogram = Histogram()
    overhead_latency: Histogram = Histogram()
    models: ModelTotals | None = None
    mirror: MirrorTotals | None = None
    refused: int = 0
    throttled: int = 0
    unavailable: int = 0
    dropped: int = 0
    captured: int = 0
    uncaptured: int = 0
    last: int = 0
    """Second of the last report."""

    def plus(self, second: FleetSecond) -> "FleetTotals":
        return FleetTotals(
            self.invocations + second.invocations,
            self.errors_4xx + second.errors_4xx,
            self.errors_5xx + second.errors_5xx,
            self.model_errors + second.model_errors,
            self.model_latency.plus(second.model_latency),
            self.overhead_latency.plus(second.overhead_latency),
            _add_models(self.models, second),
            add_mirror(self.mirror, second),
            self.refused + _sum_series(second, "RefusedRequests"),
            self.throttled + _sum_series(second, "ThrottledRequests"),
            self.unavailable + _sum_series(second, "PlatformUnavailable"),
            self.dropped + second.dropped,
            self.captured + _sum_series(second, "CapturedRequests"),
            self.uncaptured + _sum_series(second, "CaptureDropped"),
            max(self.last, second.second),
        )


def _sum_series(second: FleetSecond, name: str) -> int:
    return int(finite.add(series.values.total for series in second.series if series.name == name))


def _add_models(before: ModelTotals | None, second: FleetSecond) -> ModelTotals | None:
    if before is None and not any(series.name == "ModelCacheHit" for series in second.series):
        return None
    after = before or ModelTotals()
    for series in second.series:
        after = after.plus(series, second.second)
    return after


Totals = Mapping[FleetKey, FleetTotals]


def add(totals: Totals, seconds: Iterable[FleetSecond]) -> dict[FleetKey, FleetTotals]:
    """Add these seconds to the totals, and drop what is too much."""
    after, newest = dict(totals), 0
    for second in seconds:
        key = FleetKey(second.fleet.endpoint, second.fleet.variant, second.config_name)
        after[key] = after.get(key, FleetTotals()).plus(second)
        newest = max(newest, second.second)
    return bound(after, newest) if after.keys() - totals.keys() else after


def bound(totals: Totals, now: int) -> dict[FleetKey, FleetTotals]:
    """The totals without those of configs that have been silent for long, where others took their place. A total is
    kept as it is or dropped whole, so that no counter ever goes back to less than it was and above 0."""
    latest = sorted(totals, key=lambda key: (totals[key].last, key), reverse=True)
    of_variant, kept = dict[tuple[str, str], int](), list[FleetKey]()
    for key in latest:
        place = of_variant[key[:2]] = of_variant.get(key[:2], 0) + 1
        silent = now - totals[key].last >= SILENT
        if place <= KEPT_CONFIGS or (place <= MOST_CONFIGS and not silent):
            kept.append(key)
    return {key: totals[key] for key in kept[:MOST_FLEETS]}
