"""Chooses the models to evict when memory is short. Pure: times are passed in, nothing is measured here.

Models stay that are expensive to reload: a model's *worth* is

    requests x time to load / memory

where requests are those of the recent past, with a half-life of ``half_life`` seconds. All counts decay alike, so the
order of two models changes only at a request, and the logarithm of the worth, related to a fixed time, is constant
between requests. ``Ranking`` keeps these in a heap and corrects an entry when it reaches the top, so that the cost of
an eviction is logarithmic in the number of models.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

HALF_LIFE = 1800.0
"""Seconds. Long compared with the pauses between a client's requests, short compared with a working day."""
_STAY = 100.0
"""Minimum stay, as a multiple of the time to load."""
_OWN = 16 * 2**20
"""Bytes by which a process grows whatever it serves."""
_QUICKEST = 1e-4
"""Least seconds of a load: the cost of finding the file."""


@dataclass(slots=True)
class RequestRate:
    """Exponentially decayed count of requests, as of ``at`` (seconds)."""

    count: float = 0.0
    at: float = 0.0

    def touch(self, now: float, half_life: float = HALF_LIFE) -> None:
        self.count = self.now(now, half_life) + 1.0
        self.at = now

    def now(self, now: float, half_life: float = HALF_LIFE) -> float:
        return self.count * math.pow(2.0, (self.at - now) / half_life)

    def rate(self, now: float, half_life: float = HALF_LIFE) -> float:
        """Requests per second at a steady rate."""
        return self.now(now, half_life) * math.log(2) / half_life

    def logarithm(self, half_life: float) -> float:
        """Logarithm of the count, comparable between counts of different times."""
        return math.log2(self.count) + self.at / half_life if self.count > 0 else -math.inf


@dataclass(slots=True)
class CacheRank:
    """The data of one loaded model for the ranking. ``size`` in bytes, times in seconds."""

    heat: RequestRate
    size: int
    load_time: float
    loaded_at: float
    pinned: bool = False

    def stays_until(self, minimum_stay: float) -> float:
        """End of the minimum stay: a hundred times its load time, at most ``minimum_stay`` seconds. A model that
        loads quickly need not stay while busier ones are evicted."""
        return self.loaded_at + min(minimum_stay, _STAY * self.load_time)

    def worth(self, half_life: float = HALF_LIFE) -> float:
        """Logarithm of the worth, as above."""
        price = max(self.load_time, _QUICKEST) / max(1, self.size)
        return self.heat.logarithm(half_life) + math.log2(price)


@dataclass(frozen=True)
class Eviction:
    """The models to evict for an admission, in order; ``enough``: whether they free enough memory. ``wait_until``: if
    not, when the next minimum stay ends (None: waiting does not help)."""

    victims: tuple[str, ...]
    enough: bool
    wait_until: float | None = None


class Ranking:
    """Loaded models by worth. Call ``put`` after every change of a rank, except for more requests."""

    def __init__(self, half_life: float = HALF_LIFE) -> None:
        self._half_life = half_life
        self._standings: dict[str, CacheRank] = {}
        self._heap: list[tuple[float, str, int]] = []
        self._serial: dict[str, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._standings)

    def __contains__(self, name: str) -> bool:
        return name in self._standings

    def put(self, name: str, standing: CacheRank) -> None:
        self._standings[name] = standing
        if not standing.pinned:
            self._push(name, standing)

    def remove(self, name: str) -> None:
        self._standings.pop(name, None)
        self._serial.pop(name, None)
        if len(self._heap) > 64 + 2 * len(self._standings):
            self._heap = [item for item in self._heap if self._serial.get(item[1]) == item[2]]
            heapq.heapify(self._heap)

    def room(self, need: int, now: float, minimum_stay: float, spared: Callable[[str], bool]) -> Eviction:
        """Choose the models of least worth that together free ``need`` bytes, without pinned ones, ``spared`` ones
        and those within their minimum stay. The ranking is not changed."""
        victims: list[str] = []
        found, soonest = 0, math.inf
        looked: list[str] = []
        while found < need and (name := self._coldest()) is not None:
            looked.append(name)
            standing = self._standings[name]
            if spared(name):
                continue
            if now < (until := standing.stays_until(minimum_stay)):
                soonest = min(soonest, until)
                continue
            victims.append(name)
            found += standing.size
        for name in looked:
            self._push(name, self._standings[name])
        for name in reversed(victims):  # after a large one, small ones before it may stay
            if found - self._standings[name].size >= need:
                found -= self._standings[name].size
                victims.remove(name)
        enough = found >= need
        return Eviction(tuple(victims), enough, None if enough or soonest == math.inf else soonest)

    def _push(self, name: str, standing: CacheRank) -> None:
        self._next += 1
        self._serial[name] = self._next
        heapq.heappush(self._heap, (standing.worth(self._half_life), name, self._next))

    def _coldest(self) -> str | None:
        """Pop the name of least worth."""
        while self._heap:
            worth, name, serial = heapq.heappop(self._heap)
            if self._serial.get(name) != serial:
                continue
            current = self._standings[name].worth(self._half_life)
            if current <= worth:
                return name
            self._push(name, self._standings[name])  # it has had requests since
        return None


def capacity(budget: int, held: int, grown: int) -> int:
    """Bytes of measured models that fit into ``budget`` bytes of real memory.

    ``held`` is the sum of the models' measured bytes, ``grown`` the growth of the process. If it grew by more
    (fragmentation, memory pools of libraries) the capacity is lower, but at least four fifths: memory that evictions
    cannot free must not evict all models."""
    if held <= 0 or grown - _OWN <= held:
        return budget
    return int(budget / min(1.25, (grown - _OWN) / held))
