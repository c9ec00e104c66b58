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
from pathlib import Path
from random import Random

from tidegate.domain.errors import Invalid
from tidegate.load.connection import AnswerSummary, LoadConnection
from tidegate.load.report import SOCKET, FailedRequest, LoadReport, Second, Tally, is_failure

GRANULARITY = 0.002
"""Seconds: timers of event loops are whole milliseconds. A request sent within this of its due time counts as
punctual, so that the timer's granularity is not taken for the server's latency; anything later counts in full."""
MAX_FAILURES = 10_000


@dataclass(frozen=True)
class LoadPlan:
    """Requests of a load test and the times at which they are sent. ``requests`` are whole HTTP messages, sent in
    turn. ``schedule`` has the moments at which they are due, in seconds after the start, in order; without one,
    ``rate`` gives them. If ``rate`` is None as well, the load is a closed loop."""

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

    def __init__(self, load: LoadPlan) -> None:
        self._plan = load
        self._idle: list[LoadConnection] = []
        self._open: set[LoadConnection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[float] = deque()
        self._moments = load.moments()
        self._next: float | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._seconds: dict[int, Second] = {}
        self._failures: list[FailedRequest] = []
        self._begin = 0.0
        self._sent = 0
        self._next_request = -1
        self._answered = 0
        self._running = False
        self._changed = asyncio.Event()
        self._epoch = time.time() - time.perf_counter()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._begin = time.perf_counter()
        if not self._plan.open:
            for _ in range(self._plan.connections):
                self._submit(time.perf_counter())
        else:
            self._next = next(self._moments, None)
            self._tick()
        self._sweep()

    async def stop(self, grace: float) -> LoadReport:
        """Sends nothing more and waits up to ``grace`` seconds for answers. Requests without one then count as
        failures."""
        self._running = False
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._wait_for(lambda: self._answered >= self._sent)
        for timer in self._timers.values():
            timer.cancel()
        for task in list(self._connecting):
            task.cancel()
        for intended in self._waiting:
            self._fail(intended, "never sent: the run ended while it waited for a connection")
        self._waiting.clear()
        for connection in list(self._open):
            connection.close("unanswered when the run ended")
        await asyncio.gather(*self._connecting, return_exceptions=True)
        await self._wait_for(lambda: not self._open)
        return self.report()

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def report(self) -> LoadReport:
        seconds = tuple(self._seconds[at].copy() for at in sorted(self._seconds))
        return LoadReport(seconds, tuple(self._failures), self._sent, self._sent - self._answered)

    # sending

    def _tick(self) -> None:
        if not self._running:
            return
        now = time.perf_counter()
        while self._next is not None and (due := self._begin + self._next) <= now:
            self._submit(now if now - due < GRANULARITY else due)
            self._next = next(self._moments, None)
        if self._next is not None:
            pause = max(0.001, self._begin + self._next - now)
            self._timers["tick"] = self._loop.call_later(pause, self._tick)

    @property
    def exhausted(self) -> bool:
        """The schedule has ended."""
        return self._plan.open and self._running and self._next is None

    def _submit(self, intended: float) -> None:
        self._sent += 1
        self._second(intended).sent += 1
        if self._idle:
            self._send(self._idle.pop(), intended)
            return
        self._waiting.append(intended)
        self._open_connection()

    def _open_connection(self) -> None:
        """Opens a connection if more requests wait than connections are being opened, up to the limit."""
        open_soon = len(self._connecting)
        if len(self._waiting) > open_soon and len(self._open) + open_soon < self._plan.connections:
            task = self._loop.create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._on_connected)

    def _on_connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        self._changed.set()
        self._open_connection()

    def _send(self, connection: LoadConnection, intended: float) -> None:
        requests = self._plan.requests
        self._next_request = (self._next_request + 1) % len(requests)
        connection.send(requests[self._next_request], intended)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._plan.timeout):
                _, connection = await self._loop.create_connection(
                    lambda: LoadConnection(self), self._plan.host, self._plan.port
                )
        except (OSError, TimeoutError) as error:
            if self._waiting:
                self._fail(self._waiting.popleft(), f"cannot connect: {error or 'timed out'}")
            self._retry_closed_loop()
            return
        self._open.add(connection)
        self._release(connection)

    def _release(self, connection: LoadConnection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _retry_closed_loop(self) -> None:
        """Sends the next request of a closed loop after its connection was lost."""
        if not self._plan.open and self._running:
            self._loop.call_later(0.01, lambda: self._submit(time.perf_counter()) if self._running else None)

    # answers

    def on_answer(self, connection: LoadConnection, answer: AnswerSummary, keep: bool) -> None:
        intended = connection.intended
        if intended is None:
            connection.close("an answer without a request")
            return
        connection.intended = None
        self._count(intended, answer, answer.snippet.decode("utf-8", "replace"))
        if not keep:
            connection.close()
            self._retry_closed_loop()
            return
        self._release(connection)
        if not self._plan.open and self._running:
            self._submit(time.perf_counter())

    def on_broken(self, connection: LoadConnection, reason: str) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.intended is not None:
            intended, connection.intended = connection.intended, None
            self._fail(intended, reason)
            self._retry_closed_loop()
        self._changed.set()
        self._open_connection()

    def _fail(self, intended: float, reason: str) -> None:
        self._count(intended, AnswerSummary(status=SOCKET), reason)

    def _count(self, intended: float, answer: AnswerSummary, message: str) -> None:
        now = time.perf_counter()
        latency = now - intended
        self._answered += 1
        self._changed.set()
        second = self._second(now)
        at = now + self._epoch
        second.by_config.setdefault(answer.config, Tally()).add(at, answer.status, latency)
        second.by_variant.setdefault(answer.variant, Tally()).add(at, answer.status, latency)
        if is_failure(answer.status) and len(self._failures) < MAX_FAILURES:
            self._failures.append(FailedRequest(at, answer.status, message, answer.config, latency))

    def _second(self, at: float) -> Second:
        epoch = int(at + self._epoch)
        found = self._seconds.get(epoch)
        if found is None:
            found = self._seconds[epoch] = Second(epoch)
        return found

    def _sweep(self) -> None:
        """Abandon requests that have waited too long. This runs once a second."""
        late = time.perf_counter() - self._plan.timeout
        for connection in list(self._open):
            if connection.intended is not None and connection.intended < late:
                connection.close(f"no answer within {self._plan.timeout:g} s")
        while self._waiting and self._waiting[0] < late:
            self._fail(self._waiting.popleft(), f"no free connection within {self._plan.timeout:g} s")
        self._timers["sweep"] = self._loop.call_later(1.0, self._sweep)


# --- bodies to send: lines of a file ---


MOST_PAYLOADS = 10_000
TYPES = {".csv": "text/csv", ".jsonl": "application/json", ".ndjson": "application/json"}


def read_payloads(payloads: Path, content_type: str | None) -> tuple[list[bytes], str]:
    """The bodies in random order (the same each time), and their content type."""
    try:
        lines = [line.strip() for line in payloads.read_text().splitlines() if line.strip()][: MOST_PAYLOADS + 1]
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{payloads}: {getattr(error, 'strerror', None) or 'not text'}") from None
    if payloads.suffix == ".csv" and lines and not any(_is_number(cell) for cell in lines[0].split(",")):
        lines = lines[1:]
    if not lines:
        raise Invalid(f"{payloads}: it has no lines")
    bodies = [line.encode() for line in lines[:MOST_PAYLOADS]]
    Random(0).shuffle(bodies)
    return bodies, content_type or TYPES.get(payloads.suffix, "text/csv")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
