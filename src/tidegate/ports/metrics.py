"""Storage and retrieval of measurements."""

from collections.abc import Sequence
from typing import Protocol

from tidegate.domain.metric import MetricId, Sample


class Metrics(Protocol):
    """Samples of equal series and span are merged. 1-second spans are kept for some hours, 60-second ones for
    long."""

    async def put(self, samples: Sequence[Sample]) -> None:
        """Take the samples, of which ``read`` knows from then on, and write them durably. A sample that cannot be
        kept is dropped alone. Raises Unavailable when they are not written yet: they are taken all the same, and
        written with the next put; they must not be put again."""
        ...

    async def read(self, metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
        """Spans of ``period`` seconds that begin at ``start``, ``start + period``, ... before ``end`` (epoch
        seconds); spans without data are absent. Keys are the begin of each span. Values of different units are never
        added up: of a metric that has several, those of its newest unit (``monitoring.samples.newest_unit``)."""
        ...

    async def read_units(
        self, metrics: Sequence[MetricId], start: int, end: int, period: int
    ) -> list[dict[str, dict[int, Sample]]]:
        """Return for each of the metrics its samples as ``read`` does, by unit, for each unit that has data there.

        All are read at one moment: what one put took is in all of them or in none. Figures that are shown together
        or divided by one another, such as errors and requests, are therefore read with one call."""
        ...

    async def series(
        self,
        namespace: str | None,
        name: str | None,
        dimensions: Sequence[tuple[str, str | None]],
        since: int,
    ) -> list[MetricId]:
        """List the series that have data since ``since`` and carry at least these dimensions (None: any value)."""
        ...


class MetricHistory(Protocol):
    """Queries on measurements that an earlier process took."""

    async def last(self, metric: MetricId, since: int) -> int | None:
        """The begin of the newest second with data of the metric, not older than ``since``. Raises Unavailable while
        what was written before the start cannot be read."""
        ...
