"""Metrics in memory: the port's contract without a database, for tests of what stands on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tidegate.evidence import sketch
from tidegate.model.metric import MetricId, Sample


@dataclass
class MemoryMetrics:
    """Everything that was put, in the order of putting."""

    samples: list[Sample] = field(default_factory=list)

    async def put(self, samples: Sequence[Sample]) -> None:
        self.samples += samples

    async def read(self, metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
        spans: dict[int, list[Sample]] = {}
        for sample in self.samples:
            if sample.metric == metric and start <= sample.at < end:
                spans.setdefault(sample.at - (sample.at - start) % period, []).append(sample)
        return {at: _merged(metric, at, period, found) for at, found in spans.items()}

    async def series(
        self, namespace: str | None, name: str | None, dimensions: Sequence[tuple[str, str | None]], since: int
    ) -> list[MetricId]:
        found = {sample.metric for sample in self.samples if sample.at >= since}
        return [
            metric
            for metric in found
            if namespace in (None, metric.namespace)
            and name in (None, metric.name)
            and all(
                key in dict(metric.dimensions) and value in (None, dict(metric.dimensions)[key])
                for key, value in dimensions
            )
        ]


def _merged(metric: MetricId, at: int, period: int, samples: list[Sample]) -> Sample:
    return Sample(
        metric,
        at,
        count=sum(sample.count for sample in samples),
        total=sum(sample.total for sample in samples),
        low=min(sample.low for sample in samples),
        high=max(sample.high for sample in samples),
        bins=sketch.merge(sample.bins for sample in samples),
        unit=samples[0].unit,
        resolution=period,
    )
