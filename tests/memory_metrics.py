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
        (found,) = await self.read_units([metric], start, end, period)
        return newest_unit(found)

    async def read_units(
        self, metrics: Sequence[MetricId], start: int, end: int, period: int
    ) -> list[dict[str, dict[int, Sample]]]:
        timely = [sample for sample in self.samples if start <= sample.at < end]
        return [
            spans([sample for sample in timely if sample.metric == metric], start, period) for metric in metrics
        ]

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


@dataclass
class BusyMetrics(MemoryMetrics):
    """Before each read but the first, as between two reads of a server at work, ``arriving`` comes."""

    arriving: list[Sample] = field(default_factory=list)
    reads: int = 0

    async def read_units(
        self, metrics: Sequence[MetricId], start: int, end: int, period: int
    ) -> list[dict[str, dict[int, Sample]]]:
        if self.reads:
            await self.put(self.arriving)
        self.reads += 1
        return await super().read_units(metrics, start, end, period)
