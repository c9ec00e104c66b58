"""Simulated workers: what they count second by second, and the pages on which they show it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from tidegate.evidence import sketch
from tidegate.model.fleet import FleetId
from tidegate.targets.local.collect import Noted, Page, Second, Spread
from tidegate.testing.loops.clock import EPOCH
from tidegate.testing.loops.faults import Damage

KEPT = 180
"""Seconds that a worker remembers."""
OVERHEAD = 200
"""Microseconds of each request outside the model."""
LATE = 2
"""Seconds by which pages are late, where they are."""
HUGE = 1.7e308
_index = lru_cache(maxsize=1024)(sketch.index)


@dataclass(slots=True)
class Counted:
    """What one worker counted in one second of the wall clock; ``latencies``: microseconds -> requests."""

    requests: int = 0
    failed: int = 0
    latencies: dict[int, int] = field(default_factory=dict)

    def add(self, requests: int, failed: int, latency: int) -> None:
        self.requests += requests
        self.failed += failed
        self.latencies[latency] = self.latencies.get(latency, 0) + requests


@dataclass(slots=True, eq=False)
class Worker:
    """One replica's process. ``up``: the proxy gives it requests. ``held``: requests that it does not answer, with
    the time at which they came."""

    fleet: FleetId
    number: int
    ready_since: float
    up: bool = True
    hung: bool = False
    part_failed: float = 0.0
    """The fraction of a failing request that is carried over to the next second."""
    answered: int = 0
    """Requests that it answered well since it started."""
    failed: int = 0
    seconds: dict[int, Counted] = field(default_factory=dict)
    held: list[tuple[float, int]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{self.fleet}/{self.number}"

    def count(self, second: int, requests: int, failed: int, latency: int) -> None:
        counted = self.seconds.get(second)
        if counted is None:
            counted = self.seconds[second] = Counted()
            while len(self.seconds) > KEPT:
                del self.seconds[min(self.seconds)]
        counted.add(requests, failed, latency)
        self.answered += requests - failed
        self.failed += failed

    @property
    def in_flight(self) -> int:
        return sum(count for _, count in self.held)

    def page(self, since: int, second: int, damage: Damage | None) -> bytes:
        """The counts of the seconds ``since <= s < second`` (seconds since the epoch), as the worker writes them."""
        if damage is Damage.LATE:
            second -= LATE
        if damage is Damage.GARBAGE:
            return b'{"seconds": [{"second": 1' if second % 2 else b'{"in_flight": "many"}'
        shown = [_second(at, self.seconds[at - EPOCH]) for at in self._shown(since, second)]
        if damage is None or damage is Damage.LATE:
            return msgspec.json.encode(Page(shown, self.in_flight))
        return _damaged(shown, self.in_flight, damage, second)

    def _shown(self, since: int, second: int) -> Iterable[int]:
        return sorted(at + EPOCH for at in self.seconds if since <= at + EPOCH < second)


def _second(at: int, counted: Counted) -> Second:
    requests = counted.requests
    return Second(
        at,
        requests,
        counted.failed,
        _spread({latency: count for latency, count in counted.latencies.items() if count}),
        _spread({OVERHEAD: requests}),
        0,
        counted.failed,
    )


def _spread(values: dict[int, int]) -> Spread:
    if not values:
        return Spread(0, 0.0, 0.0, 0.0, {})
    bins: dict[int, float] = {}
    for value, count in values.items():
        bins[_index(value)] = bins.get(_index(value), 0) + count
    total = float(sum(value * count for value, count in values.items()))
    return Spread(sum(values.values()), total, float(min(values)), float(max(values)), bins)


def _damaged(seconds: list[Second], in_flight: int, damage: Damage, now: int) -> bytes:
    for second in seconds:
        match damage:
            case Damage.NULL:
                second.latency.total = float("inf")  # JSON has no infinity: it is written as null
            case Damage.INFINITE:
                second.latency = Spread(1, HUGE, HUGE, HUGE, {_index(1e300): 1})
                noted = Spread(1, HUGE, -HUGE, HUGE, {0: 1})
                second.series = [
                    Noted("MirrorDifference", {}, noted),
                    Noted("Invocations", {"TargetModel": "x"}, noted),
                ]
            case Damage.CONTRADICTORY:
                second.errors_5xx = second.invocations * 1000 + 1
                second.errors_4xx = -second.invocations
                second.latency = Spread(second.invocations, -1.0, 9e9, -9e9, {5: -3.0, -(2**40): 1e18})
            case Damage.FUTURE:
                second.second += (-1) ** second.second * 7200
    if damage is Damage.CONTRADICTORY:
        in_flight = -5
    return msgspec.json.encode(Page(seconds, in_flight))
