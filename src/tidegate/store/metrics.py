"""Measurements: by the second for some hours, added up by the minute for long, in the store's database.

Memory has what is recent and takes every sample first: alarms ask no database, and go on when it is locked, full,
slow or away. What is not written yet is written with the next put, as the whole value of each cell
(``metric_memory``), so that nothing is counted twice when a commit lands and its answer is lost.

Every sample goes into both tables, so a minute always is the sum of its seconds. One process writes metrics to a
database; another one's writes are seen after the next start.
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
from tidegate.store.samples import CellSamples, SeriesKey, SeriesRow
from tidegate.store.tables import MINUTES, SECONDS

log = logging.getLogger(__name__)

MINUTE = 60
CLEANUP_INTERVAL = 10
"""Seconds between two removals of what is too old; a removal takes off six times as much time, so it catches up
after a pause and never takes long."""
MAX_UNWRITTEN = 100_000
"""Cells of each table that wait to be written, some ten minutes of ten fleets; beyond, the oldest are lost."""
BATCH = 20_000
"""Cells of each table that one transaction writes."""
PUT_TIMEOUT = 2.0
"""Seconds that a put waits for the database."""
LOAD_TIMEOUT = 1.0
"""Seconds that reads wait for what the database held at the start; then they go on without."""
LOAD_RETRY = 1.0
"""Seconds after a failure to read it until it is tried again."""
MAX_LOGGED = 1_000
"""Series whose samples are refused by name in the log."""


@dataclass(frozen=True)
class Retention:
    """How long things are kept, in seconds."""

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
    """A ``ports.metrics.Metrics`` and ``History``. ``dropped`` counts samples that could not be kept, ``lost`` cells
    that could not be written for so long that there was no room for them any more."""

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
            SpanCells(now - keep.seconds_in_memory), SpanCells(now - keep.minutes_in_memory)
        )
        self._taken, self._written = 0, 0
        """Puts that memory has taken, and how many of them are in the database."""
        self._writing: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._load_at = 0.0
        """When the last try to load began, or failed; the event loop's time."""
        self._refused: set[SeriesKey] = set()
        """Series that the database does not take, and series of which a sample was refused."""
        self._cleaned = 0

    # -- the port --------------------------------------------------------------------------------------------

    async def put(self, samples: Sequence[Sample]) -> None:
        """A sample of a minute or longer stands in the second and the minute of its begin. Samples without values
        are dropped."""
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
        return newest_unit(await self.read_units(metric, start, end, period))

    async def read_units(
        self, metric: MetricId, start: int, end: int, period: int
    ) -> dict[str, dict[int, Sample]]:
        """The last span is whole, also where it goes beyond ``end``. Spans made of whole minutes are read by the
        minute. Others are read by the second while the seconds are kept; before that, a minute counts in the span
        that it begins in, and nothing is known of periods below a minute."""
        stop = start + max(0, -(-(end - start) // period)) * period
        whole = start % MINUTE == 0 and period % MINUTE == 0
        await self._try_load()
        found = self._memory.read(metric, range(start, stop, MINUTE), by_minutes=True) if whole else None
        if found is None:
            found = self._memory.read(metric, range(start, stop), by_minutes=False)
        if found is None:
            found = await self._stored(metric, range(start, stop, period), whole)
        return spans(found, start, period)

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
        """``since`` counts by the minute."""
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
        self._taken += 1
        lost = memory.seconds.drop(self._most) + memory.minutes.drop(self._most)
        if lost and not self.lost:
            log.error("more than %d measurements wait for the database: the oldest are not written", self._most)
        self.lost += lost

    async def _try_load(self) -> None:
        """Waits a little for what the database held at the start, where it is not there yet."""
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
            self._memory.load(*await self._database.run(lambda c: stored.cells_since(c, *floors), looking=True))
        except Unavailable as error:
            log.warning("%s; metrics of before the start are not known yet", error)
            self._load_at = asyncio.get_running_loop().time()

    # -- the database ----------------------------------------------------------------------------------------

    async def _stored(self, metric: MetricId, spans: range, whole: bool) -> list[Sample]:
        """What is older than memory, with what is not written yet."""
        parts = self._plan(spans, whole)

        def work(connection: Connection) -> list[CellSamples]:
            named = stored.series_of_metric(connection, metric)
            return [
                (stored.minutes if by_minutes else stored.seconds)(connection, named, begins.start, begins.stop)
                for by_minutes, begins in parts
            ]

        found: list[Sample] = []
        for (by_minutes, begins), cells in zip(parts, await self._database.run(work, looking=True), strict=True):
            memory = self._memory.minutes if by_minutes else self._memory.seconds
            found += memory.overlay(cells, metric, begins).values()
        return found

    def _plan(self, spans: range, whole: bool) -> list[tuple[bool, range]]:
        """Which part is read by the minute, and which by the second."""
        if whole:
            return [(True, range(spans.start, spans.stop))]
        kept = -(-(self._now() - self._keep.seconds) // MINUTE) * MINUTE
        later = (False, range(max(spans.start, kept), spans.stop))
        if spans.start >= kept or spans.step < MINUTE:
            return [later]
        return [(True, range(spans.start, min(kept, spans.stop))), later]

    async def _write(self) -> None:
        """Everything that waits. Raises Unavailable; what is not written goes on waiting."""
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
        """Reads what the database holds of cells that are additions only. In a transaction of its own, so that the
        write that follows can be repeated without reading again."""
        memory = self._memory
        wanted = memory.seconds.unbased(seconds), memory.minutes.unbased(minutes)
        if any(wanted):
            found = await self._database.run(lambda c: stored.present_cells(c, *wanted), looking=True)
            memory.seconds.base(wanted[0], found[0])
            memory.minutes.base(wanted[1], found[1])

    async def _write_cells(self, seconds: CellSamples, minutes: CellSamples) -> None:
        """Where the database does not take one series, all others are written."""
        memory, now = self._memory, self._now()
        names = {series for _, series in (*seconds, *minutes)}
        if not names:
            return
        rows = {series: row for series in names if (row := memory.rows.get(series)) is not None}
        clean = now - self._cleaned >= CLEANUP_INTERVAL

        def work(connection: Connection) -> dict[SeriesKey, SeriesRow]:
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
        memory.seconds.written(seconds)
        memory.minutes.written(minutes)
        memory.rows |= {
            series: row for series, row in rows.items() if series in memory.known.get(series.metric, ())
        }
        self._cleaned = now if clean else self._cleaned

    async def _isolate(
        self, seconds: CellSamples, minutes: CellSamples, names: list[SeriesKey], error: Exception
    ) -> None:
        if len(names) == 1:
            self._refused.add(names[0])
            self.dropped += len(seconds)
            log.error("%s is not kept: the database does not take it: %s", names[0].metric, error)
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
    """Whether the database takes everything but this: data that it cannot hold, or too much of it (SQLSTATE classes
    22 and 54)."""
    if isinstance(error, DataError | OverflowError | UnicodeError):
        return True
    cause = error.__cause__ if isinstance(error, Unavailable) else error
    state = getattr(getattr(cause, "orig", None), "sqlstate", None) or ""
    return state[:2] in ("22", "54")


def _merge_by_span(samples: Iterable[Sample], span: int) -> CellSamples:
    """The samples added up by series and span."""
    groups: dict[CellKey, list[Sample]] = {}
    for s in samples:
        at = s.at // span * span
        if s.at != at or s.resolution != span:  # dataclasses.replace takes several times as long
            s = Sample(s.metric, at, s.count, s.total, s.low, s.high, s.bins, s.unit, span)
        groups.setdefault((at, SeriesKey.of(s.metric, s.unit)), []).append(s)
    return {key: merge(group) for key, group in groups.items()}


def _matches(dimensions: dict[str, str], wanted: Sequence[tuple[str, str | None]]) -> bool:
    return all(name in dimensions and value in (None, dimensions[name]) for name, value in wanted)
