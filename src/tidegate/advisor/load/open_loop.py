"""Requests at a constant rate, or at given moments, whatever the server does, on a running event loop.

Open loop: request ``i`` is due at ``start + i / rate``, or at the ``i``-th moment of a schedule; when no connection
is free it waits, and the wait counts (no coordinated omission). Closed loop (neither): every connection sends its
next request as soon as it has an answer, which shows saturation but hides waiting. Only this file's loop touches
the state; ``LoadGenerator`` runs it in a thread.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from tidegate.advisor.load.connection import Answer, Connection
from tidegate.advisor.load.report import SOCKET, Failure, Report, Second, Tally, is_failure

GRANULARITY = 0.002
"""Seconds: timers of event loops are whole milliseconds. A request sent within this of its due time counts as
punctual, so that the timer's grain is not taken for the server's latency; anything later counts in full."""
FAILURES_KEPT = 10_000


@dataclass(frozen=True)
class Load:
    """What to send. ``requests`` are whole HTTP messages, sent in turn. ``schedule`` has the moments at which they
    are due, in seconds after the start, in order; without one ``rate`` says it, and None is the closed loop."""

    host: str
    port: int
    requests: Sequence[bytes]
    rate: float | None
    connections: int
    timeout: float
    schedule: Iterable[float] | None = None

    @property
    def open(self) -> bool:
        return self.rate is not None or self.schedule is not None

    def moments(self) -> Iterator[float]:
        if self.schedule is not None:
            return iter(self.schedule)
        rate = self.rate
        return iter(()) if rate is None else (number / rate for number in count())


class OpenLoop:
    """Start once, stop once. ``report`` may be taken at any time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[float] = deque()
        self._moments = load.moments()
        self._next: float | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._seconds: dict[int, Second] = {}
        self._failures: list[Failure] = []
        self._begin = 0.0
        self._sent = 0
        self._turn = -1
        self._answered = 0
        self._running = False
        self._changed = asyncio.Event()
        self._epoch = time.time() - time.perf_counter()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._begin = time.perf_counter()
        if not self._load.open:
            for _ in range(self._load.connections):
                self._due(time.perf_counter())
        else:
            self._next = next(self._moments, None)
            self._tick()
        self._sweep()

    async def stop(self, grace: float) -> Report:
        """No new requests; waits up to ``grace`` seconds for answers. What is then still open counts as a
        failure."""
        self._running = False
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._until(lambda: self._answered >= self._sent)
        for timer in self._timers.values():
            timer.cancel()
        for task in list(self._connecting):
            task.cancel()
        for intended in self._waiting:
            self._lost(intended, "never sent: the run ended while it waited for a connection")
        self._waiting.clear()
        for connection in list(self._open):
            connection.close("unanswered when the run ended")
        await asyncio.gather(*self._connecting, return_exceptions=True)
        await self._until(lambda: not self._open)
        return self.report()

    async def _until(self, met: Callable[[], bool]) -> None:
        while not met():
            self._changed.clear()
            await self._changed.wait()

    def report(self) -> Report:
        seconds = tuple(self._seconds[at].copy() for at in sorted(self._seconds))
        return Report(seconds, tuple(self._failures), self._sent, self._sent - self._answered)

    # sending

    def _tick(self) -> None:
        if not self._running:
            return
        now = time.perf_counter()
        while self._next is not None and (due := self._begin + self._next) <= now:
            self._due(now if now - due < GRANULARITY else due)
            self._next = next(self._moments, None)
        if self._next is not None:
            pause = max(0.001, self._begin + self._next - now)
            self._timers["tick"] = self._loop.call_later(pause, self._tick)

    @property
    def exhausted(self) -> bool:
        """The schedule has come to its end."""
        return self._load.open and self._running and self._next is None

    def _due(self, intended: float) -> None:
        self._sent += 1
        self._second(intended).sent += 1
        if self._idle:
            self._send(self._idle.pop(), intended)
            return
        self._waiting.append(intended)
        self._grow()

    def _grow(self) -> None:
        """One connection more, if a request waits that no connection under way will take and there is room."""
        open_soon = len(self._connecting)
        if len(self._waiting) > open_soon and len(self._open) + open_soon < self._load.connections:
            task = self._loop.create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        self._changed.set()
        self._grow()

    def _send(self, connection: Connection, intended: float) -> None:
        requests = self._load.requests
        self._turn = (self._turn + 1) % len(requests)
        connection.send(requests[self._turn], intended)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._load.timeout):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self), self._load.host, self._load.port
                )
        except (OSError, TimeoutError) as error:
            if self._waiting:
                self._lost(self._waiting.popleft(), f"cannot connect: {error or 'timed out'}")
            self._replace()
            return
        self._open.add(connection)
        self._free(connection)

    def _free(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _replace(self) -> None:
        """After a request of the closed loop has come to its end without a connection that could go on."""
        if not self._load.open and self._running:
            self._loop.call_later(0.01, lambda: self._due(time.perf_counter()) if self._running else None)

    # answers

    def answered(self, connection: Connection, answer: Answer, keep: bool) -> None:
        intended = connection.intended
        if intended is None:
            connection.close("an answer without a request")
            return
        connection.intended = None
        self._count(intended, answer, answer.snippet.decode("utf-8", "replace"))
        if not keep:
            connection.close()
            self._replace()
            return
        self._free(connection)
        if not self._load.open and self._running:
            self._due(time.perf_counter())

    def broken(self, connection: Connection, reason: str) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.intended is not None:
            intended, connection.intended = connection.intended, None
            self._lost(intended, reason)
            self._replace()
        self._changed.set()
        self._grow()

    def _lost(self, intended: float, reason: str) -> None:
        self._count(intended, Answer(status=SOCKET), reason)

    def _count(self, intended: float, answer: Answer, message: str) -> None:
        now = time.perf_counter()
        latency = now - intended
        self._answered += 1
        self._changed.set()
        second = self._second(now)
        at = now + self._epoch
        second.by_config.setdefault(answer.config, Tally()).add(at, answer.status, latency)
        second.by_variant.setdefault(answer.variant, Tally()).add(at, answer.status, latency)
        if is_failure(answer.status) and len(self._failures) < FAILURES_KEPT:
            self._failures.append(Failure(at, answer.status, message, answer.config, latency))

    def _second(self, at: float) -> Second:
        epoch = int(at + self._epoch)
        found = self._seconds.get(epoch)
        if found is None:
            found = self._seconds[epoch] = Second(epoch)
        return found

    def _sweep(self) -> None:
        """Once a second: requests that have waited too long are given up."""
        late = time.perf_counter() - self._load.timeout
        for connection in list(self._open):
            if connection.intended is not None and connection.intended < late:
                connection.close(f"no answer within {self._load.timeout:g} s")
        while self._waiting and self._waiting[0] < late:
            self._lost(self._waiting.popleft(), f"no free connection within {self._load.timeout:g} s")
        self._timers["sweep"] = self._loop.call_later(1.0, self._sweep)
