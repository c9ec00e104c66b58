"""A database of records and metrics, as seen by a controller's single thread. It can be locked, full, unavailable or
slow, and the answer to a commit can get lost. Committed data survives the process; queued work does not."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, TypeVar

from tests.loops import faults as f
from tests.loops.virtual_loop import VirtualLoop
from tests.memory_store import MemoryTx
from tidegate.domain.errors import Unavailable
from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring.samples import merge
from tidegate.ports.store import JournalLine, StoredRecord, Tx
from tidegate.simulation.faults import Fault

R = TypeVar("R")
BUSY = 5.0
"""Seconds until a transaction stops waiting for a lock, like SQLite's busy_timeout."""
LATENCIES = (0.0005, 0.001, 0.001, 0.003, 0.015)


class _WaitForLock(Exception):
    """The transaction writes while another process holds the lock."""


@dataclass
class DatabaseServer:
    """The data on disk, and the database's current faults."""

    loop: VirtualLoop
    chance: Random
    committed: Callable[[JournalLine], None] = lambda line: None
    """Called with every journal line of a committed transaction."""
    records: dict[tuple[str, str], StoredRecord[Any]] = field(default_factory=dict)
    journal: list[JournalLine] = field(default_factory=list)
    samples: dict[MetricId, dict[int, Sample]] = field(default_factory=dict)
    locked_until: float = 0.0
    reads_locked_until: float = 0.0
    full_until: float = 0.0
    away_until: float = 0.0
    hang: float = 0.0
    slow_until: float = 0.0
    slow_by: float = 0.0
    metrics_fail_until: float = 0.0
    metrics_unreadable_until: float = 0.0
    answers_to_lose: int = 0
    read_cost: float = 0.0
    """Seconds to read one span of a metric."""

    @property
    def troubled(self) -> bool:
        ends = (self.locked_until, self.full_until, self.away_until, self.slow_until, self.metrics_fail_until)
        return self.loop.now < max(ends)

    def suffer(self, fault: Fault) -> None:
        """Let a fault of the database begin."""
        now = self.loop.now
        match fault:
            case f.DatabaseLocked(_, seconds, reads):
                self.locked_until = max(self.locked_until, now + seconds)
                if reads:
                    self.reads_locked_until = max(self.reads_locked_until, now + seconds)
            case f.DatabaseFull(_, seconds):
                self.full_until = max(self.full_until, now + seconds)
            case f.DatabaseAway(_, seconds, hang):
                self.away_until, self.hang = max(self.away_until, now + seconds), hang
            case f.DatabaseSlow(_, seconds, latency):
                self.slow_until, self.slow_by = max(self.slow_until, now + seconds), latency
            case f.AnswersLost(_, count):
                self.answers_to_lose += count
            case f.MetricsFail(_, seconds, reads):
                self.metrics_fail_until = max(self.metrics_fail_until, now + seconds)
                if reads:
                    self.metrics_unreadable_until = max(self.metrics_unreadable_until, now + seconds)

    def delay(self) -> float:
        """Seconds that a transaction takes without waiting."""
        latency = LATENCIES[int(self.chance.random() * len(LATENCIES))]
        return latency + (self.slow_by if self.loop.now < self.slow_until else 0.0)

    def take(self, attempt: MemoryTx) -> None:
        """Commit a transaction's records and lines, or raise without any change."""
        now = self.loop.now
        if now < self.locked_until:
            raise _WaitForLock
        if now < self.full_until:
            raise Unavailable("The database cannot be used: database or disk is full; make room on its disk")
        lines = attempt.lines[len(self.journal) :]
        self.records, self.journal = attempt.records, attempt.lines
        for line in lines:
            self.committed(line)

    def lose_answer(self) -> bool:
        lost = self.answers_to_lose > 0
        self.answers_to_lose -= lost
        return lost


class DatabaseThread:
    """A process's only database thread: transactions run one after the other."""

    def __init__(self, server: DatabaseServer) -> None:
        self.server = server
        self._queue: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._gives_up = 0.0

    async def call(self, job: Callable[[], R]) -> R:
        loop = self.server.loop
        answer: asyncio.Future[R] = loop.create_future()
        self._queue.append((job, answer))
        if len(self._queue) == 1:
            self._begin()
        return await answer

    def _begin(self) -> None:
        loop, server = self.server.loop, self.server
        self._gives_up = loop.now + BUSY
        if loop.now < server.away_until:
            loop.call_at(loop.now + server.hang, self._fail, "the server is not there; check that it is running")
        elif loop.now < server.reads_locked_until:
            self._wait(server.reads_locked_until)
        else:
            loop.call_at(loop.now + server.delay(), self._work)

    def _wait(self, until: float) -> None:
        if until >= self._gives_up:
            why = "database is locked; another process holds it; try again"
            self.server.loop.call_at(self._gives_up, self._fail, why)
        else:
            self.server.loop.call_at(until, self._work)

    def _work(self) -> None:
        job, answer = self._queue[0]
        try:
            result = job()
        except _WaitForLock:
            self._wait(self.server.locked_until)
            return
        except Exception as error:
            self._answer(answer, error=error)
        else:
            self._answer(answer, result=result)
        self._next()

    def _fail(self, why: str) -> None:
        self._answer(self._queue[0][1], error=Unavailable(f"The database cannot be used: {why}"))
        self._next()

    def _answer(
        self, answer: "asyncio.Future[Any]", result: object = None, error: Exception | None = None
    ) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    def _next(self) -> None:
        """Skip callers that were cancelled."""
        self._queue.popleft()
        while self._queue and self._queue[0][1].cancelled():
            self._queue.popleft()
        if self._queue:
            self._begin()


class SimulatedStore:
    """Ports.store.Store; ``work`` may run twice, as the port allows."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread

    async def run(self, work: Callable[[Tx], R]) -> R:
        return await self._thread.call(lambda: self._transact(work))

    async def read(self, work: Callable[[Tx], R]) -> R:
        return await self.run(work)

    def _transact(self, work: Callable[[Tx], R]) -> R:
        server = self._thread.server
        attempt = MemoryTx(server.records.copy(), server.journal.copy(), as_json=False)
        result = work(attempt)
        if len(attempt.lines) > len(server.journal):
            server.take(attempt)
            if server.lose_answer():
                raise Unavailable("The database cannot be used: the connection was lost while it committed")
        return result

    async def newest(self) -> tuple[int, datetime] | None:
        return await self._thread.call(self._find_newest)

    def _find_newest(self) -> tuple[int, datetime] | None:
        lines = self._thread.server.journal
        return (lines[-1].seq, lines[-1].at) if lines else None

    async def close(self) -> None:
        return None


class SimulatedMetrics:
    """Ports.metrics.Metrics of one process: samples are in memory immediately and written durably as soon as
    possible. Memory is loaded from the database on first use."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread
        self._memory: dict[MetricId, dict[int, Sample]] | None = None
        self._unwritten: list[Sample] = []

    async def put(self, samples: Sequence[Sample]) -> None:
        good = [s for s in samples if s.count > 0 and math.isfinite(s.total + s.count + s.low + s.high)]
        self._unwritten += good
        if self._memory is not None:
            _add(self._memory, good)
        await self._thread.call(self._write)

    def _write(self) -> None:
        server = self._thread.server
        now, taken = server.loop.now, self._unwritten
        if now < server.locked_until:
            raise _WaitForLock
        if now < max(server.full_until, server.metrics_fail_until):
            raise Unavailable("The database cannot be used: database or disk is full; make room on its disk")
        _add(server.samples, taken)
        self._unwritten = []
        if server.lose_answer():
            raise Unavailable("The database cannot be used: the connection was lost while it committed")

    async def read(self, metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
        (found,) = await self.read_units([metric], start, end, period)
        return next(iter(found.values()), {})

    async def read_units(
        self, metrics: Sequence[MetricId], start: int, end: int, period: int
    ) -> list[dict[str, dict[int, Sample]]]:
        """Simulated metrics have one unit each."""
        memory = await self._filled()
        cost = self._thread.server.read_cost * max(1, (end - start) // period) * len(metrics)
        if cost:
            await asyncio.sleep(cost)
        read = (_spans(memory.get(metric, {}), start, end, period) for metric in metrics)
        return [{next(iter(one.values())).unit: one} if one else {} for one in read]

    async def last(self, metric: MetricId, since: int) -> int | None:
        memory = await self._filled()
        return max((at for at in memory.get(metric, ()) if at >= since), default=None)

    async def _filled(self) -> dict[MetricId, dict[int, Sample]]:
        if self._memory is None:
            await self._thread.call(self._fill)
        assert self._memory is not None
        return self._memory

    def _fill(self) -> None:
        server = self._thread.server
        if server.loop.now < server.metrics_unreadable_until:
            raise Unavailable("The database cannot be used: disk I/O error; make room on its disk")
        if self._memory is None:
            self._memory = {metric: dict(spans) for metric, spans in server.samples.items()}
            _add(self._memory, self._unwritten)

    async def series(
        self, namespace: str | None, name: str | None, dimensions: Sequence[tuple[str, str | None]], since: int
    ) -> list[MetricId]:
        return []


def _add(stored: dict[MetricId, dict[int, Sample]], samples: Sequence[Sample]) -> None:
    for sample in samples:
        spans = stored.get(sample.metric)
        if spans is None:
            stored[sample.metric] = {sample.at: sample}
        else:
            found = spans.get(sample.at)
            spans[sample.at] = sample if found is None else merge((found, sample))


def _spans(stored: dict[int, Sample], start: int, end: int, period: int) -> dict[int, Sample]:
    if period == 1:
        if end - start < len(stored):
            return {at: stored[at] for at in range(start, end) if at in stored}
        return {at: sample for at, sample in stored.items() if start <= at < end}
    groups: dict[int, list[Sample]] = {}
    for at, sample in stored.items():
        if start <= at < end:
            groups.setdefault((at - start) // period * period + start, []).append(sample)
    return {at: merge(group) for at, group in groups.items()}
