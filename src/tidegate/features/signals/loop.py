"""Reads the signals of alarms again and again: what it finds is a metric, and what it does not find has no datapoint.
Why a signal cannot be read is kept in a report of its endpoint, and journaled when it changes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidegate.compose.background import Services, Worker
from tidegate.domain.alarm import Alarm, Signal
from tidegate.domain.errors import TidegateError
from tidegate.domain.metric import MetricId, Sample
from tidegate.domain.observation import Event
from tidegate.features.signals.kinds import SIGNAL_REPORT, SignalReport
from tidegate.features.signals.reader import find_access, read_signal
from tidegate.monitoring import sketch
from tidegate.monitoring.alarm_data import series_of
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store, Tx
from tidegate.reconcile.guards import GuardedRollout
from tidegate.reconcile.reads import ReadCache
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.service.records import read_if_readable

LONGEST = 10
"""Seconds between two readings of a signal, at most."""
NOTE_EVERY = timedelta(seconds=10)
"""Between two reports on the signals of one endpoint: one that comes and goes does not fill the journal."""
STORE_PATIENCE = 0.25
"""Seconds that a turn waits for the store."""
MOST_AT_ONCE = 32
"""Readings at a time."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WatchedSignal:
    """``every``: seconds between two readings, so that each period of the alarm has one."""

    alarm: str
    endpoint: str
    metric: MetricId
    signal: Signal
    every: int


@dataclass(frozen=True)
class SignalRecords:
    """Signals of the alarms on record, and what was kept of those that could not be read, by endpoint."""

    watched: tuple[WatchedSignal, ...]
    reports: dict[str, SignalReport]


def list_signals(alarms: Iterable[Alarm], endpoints: Iterable[str]) -> tuple[WatchedSignal, ...]:
    """List the signals of these alarms, but for those of endpoints that are gone."""
    present, found = set(endpoints), list[WatchedSignal]()
    for alarm in alarms:
        endpoint = alarm.dimensions.get("EndpointName", "")
        if alarm.signal is not None and endpoint in present:
            every = min(max(1, alarm.period // 2), LONGEST)
            found.append(WatchedSignal(alarm.name, endpoint, series_of(alarm), alarm.signal, every))
    return tuple(found)


def read_records(tx: Tx) -> SignalRecords:
    watched = list_signals((saved.body for saved in tx.find(ALARM).items), tx.versions(ENDPOINT))
    return SignalRecords(watched, {saved.name: saved.body for saved in tx.find(SIGNAL_REPORT).items})


@dataclass
class SignalLoop(Worker):
    """``read`` returns the value of a signal at a time in epoch seconds."""

    store: Store
    metrics: Metrics
    clock: Clock
    guarded: Callable[[], Iterable[GuardedRollout]]
    read: Callable[[Signal, float], Awaitable[float]]
    written: Callable[[], None] = lambda: None
    """Called after each write of a record."""
    _cache: ReadCache[SignalRecords] = field(default_factory=lambda: ReadCache(read_records))
    _records: SignalRecords = field(default_factory=lambda: SignalRecords((), {}))
    _syncing: asyncio.Task[None] | None = None
    _readings: dict[MetricId, asyncio.Task[None]] = field(default_factory=dict)
    _began: dict[MetricId, datetime] = field(default_factory=dict)
    _troubles: dict[MetricId, str] = field(default_factory=dict)
    """Why each signal could not be read; empty for those that were."""
    _noted: dict[str, datetime] = field(default_factory=dict)
    """When the last report on each endpoint was kept."""
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))

    async def turn(self) -> None:
        """Begin the readings that are due, and keep what changed. The guards of a rollout are read by the definitions
        that it began with, too, and signals go on being read while the store is away."""
        now = self.clock.now()
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.create_task(self._sync(now), name="signals")
        await asyncio.wait({self._syncing}, timeout=STORE_PATIENCE)
        watched = self._list_watched()
        for gone in self._began.keys() - {one.metric for one in watched}:
            del self._began[gone]
            self._troubles.pop(gone, None)
        for one in watched:
            self._begin(one, now)

    def _list_watched(self) -> list[WatchedSignal]:
        guarded = list(self.guarded())
        guards = list_signals(
            (alarm for one in guarded for alarm in one.alarms), (one.endpoint for one in guarded)
        )
        return list({(one.alarm, one.metric): one for one in (*self._records.watched, *guards)}.values())

    async def _sync(self, now: datetime) -> None:
        """Read the alarms that watch signals, and write what changed of these."""
        try:
            self._records = await self._cache.get(self.store)
            await self._keep_reports(self._list_watched(), self._records.reports, now)
        except TidegateError as error:
            log.warning("reports on signals could not be kept: %s", error)
        except Exception:
            log.exception("reports on signals could not be kept")

    def _begin(self, one: WatchedSignal, now: datetime) -> None:
        began, running = self._began.get(one.metric), self._readings.get(one.metric)
        waits = began is not None and timedelta(0) <= now - began < timedelta(seconds=one.every)
        if waits or (running is not None and not running.done()):
            return
        self._began[one.metric] = now
        self._readings[one.metric] = asyncio.create_task(self._read(one, now), name=f"signal of {one.alarm}")

    async def _read(self, one: WatchedSignal, now: datetime) -> None:
        second = int(now.timestamp())
        try:
            async with self._turns:
                value = await self.read(one.signal, now.timestamp())
            self._troubles[one.metric] = ""
            bins = {sketch.index(value): 1.0}
            await self.metrics.put([Sample(one.metric, second, 1.0, value, value, value, bins)])
        except TidegateError as error:
            self._troubles[one.metric] = error.message
        except Exception as error:
            log.exception("the signal of alarm %s was not read", one.alarm)
            self._troubles[one.metric] = f"the reading broke down: {type(error).__name__}"

    async def _keep_reports(
        self, watched: Iterable[WatchedSignal], kept: dict[str, SignalReport], now: datetime
    ) -> None:
        found: dict[str, dict[str, str]] = {name: {} for name in kept}
        for one in watched:
            last = kept[one.endpoint].unread.get(one.alarm, "") if one.endpoint in kept else ""
            if trouble := self._troubles.get(one.metric, last):
                found.setdefault(one.endpoint, {})[one.alarm] = trouble
        for endpoint, unread in found.items():
            before = kept[endpoint].unread if endpoint in kept else {}
            noted = self._noted.get(endpoint)
            if unread == before or (noted is not None and timedelta(0) <= now - noted < NOTE_EVERY):
                continue
            if await self.store.run(lambda tx: _keep_report(tx, endpoint, unread, before, now)):  # noqa: B023
                self._noted[endpoint] = now
                self.written()

    async def finish(self) -> None:
        """Wait for the readings under way."""
        await asyncio.gather(*self._readings.values())

    async def stop(self) -> None:
        tasks = [*self._readings.values(), *([] if self._syncing is None else [self._syncing])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _keep_report(
    tx: Tx, endpoint: str, unread: Mapping[str, str], before: Mapping[str, str], now: datetime
) -> bool:
    """Keep why signals cannot be read, and journal what changed; False if the endpoint is gone."""
    saved = read_if_readable(tx, ENDPOINT, endpoint)
    if saved is None:
        tx.delete(SIGNAL_REPORT, endpoint, expect=None, now=now)
        return False
    if unread:
        tx.put(SIGNAL_REPORT, endpoint, SignalReport(unread), expect=None, now=now)
    else:
        tx.delete(SIGNAL_REPORT, endpoint, expect=None, now=now)
    changed = [name for name in sorted({**before, **unread}) if unread.get(name) != before.get(name)]
    events = [Event("signal", _tell(name, unread.get(name)), {"alarm": name}) for name in changed]
    tx.put(ENDPOINT, endpoint, saved.body, expect=saved.version, now=now, events=events)
    return True


def _tell(alarm: str, trouble: str | None) -> str:
    if trouble is None:
        return f'the signal of alarm "{alarm}" is read again'
    return f'the signal of alarm "{alarm}" cannot be read, and has no data meanwhile: {trouble}'


def make_loop(services: Services) -> SignalLoop:
    access = find_access(services.settings)
    return SignalLoop(
        services.store,
        services.metrics,
        services.clock,
        services.guarded,
        lambda signal, now: read_signal(signal, access, now),
        services.written,
    )
