"""Measurements in the store's database: per second for some hours, aggregated per minute for long.

Memory has recent samples and takes every sample first: alarms do not read the database, and work while it is locked,
full, slow or unreachable. What is not written yet is written with the next put, as the complete value of each cell
(``metric_memory``), so that nothing is counted twice if the response to a commit is lost.

Every sample goes to both tables, so a minute always is the sum of its seconds. Only one process writes metrics to a
database; writes of another are visible after the next start.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection
from sqlalchemy.exc import DataError

from tidegate.domain.errors import Invalid, Unavailable
from tidegate.domain.metric import MetricId, Sample
from tidegate.host.clock import SystemClock
from tidegate.monitoring.samples import flaw, merge, newest_unit, spans
from tidegate.ports.clock import Clock
from tidegate.store import samples as stored
from tidegate.store.database import Database
from tidegate.store.metric_memory import CellKey, MetricMemory, SpanCells
from tidegate.store.samples import CellSamples, SeriesKey, StoredSeries
from tidegate.store.tables import MINUTES, SECONDS

log = logging.getLogger(__name__)

MINUTE = 60
CLEANUP_INTERVAL = 10
"""Seconds between removals of old samples. One removal covers at most six times as much time, so it catches up after
a pause and never takes long."""
MAX_UNWRITTEN = 100_000
"""Unwritten cells per table, about ten minutes of ten fleets; beyond that the oldest are lost."""
BATCH = 20_000
"""Cells per table and transaction."""
PUT_TIMEOUT = 2.0
"""Seconds that a put waits for the database."""
LOAD_TIMEOUT = 1.0
"""Seconds that reads wait for the data from before the start; then they continue without it."""
LOAD_RETRY = 1.0
"""Seconds after a failure to load that data until the next attempt."""
MAX_LOGGED = 1_000
"""Series whose refused samples are logged."""


@dataclass(frozen=True)
class Retention:
    """Retention of samples, in seconds."""

    seconds: int = 3 * 3600
    minutes: int = 455 * 24 * 3600
    """15 months, as CloudWatch."""
    seconds_in_memory: int = 300
    minutes_in_memory: int = 3600

    def __post_init__(self) -> None:
        if self.seconds_in_memory > self.seconds or self.minutes_in_memory > self.minutes:
            raise Invalid("Metrics cannot be held in memory for longer than they are kept")


_CLOCK, _KEEP = SystemClock(), Retention()


class SqlMetrics:
    """A ``ports.metrics.Metrics`` and ``MetricHistory``. ``dropped`` counts unstorable samples; ``lost`` counts cells
    that were given up because too many waited to be written."""

    def __init__(
        self, database: Database, clock: Clock = _CLOCK, keep: Retention = _KEEP, *, most: int = MAX_UNWRITTEN
    ) -> None:
        self.dropped = 0
        self.lost = 0
        self._database = database
        self._clock = clock
        self._keep = keep
        self._most = most
        now = self._now()
        self._memory = MetricMemory(
            SpanCells(now - keep.seconds_in_memory, 1), SpanCells(now - keep.minutes_in_memory, MINUTE)
        )
        self._taken, self._written = 0, 0
        """Number of puts accepted, and how many of them are in the database."""
        self._writing: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._load_at = 0.0
        """When the last attempt to load started or failed, in the event loop's time."""
        self._refused: set[SeriesKey] = set()
        """Series that the database refuses, and keys of refusals that were logged."""
        self._cleaned = 0

    # -- the port --------------------------------------------------------------------------------------------

    async def put(self, samples: Sequence[Sample]) -> None:
        """A sample of a minute or longer is stored in the second and the minute in which it starts. Samples without
        values are dropped."""
        good = [s for s in samples if self._is_good(s) and s.count > 0]
        if not good:
            return
        self._take(good)
        mine, deadline = self._taken, asyncio.get_running_loop().time() + PUT_TIMEOUT
        while self._written < mine:
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write(), name="write metrics")
            writing, left = self._writing, deadline - asyncio.get_running_loop().time()
            await asyncio.wait({writing}, timeout=max(0.0, left))
            if not writing.done():
                raise Unavailable("The database is slow to take metrics; they are in memory until it has them")
            writing.result()

    async def read(self, metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
        (found,) = await self.read_units([metric], start, end, period)
        return newest_unit(found)

    async def read_units(
        self, metrics: Sequence[MetricId], start: int, end: int, period: int
    ) -> list[dict[str, dict[int, Sample]]]:
        """The last span is complete, even if it extends beyond ``end``. Spans of whole minutes are read from minutes.
        Others are read from seconds as long as those are retained; before that, a minute counts in the span in which
        it starts, and periods below a minute have no data."""
        stop = start + max(0, -(-(end - start) // period)) * period
        whole = start % MINUTE == 0 and period % MINUTE == 0
        await self._try_load()
        found = self._memory.read(metrics, range(start, stop, MINUTE), by_minutes=True) if whole else None
        if found is None:
            found = self._memory.read(metrics, range(start, stop), by_minutes=False)
        if found is None:
            found = await self._read_stored(metrics, range(start, stop, period), whole)
        return [spans(samples, start, period) for samples in found]

    async def last(self, metric: MetricId, since: int) -> int | None:
        await self._try_load()
        if not self._memory.complete:
            raise Unavailable("The metrics that were written before the start cannot be read yet; trying again")
        seconds = self._memory.seconds
        newest = seconds.newest(self._memory.known.get(metric, ()), since)
        if newest is not None or since >= seconds.floor:
            return newest
        return max(await self.read(metric, since, seconds.floor, 1), default=None)

    async def series(
        self,
        namespace: str | None,
        name: str | None,
        dimensions: Sequence[tuple[str, str | None]],
        since: int,
    ) -> list[MetricId]:
        """``since`` is rounded down to the minute."""
        found = await self._database.run(lambda c: stored.active_metrics(c, namespace, name, since))
        return [metric for metric in found if _matches(dict(metric.dimensions), dimensions)]

    # -- memory; on the event loop ---------------------------------------------------------------------------

    def _is_good(self, sample: Sample) -> bool:
        why = flaw(sample)
        series = SeriesKey.of(sample.metric, sample.unit)
        if why is None and series not in self._refused:
            return True
        self.dropped += 1
        if why is not None:
            self._log_once(series, f"it has {why}")
        return False

    def _log_once(self, series: SeriesKey, why: str) -> None:
        key = SeriesKey(series.metric, f"{series.unit}: {why}")
        if key not in self._refused and len(self._refused) < MAX_LOGGED:
            self._refused.add(key)
            log.warning(
                "a sample of %s is dropped: %s (counted from now on, not logged again)", series.metric, why
            )

    def _take(self, samples: Sequence[Sample]) -> None:
        now, memory = self._now(), self._memory
        memory.forget(now - self._keep.seconds_in_memory, now - self._keep.minutes_in_memory)
        seconds = _merge_by_span(samples, 1)
        memory.add(seconds, _merge_by_span(seconds.values(), MINUTE))
        memory.pack(now)
        self._taken += 1
        lost = memory.seconds.drop(self._most) + memory.minutes.drop(self._most)
        if lost and not self.lost:
            log.error("more than %d measurements wait for the database: the oldest are not written", self._most)
        self.lost += lost

    async def _try_load(self) -> None:
        """Wait briefly for the data from before the start, if it is not loaded yet."""
        if self._memory.complete:
            return
        now = asyncio.get_running_loop().time()
        if self._loading is None or (self._loading.done() and now - self._load_at >= LOAD_RETRY):
            self._loading, self._load_at = asyncio.create_task(self._load(), name="load metrics"), now
        left = self._load_at + LOAD_TIMEOUT - now
        if not self._loading.done() and left > 0:
            await asyncio.wait({self._loading}, timeout=left)

    async def _load(self) -> None:
        try:
            floors = self._memory.seconds.floor, self._memory.minutes.floor
            self._memory.load(*await self._database.run(lambda c: stored.cells_since(c, *floors), read_only=True))
        except Unavailable as error:
            log.warning("%s; metrics from before the start are not loaded yet", error)
            self._load_at = asyncio.get_running_loop().time()

    # -- the database ----------------------------------------------------------------------------------------

    async def _read_stored(self, metrics: Sequence[MetricId], spans: range, whole: bool) -> list[list[Sample]]:
        """Samples older than memory, combined with unwritten ones."""
        parts = self._plan(spans, whole)

        def work(connection: Connection) -> list[list[CellSamples]]:
            named = [stored.series_of_metric(connection, metric) for metric in metrics]
            return [
                [
                    (stored.minutes if by_minutes else stored.seconds)(connection, one, begins.start, begins.stop)
                    for by_minutes, begins in parts
                ]
                for one in named
            ]

        with self._memory.seconds.reading() as new_seconds, self._memory.minutes.reading() as new_minutes:
            read = await self._database.run(work, read_only=True)
            found: list[list[Sample]] = [[] for _ in metrics]
            for samples, metric, shown in zip(found, metrics, read, strict=True):
                for (by_minutes, begins), cells in zip(parts, shown, strict=True):
                    memory = self._memory.minutes if by_minutes else self._memory.seconds
                    written = new_minutes if by_minutes else new_seconds
                    samples += memory.overlay(cells, written, metric, begins).values()
        return found

    def _plan(self, spans: range, whole: bool) -> list[tuple[bool, range]]:
        """Which part to read from minutes, and which from seconds."""
        if whole:
            return [(True, range(spans.start, spans.stop))]
        kept = -(-(self._now() - self._keep.seconds) // MINUTE) * MINUTE
        later = (False, range(max(spans.start, kept), spans.stop))
        if spans.start >= kept or spans.step < MINUTE:
            return [later]
        return [(True, range(spans.start, min(kept, spans.stop))), later]

    async def _write(self) -> None:
        """Write everything that waits. Raises Unavailable; what is not written keeps waiting."""
        taken, tables, more = self._taken, (self._memory.seconds, self._memory.minutes), True
        await self._try_load()
        while more:
            keys = [list(islice(spans.dirty, BATCH)) for spans in tables]
            more = any(len(some) == BATCH for some in keys)
            await self._base(*keys)
            pairs = zip(tables, keys, strict=True)
            await self._write_cells(*({k: t.dirty[k] for k in some if k in t.dirty} for t, some in pairs))
        self._written = max(self._written, taken)

    async def _base(self, seconds: list[CellKey], minutes: list[CellKey]) -> None:
        """Read the database's values of unbased cells. In a transaction of its own, so that the following write can
        be retried without reading again."""
        memory = self._memory
        wanted = memory.seconds.unbased(seconds), memory.minutes.unbased(minutes)
        if any(wanted):
            found = await self._database.run(lambda c: stored.present_cells(c, *wanted), read_only=True)
            memory.seconds.base(wanted[0], found[0])
            memory.minutes.base(wanted[1], found[1])

    async def _write_cells(self, seconds: CellSamples, minutes: CellSamples) -> None:
        """Write cells. If the database refuses one series, all others are written."""
        memory, now = self._memory, self._now()
        names = {series for _, series in (*seconds, *minutes)}
        if not names:
            return
        rows = {series: row for series in names if (row := memory.rows.get(series)) is not None}
        clean = now - self._cleaned >= CLEANUP_INTERVAL

        def work(connection: Connection) -> dict[SeriesKey, StoredSeries]:
            if clean:
                self._clean(connection, now)
            return stored.write_all(connection, seconds, minutes, rows)

        try:
            rows = await self._database.run(work)
        except Exception as error:
            if not _is_data_error(error):
                raise
            await self._isolate(seconds, minutes, sorted(names, key=lambda series: series.order), error)
            return
        memory.seconds.mark_written(seconds)
        memory.minutes.mark_written(minutes)
        memory.rows |= {
            series: row for series, row in rows.items() if series in memory.known.get(series.metric, ())
        }
        self._cleaned = now if clean else self._cleaned

    async def _isolate(
        self, seconds: CellSamples, minutes: CellSamples, names: list[SeriesKey], error: Exception
    ) -> None:
        """Find the series that the database refuses, by halving."""
        if len(names) == 1:
            self._refused.add(names[0])
            self.dropped += len(seconds)
            log.error("%s is not stored: the database refuses it: %s", names[0].metric, error)
            for spans, cells in ((self._memory.seconds, seconds), (self._memory.minutes, minutes)):
                for key in cells:
                    spans.give_up(key)
            return
        middle = len(names) // 2
        for half in (set(names[:middle]), set(names[middle:])):
            await self._write_cells(_select(half, seconds), _select(half, minutes))

    def _clean(self, connection: Connection, now: int) -> None:
        stored.drop(connection, SECONDS, now - self._keep.seconds - MINUTE, 6 * CLEANUP_INTERVAL)
        if stored.drop(connection, MINUTES, now - self._keep.minutes, 6 * MINUTE):
            stored.drop_series(connection, now - self._keep.minutes)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _select(names: set[SeriesKey], cells: CellSamples) -> CellSamples:
    return {key: sample for key, sample in cells.items() if key[1] in names}


def _is_data_error(error: Exception) -> bool:
    """Whether the error is caused by the data: values that the database cannot store, or too many (SQLSTATE classes
    22 and 54)."""
    if isinstance(error, DataError | OverflowError | UnicodeError):
        return True
    cause = error.__cause__ if isinstance(error, Unavailable) else error
    state = getattr(getattr(cause, "orig", None), "sqlstate", None) or ""
    return state[:2] in ("22", "54")


def _merge_by_span(samples: Iterable[Sample], span: int) -> CellSamples:
    """Merge samples by series and span."""
    groups: dict[CellKey, list[Sample]] = {}
    for s in samples:
        at = s.at // span * span
        if s.at != at or s.resolution != span:  # dataclasses.replace takes several times as long
            s = Sample(s.metric, at, s.count, s.total, s.low, s.high, s.bins, s.unit, span)
        groups.setdefault((at, SeriesKey.of(s.metric, s.unit)), []).append(s)
    return {key: merge(group) for key, group in groups.items()}


def _matches(dimensions: dict[str, str], wanted: Sequence[tuple[str, str | None]]) -> bool:
    return all(name in dimensions and value in (None, dimensions[name]) for name, value in wanted)
