"""Which model to let go when memory is short. Pure: times are passed in, nothing is measured here.

What is kept is what is expensive to have away: a model's *worth* is

    heat x time to load / memory

with heat the number of its recent requests, each counting half after ``half_life`` seconds. All heats decay alike, so
the order of two models changes only when one is asked; the logarithm of the worth, brought to one point of time, is
a number that stays. ``Ranking`` keeps these in a heap and corrects an entry when it comes to the top, which makes the
cost of an eviction logarithmic with any number of models.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

HALF_LIFE = 1800.0
"""Seconds. Long beside the pauses between one client's requests, short beside a working day."""
_STAY = 100.0
"""Times its time to load."""
_OWN = 16 * 2**20
"""Bytes that a process grows by itself, whatever it serves."""
_QUICKEST = 1e-4
"""Seconds: a load is never taken for cheaper than this, which is what looking for the file costs."""


@dataclass(slots=True)
class Heat:
    """Decayed count of requests as of ``at`` (seconds)."""

    count: float = 0.0
    at: float = 0.0

    def touch(self, now: float, half_life: float = HALF_LIFE) -> None:
        self.count = self.now(now, half_life) + 1.0
        self.at = now

    def now(self, now: float, half_life: float = HALF_LIFE) -> float:
        return self.count * math.pow(2.0, (self.at - now) / half_life)

    def rate(self, now: float, half_life: float = HALF_LIFE) -> float:
        """Requests per second, were they to go on like this."""
        return self.now(now, half_life) * math.log(2) / half_life

    def logarithm(self, half_life: float) -> float:
        """Comparable between heats of different times."""
        return math.log2(self.count) + self.at / half_life if self.count > 0 else -math.inf


@dataclass(slots=True)
class Standing:
    """What the ranking knows of one loaded model. ``size`` in bytes, times in seconds."""

    heat: Heat
    size: int
    load_time: float
    loaded_at: float
    pinned: bool = False

    def stays_until(self, minimum_stay: float) -> float:
        """So long that loading it took a hundredth of the time, but not longer than ``minimum_stay`` seconds: what
        comes back in a moment need not be held while what is asked more goes."""
        return self.loaded_at + min(minimum_stay, _STAY * self.load_time)

    def worth(self, half_life: float = HALF_LIFE) -> float:
        """The logarithm, as above."""
        price = max(self.load_time, _QUICKEST) / max(1, self.size)
        return self.heat.logarithm(half_life) + math.log2(price)


@dataclass(frozen=True)
class Room:
    """What an admission comes to: models to let go, in order; ``enough`` says whether they make the room.
    ``wait_until``: where they do not, when the next one will have stayed its time (None: no time helps)."""

    victims: tuple[str, ...]
    enough: bool
    wait_until: float | None = None


class Ranking:
    """Loaded models by worth. Every change of a standing but a growing heat must be told with ``put``."""

    def __init__(self, half_life: float = HALF_LIFE) -> None:
        self._half_life = half_life
        self._standings: dict[str, Standing] = {}
        self._heap: list[tuple[float, str, int]] = []
        self._serial: dict[str, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._standings)

    def __contains__(self, name: str) -> bool:
        return name in self._standings

    def put(self, name: str, standing: Standing) -> None:
        self._standings[name] = standing
        if not standing.pinned:
            self._push(name, standing)

    def remove(self, name: str) -> None:
        self._standings.pop(name, None)
        self._serial.pop(name, None)
        if len(self._heap) > 64 + 2 * len(self._standings):
            self._heap = [item for item in self._heap if self._serial.get(item[1]) == item[2]]
            heapq.heapify(self._heap)

    def room(self, need: int, now: float, minimum_stay: float, spared: Callable[[str], bool]) -> Room:
        """The models of least worth that together hold ``need`` bytes. Pinned ones, ``spared`` ones and those that
        have not stayed their time are none of them. The ranking itself is not changed."""
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
        for name in reversed(victims):  # a large one makes small ones before it needless
            if found - self._standings[name].size >= need:
                found -= self._standings[name].size
                victims.remove(name)
        enough = found >= need
        return Room(tuple(victims), enough, None if enough or soonest == math.inf else soonest)

    def _push(self, name: str, standing: Standing) -> None:
        self._next += 1
        self._serial[name] = self._next
        heapq.heappush(self._heap, (standing.worth(self._half_life), name, self._next))

    def _coldest(self) -> str | None:
        """The name of least worth, taken off the heap."""
        while self._heap:
            worth, name, serial = heapq.heappop(self._heap)
            if self._serial.get(name) != serial:
                continue
            current = self._standings[name].worth(self._half_life)
            if current <= worth:
                return name
            self._push(name, self._standings[name])  # it has been asked since
        return None


def capacity(budget: int, held: int, grown: int) -> int:
    """Bytes of measured models that fit into ``budget`` bytes of real memory.

    ``held`` is the sum of what the models were measured to take, ``grown`` what the process really grew by. Where it
    grew by more (fragments, the library's own pools), less is admitted, but never less than four fifths: what cannot
    be got back by letting models go must not make all of them go."""
    if held <= 0 or grown - _OWN <= held:
        return budget
    return int(budget / min(1.25, (grown - _OWN) / held))
