"""Decides whether a program is healthy, and whether it hangs, from an observation each second. Pure.

A program may do one thing at a time: a failed ping while it is working means little, until it has not answered for as
long as a prediction may take.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tidegate.host import process_stats
from tidegate.host.process_stats import SILENT, SILENT_FOR, STOPPED_REASON, ProcessStats, got_nowhere
from tidegate.http1.messages import ConnectionBroken
from tidegate.serving.runtimes.upstream_calls import UpstreamCalls, UpstreamClient

GOOD = 200
BAD_PINGS = 3
"""In a row, while the program has nothing to do: it is not healthy."""
LONGEST_STEP = 3.5
"""Most seconds between two observations: a ping takes up to two. A longer gap was not observed, and does not
count."""


@dataclass(frozen=True)
class LivenessObservation:
    """An observation. ``answers``: number of answers since the start. ``answer``: status of the ping, if it was
    ``asked`` and answered."""

    at_work: bool
    answers: int
    asked: bool
    answer: int | None = None
    stopped: bool = False
    vitals: ProcessStats | None = None


@dataclass
class Liveness:
    patience: float
    """Seconds that a prediction may take."""
    good: bool = True
    _bad: int = 0
    _answers: int = 0
    _unanswered: float = 0.0
    """Seconds at work since the last answer."""
    _still: float = 0.0
    _stopped: bool = False
    _vitals: ProcessStats | None = None
    _at: float | None = None

    def asks(self, at_work: bool, answers: int) -> bool:
        """Whether to ping the program now."""
        return not at_work or (answers == self._answers and self._unanswered >= self.patience)

    def after(self, seen: LivenessObservation, now: float) -> str:
        """Add an observation. Returns why the program hangs; empty if it does not, or that is unknown."""
        passed = 0.0 if self._at is None else now - self._at
        step = min(passed, LONGEST_STEP)
        answered = seen.answers != self._answers or seen.answer is not None
        self._unanswered = 0.0 if answered or not seen.at_work else self._unanswered + step
        self._count(seen)
        stalled = seen.asked and not answered and got_nowhere(self._vitals, seen.vitals, passed)
        self._still = self._still + step if stalled else 0.0
        was_stopped, self._stopped = self._stopped, seen.stopped
        self._answers, self._vitals, self._at = seen.answers, seen.vitals, now
        if seen.stopped and was_stopped:
            return STOPPED_REASON
        if self._still >= SILENT_FOR:
            return SILENT
        return ""

    def _count(self, seen: LivenessObservation) -> None:
        if not seen.asked or (seen.at_work and seen.answer != GOOD):
            return
        self._bad = 0 if seen.answer == GOOD else self._bad + 1
        self.good = self._bad < BAD_PINGS


# --- asks the HTTP server behind a front for its health, and decides when it hangs ---


PING_TIMEOUT = 2.0
PING_EVERY = 0.2
"""Seconds between pings until the first 200; then there is one per second."""
WATCH_EVERY = 1.0


async def ping(client: UpstreamClient, path: str = "/ping") -> int | None:
    """The status of the answer; None where there is none."""
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            return (await client.request("GET", path)).status
    except (ConnectionBroken, TimeoutError, ValueError):
        return None


class HealthWatch:
    """The health of the server that these calls go to. ``patience``: seconds that a prediction may take."""

    def __init__(self, calls: UpstreamCalls, patience: float, path: str = "/ping") -> None:
        self._calls = calls
        self._path = path
        self._liveness = Liveness(patience)

    @property
    def good(self) -> bool:
        return self._liveness.good

    async def run(self, client: UpstreamClient, pid: int, gone: Callable[[], str] = str) -> str:
        """Look at the server each second until it hangs: no answer would come from it any more. Returns the reason.
        ``pid``: its first process; 0: unknown. ``gone`` returns a reason of the caller's own, or nothing."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            at_work = self._calls.at_work
            answer: int | None = None
            if asking := self._liveness.asks(at_work, self._calls.answers):
                answer = await ping(client, self._path)
                at_work = at_work or self._calls.at_work
            stopped = bool(pid) and process_stats.process_state(pid) in process_stats.STOPPED
            vitals = None if answer or not pid else ProcessStats.of(pid)
            seen = LivenessObservation(at_work, self._calls.answers, asking, answer, stopped, vitals)
            if why := gone() or self._liveness.after(seen, asyncio.get_running_loop().time()):
                return why
