"""Simulated workers: their counts per second, and their statistics pages."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from tests.loops.clock import EPOCH
from tests.loops.faults import PageDamage
from tidegate.domain.fleet import FleetId
from tidegate.monitoring import sketch

KEPT_SECONDS = 180
"""Seconds that a worker keeps."""
OVERHEAD = 200
"""Microseconds per request outside the model."""
LATE = 2
"""Age in seconds of a late page."""
HUGE = 1.7e308
_index = lru_cache(maxsize=1024)(sketch.index)


@dataclass(slots=True)
class SecondCounts:
    """Counts of one worker in one second of the wall clock, which began at ``since`` in real time; ``latencies``:
    microseconds -> requests, ``ages``: the same for waiting requests. ``shown``: on a page that was read."""

    since: float

    requests: int = 0
    failed: int = 0
    latencies: dict[int, int] = field(default_factory=dict)
    ages: dict[int, int] = field(default_factory=dict)
    shown: bool = False

    def add(self, requests: int, failed: int, latency: int) -> None:
        self.requests += requests
        self.failed += failed
        self.latencies[latency] = self.latencies.get(latency, 0) + requests


@dataclass(slots=True, eq=False)
class SimulatedWorker:
    """A replica's process. ``up``: the proxy sends it requests. ``held``: unanswered requests with their arrival
    times."""

    fleet: FleetId
    number: int
    ready_since: float
    up: bool = True
    hung: bool = False
    part_failed: float = 0.0
    """Fraction of a failing request that is carried over to the next second."""
    answered: int = 0
    """Successfully answered requests since its start."""
    failed: int = 0
    seconds: dict[int, SecondCounts] = field(default_factory=dict)
    held: list[tuple[float, int]] = field(default_factory=list)
    read: int = 0
    """Seconds before this one have been read."""
    unread: list[float] = field(default_factory=list)
    """Starts of the seconds that were dropped unread."""

    @property
    def id(self) -> str:
        return f"{self.fleet}/{self.number}"

    def count(self, second: int, now: float, requests: int, failed: int, latency: int) -> None:
        self._counted(second, now).add(requests, failed, latency)
        self.answered += requests - failed
        self.failed += failed

    def _counted(self, second: int, now: float) -> SecondCounts:
        self.rewind(second)
        counted = self.seconds.get(second)
        if counted is None:
            counted = self.seconds[second] = SecondCounts(now)
            while len(self.seconds) > KEPT_SECONDS:
                oldest = self.seconds.pop(min(self.seconds))
                if not oldest.shown:
                    self.unread.append(oldest.since)
        return counted

    @property
    def in_flight(self) -> int:
        return sum(count for _, count in self.held)

    def page(self, since: int, before: int, now: float, damage: PageDamage | None) -> bytes:
        """Counts of the seconds ``since <= s < before`` that are over at ``now`` (epoch seconds), as JSON."""
        now -= LATE if damage is PageDamage.LATE else 0
        self.rewind(int(now) - EPOCH)
        self.read = max(self.read, min(since, int(now)) - EPOCH)
        if damage is PageDamage.GARBAGE:
            return b'{"seconds": [{"second": 1' if int(now) % 2 else b'{"in_flight": "many"}'
        end = min(before, int(now)) - EPOCH
        places = [at for at in sorted(self.seconds) if since - EPOCH <= at < end]
        for at in places:
            self.seconds[at].shown = True
        shown = [_render_second(at + EPOCH, self.seconds[at]) for at in places]
        page = {"now": now, "in_flight": self.in_flight, "answered": self.answered, "seconds": shown}
        if damage is not None:
            _damage_page(page, shown, damage)
        return msgspec.json.encode(page)

    def lost(self, since: float, until: float) -> int:
        """Number of seconds in that time that were never read."""
        unread = [*self.unread, *(counted.since for counted in self.seconds.values() if not counted.shown)]
        return sum(since <= at < until for at in unread)

    def last_page(self, now: float) -> bytes:
        """The final page, including the current second."""
        return self.page(0, 2**40, now + 1.0, None)

    def rewind(self, second: int) -> None:
        """Reset seconds that were read and come again because the clock was set back."""
        if second < self.read:
            for again in [at for at in self.seconds if second <= at < self.read]:
                del self.seconds[again]
            self.read = second

    def note_ages(self, second: int, now: float) -> None:
        """Record the ages of unanswered requests."""
        for since, count in self.held:
            if now - since > 1.0:
                ages = self._counted(second, now).ages
                age = int((now - since) * 1e6)
                ages[age] = ages.get(age, 0) + count


def _render_second(at: int, counted: SecondCounts) -> dict[str, Any]:
    series = []
    if counted.ages:
        series.append({"name": "InFlightLatency", "dimensions": {}, "spread": _render_sketch(counted.ages)})
    return {
        "second": at,
        "invocations": counted.requests,
        "4xx": 0,
        "5xx": counted.failed,
        "model_errors": counted.failed,
        "latency": _render_sketch(counted.latencies),
        "overhead": _render_sketch({OVERHEAD: counted.requests}),
        "series": series,
    }


def _render_sketch(values: dict[int, int]) -> dict[str, Any]:
    some = {value: count for value, count in values.items() if count}
    if not some:
        return {"count": 0, "total": 0, "low": 0, "high": 0, "bins": {}}
    bins: dict[int, int] = {}
    for value, count in some.items():
        bins[_index(value)] = bins.get(_index(value), 0) + count
    total = sum(value * count for value, count in some.items())
    return {"count": sum(some.values()), "total": total, "low": min(some), "high": max(some), "bins": bins}


def _damage_page(page: dict[str, Any], seconds: list[dict[str, Any]], damage: PageDamage) -> None:
    for second in seconds:
        match damage:
            case PageDamage.NULL:
                second["latency"]["total"] = float("inf")  # JSON has no infinity: it is written as null
            case PageDamage.INFINITE:
                second["latency"] = {
                    "count": 1,
                    "total": HUGE,
                    "low": HUGE,
                    "high": HUGE,
                    "bins": {_index(1e300): 1},
                }
                noted = {"count": 1, "total": HUGE, "low": -HUGE, "high": HUGE, "bins": {0: 1}}
                for name, dimensions in (("MirrorDifference", {}), ("Invocations", {"TargetModel": "x"})):
                    second["series"].append({"name": name, "dimensions": dimensions, "spread": noted})
            case PageDamage.CONTRADICTORY:
                second["5xx"] = second["invocations"] * 1000 + 1
                second["4xx"] = -second["invocations"]
                second["latency"] = {"count": 3, "total": -1, "low": 9e9, "high": -9e9, "bins": {5: -3, "x": 1e18}}
            case PageDamage.FUTURE:
                second["second"] += (-1) ** second["second"] * 7200
    if damage is PageDamage.CONTRADICTORY:
        page["in_flight"], page["answered"] = -5, "many"
