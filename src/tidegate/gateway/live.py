"""Activity of an endpoint in the last seconds, by fleet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.monitoring import sketch
from tidegate.monitoring.samples import newest_unit
from tidegate.ports.metrics import Metrics


@dataclass(frozen=True)
class FleetActivity:
    """``rate`` is requests per second. Latencies are model latencies in milliseconds; None without requests."""

    config: str
    variant: str
    requests: float
    rate: float
    errors_4xx: float
    errors_5xx: float
    model_errors: float
    p50_ms: float | None
    p99_ms: float | None


_NAMES = ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors", "ModelLatency")


async def read_activity(metrics: Metrics, endpoint: str, seconds: int, now: datetime) -> list[FleetActivity]:
    """Each config and variant with traffic in the last ``seconds`` whole seconds before ``now``."""
    start = int(now.timestamp()) - seconds
    wanted = [("EndpointName", endpoint), ("EndpointConfigName", None), ("VariantName", None)]
    found = await metrics.series(SAGEMAKER, "Invocations", wanted, start)
    # Metrics of containers and models have an additional dimension.
    fleets = sorted(series.dimensions for series in found if len(series.dimensions) == len(wanted))
    read = await read_series(metrics, fleets, _NAMES, start, seconds)
    return [_describe(dict(fleet), values, seconds) for fleet, values in zip(fleets, read, strict=True)]


def _describe(names: Mapping[str, str], values: "SeriesValues", seconds: int) -> FleetActivity:
    requests, latencies = values.total("Invocations"), values.bins("ModelLatency")
    return FleetActivity(
        config=names["EndpointConfigName"],
        variant=names["VariantName"],
        requests=requests,
        rate=requests / seconds,
        errors_4xx=values.total("Invocation4XXErrors"),
        errors_5xx=values.total("Invocation5XXErrors"),
        model_errors=values.total("InvocationModelErrors"),
        p50_ms=percentile_milliseconds(latencies, 50),
        p99_ms=percentile_milliseconds(latencies, 99),
    )


@dataclass(frozen=True)
class SeriesSummary:
    """Count, sum and maximum of some values."""

    count: float
    total: float
    high: float

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


@dataclass(frozen=True)
class SeriesValues:
    """Samples of several metrics of one fleet over one time span. They are read at one moment, so that the figures
    made of them fit one another."""

    samples: Mapping[str, Sequence[Sample]]

    def total(self, name: str) -> float:
        return sum(sample.total for sample in self.samples[name])

    def spread(self, name: str) -> SeriesSummary:
        found = self.samples[name]
        high = max((sample.high for sample in found), default=0.0)
        return SeriesSummary(sum(s.count for s in found), sum(s.total for s in found), high)

    def bins(self, name: str) -> dict[int, float]:
        return sketch.merge(sample.bins for sample in self.samples[name])


async def read_series(
    metrics: Metrics,
    fleets: Sequence[tuple[tuple[str, str], ...]],
    names: Sequence[str],
    start: int,
    seconds: int,
) -> list[SeriesValues]:
    """Read the metrics ``names`` of each of ``fleets``, which are dimensions, over the ``seconds`` from ``start`` on.
    All are read at one moment."""
    wanted = [MetricId(SAGEMAKER, name, fleet) for fleet in fleets for name in names]
    read = iter(await metrics.read_units(wanted, start, start + seconds, seconds))
    return [SeriesValues({name: list(newest_unit(next(read)).values()) for name in names}) for _ in fleets]


def percentile_milliseconds(bins: dict[int, float], percent: float) -> float | None:
    microseconds = sketch.percentile(bins, percent)
    return None if microseconds is None else microseconds / 1000
