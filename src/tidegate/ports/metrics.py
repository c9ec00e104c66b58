"""Where measurements are kept and read back."""

from collections.abc import Sequence
from typing import Protocol

from tidegate.model.metric import MetricId, Sample


class Metrics(Protocol):
    """Samples of equal series and span are merged. 1-second spans are kept for some hours, 60-second ones for
    long; both are written durably before ``put`` returns."""

    async def put(self, samples: Sequence[Sample]) -> None: ...

    async def read(self, metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
        """Spans of ``period`` seconds that begin at ``start``, ``start + period``, ... before ``end`` (epoch
        seconds); spans without data are absent. Keys are the begin of each span."""
        ...

    async def series(
        self,
        namespace: str | None,
        name: str | None,
        dimensions: Sequence[tuple[str, str | None]],
        since: int,
    ) -> list[MetricId]:
        """Series that have data since ``since`` and carry at least these dimensions (None: any value)."""
        ...
