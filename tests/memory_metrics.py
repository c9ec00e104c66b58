"""Metrics in memory: the port's contract without a database, for tests of its users."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring.samples import flaw, newest_unit, spans


@dataclass
class MemoryMetrics:
    """All samples in the order in which they were put."""

    samples: list[Sample] = field(default_factory=list)
    dropped: int = 0
    """Samples that could not be stored."""

    async def put(self, samples: Sequence[Sample]) -> None:
        good = [sample for sample in samples if flaw(sample) is None]
        self.dropped += len(samples) - len(good)
        self.samples += good

    async def read(self, metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
        return newest_unit(await self.read_units(metric, start, end, period))

    async def read_units(
        self, metric: MetricId, start: int, end: int, period: int
    ) -> dict[str, dict[int, Sample]]:
        found = [sample for sample in self.samples if sample.metric == metric and start <= sample.at < end]
        return spans(found, start, period)

    async def last(self, metric: MetricId, since: int) -> int | None:
        return max(
            (sample.at for sample in self.samples if sample.metric == metric and sample.at >= since), default=None
        )

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
