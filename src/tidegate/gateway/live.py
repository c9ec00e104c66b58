"""Activity of an endpoint in the last seconds, by fleet."""

from dataclasses import dataclass
from datetime import datetime

from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.monitoring import sketch
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


async def read_activity(metrics: Metrics, endpoint: str, seconds: int, now: datetime) -> list[FleetActivity]:
    """Each config and variant with traffic in the last ``seconds`` whole seconds before ``now``."""
    start = int(now.timestamp()) - seconds
    wanted = [("EndpointName", endpoint), ("EndpointConfigName", None), ("VariantName", None)]
    found = await metrics.series(SAGEMAKER, "Invocations", wanted, start)
    # Metrics of containers and models have an additional dimension.
    fleets = sorted(series for series in found if len(series.dimensions) == len(wanted))
    return [await _read_fleet(metrics, series, start, seconds) for series in fleets]


async def _read_fleet(metrics: Metrics, series: MetricId, start: int, seconds: int) -> FleetActivity:
    names = dict(series.dimensions)
    read = SeriesReader(metrics, series.dimensions, start, seconds)
    requests = await read.total("Invocations")
    latencies = await read.bins("ModelLatency")
    return FleetActivity(
        config=names["EndpointConfigName"],
        variant=names["VariantName"],
        requests=requests,
        rate=requests / seconds,
        errors_4xx=await read.total("Invocation4XXErrors"),
        errors_5xx=await read.total("Invocation5XXErrors"),
        model_errors=await read.total("InvocationModelErrors"),
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
class SeriesReader:
    """Reads the metrics of one fleet over one time span."""

    metrics: Metrics
    dimensions: tuple[tuple[str, str], ...]
    start: int
    seconds: int

    async def total(self, name: str) -> float:
        spans = await self.spans(name)
        return sum(sample.total for sample in spans)

    async def spread(self, name: str) -> SeriesSummary:
        spans = await self.spans(name)
        high = max((sample.high for sample in spans), default=0.0)
        return SeriesSummary(sum(s.count for s in spans), sum(s.total for s in spans), high)

    async def bins(self, name: str) -> dict[int, float]:
        return sketch.merge(sample.bins for sample in await self.spans(name))

    async def spans(self, name: str) -> list[Sample]:
        metric = MetricId(SAGEMAKER, name, self.dimensions)
        found = await self.metrics.read(metric, self.start, self.start + self.seconds, self.seconds)
        return list(found.values())


def percentile_milliseconds(bins: dict[int, float], percent: float) -> float | None:
    microseconds = sketch.percentile(bins, percent)
    return None if microseconds is None else microseconds / 1000
