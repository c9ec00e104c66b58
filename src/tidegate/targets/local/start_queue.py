"""How many replicas of a machine start at one time, and which go first. Pure: the time is passed in, in seconds.

Starting is the heaviest thing that a replica does with a processor: the libraries are imported, the model is loaded.
Hundreds at once, as after a reboot, would all be late, those that clients wait for among them. So a start takes one
of a few slots and gives it back when the heavy part is over, or after a bounded time: a model that never loads must
not keep others from starting.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum

from tidegate.domain.fleet import FleetId

PER_CORE = 2
"""Starts at one time for each processor: an import waits for the disk in between."""
LONGEST_HELD = 5.0
"""Seconds that a start has a slot at the most."""
AGING = 300.0
"""Seconds of waiting after which a start is as urgent as a new one of the class above: none waits for ever, and the
first looks at hundreds of serverless fleets, which nobody waits for, keep no rollout from its instances."""
FURTHER = 0.5
"""Share of a class by which a further start of a fleet is less urgent than the first of another: without it, a large
fleet that wanted replicas at the same moment as a small one would get several before that gets its first."""
OFFERED_FOR = 1.0
"""Seconds that a slot is kept for who is next, which may be in the midst of something else."""


class Urgency(IntEnum):
    """The less, the sooner."""

    DOWN = 0
    """It takes traffic, or a request waits for it, and nothing of it is ready."""
    SHORT = 1
    """It takes traffic and has fewer replicas than it should."""
    NEW = 2
    """It takes no traffic yet: of a new endpoint, or of the new version in a rollout."""
    UNHURRIED = 3
    """Nobody waits: a serverless fleet that only shows that it can be served, a batch job."""

    def later(self) -> "Urgency":
        """The urgency of a start that follows a failed one."""
        return Urgency(min(self + 1, Urgency.UNHURRIED))


def default_limit() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return PER_CORE * cores


@dataclass(frozen=True)
class _WaitingFleet:
    """A fleet that wants to start a replica."""

    fleet: FleetId
    urgency: Urgency
    since: float
    kick: Callable[[], None]
    offered_at: float | None = None
    further: bool = False
    """It was admitted before, and wants to start more."""


def rank(waiting: _WaitingFleet, now: float) -> tuple[float, float]:
    """Return the rank of a waiting fleet; those with the least go first. A fleet that wants several replicas waits
    anew for each, and behind those that have had none, so that it does not keep others from their first."""
    later = FURTHER if waiting.further else 0.0
    return waiting.urgency + later - (now - waiting.since) / AGING, waiting.since


def urgency(
    *, routed: bool, waits: bool, running: bool, on_demand: bool, proven: bool, job: bool, failed: bool
) -> Urgency:
    """``waits``: a request does, for the first replica. ``on_demand``: a serverless fleet, which may be asleep;
    ``proven``: it has shown that it can be served. ``failed``: its last start did."""
    found = Urgency.NEW
    if waits or (routed and not on_demand):
        found = Urgency.SHORT if running else Urgency.DOWN
    elif job or (on_demand and not proven):
        found = Urgency.UNHURRIED
    elif routed:
        found = Urgency.SHORT
    return found.later() if failed else found


@dataclass
class StartQueue:
    """One for all fleets of a machine."""

    limit: int = field(default_factory=default_limit)
    _slots: dict[str, float] = field(default_factory=dict)
    """Replica -> since when it has a slot."""
    _waiting: dict[FleetId, _WaitingFleet] = field(default_factory=dict)
    _let_in: set[FleetId] = field(default_factory=set)
    """Fleets that have started replicas and may want more."""

    def admits(self, fleet: FleetId, urgency: Urgency, kick: Callable[[], None], now: float) -> bool:
        """Whether the fleet may start a replica now; then call ``begin``. Otherwise ``kick`` is called when it may.
        The fleet should still ask now and then."""
        self._expire(now)
        before = self._waiting.get(fleet)
        since = before.since if before is not None else now
        further = fleet in self._let_in
        mine = self._waiting[fleet] = _WaitingFleet(fleet, urgency, since, kick, further=further)
        ahead = sum(rank(other, now) < rank(mine, now) for other in self._waiting.values() if _takes(other, now))
        return ahead < self.limit - len(self._slots)

    def begin(self, fleet: FleetId, replica: str, now: float) -> None:
        """A replica of the fleet starts. If the fleet wants another, it waits from now on."""
        self._slots[replica] = now
        self._let_in.add(fleet)
        self._waiting.pop(fleet, None)

    def end(self, replica: str, now: float) -> None:
        """The heavy part of a start is over, one way or the other. Idempotent."""
        if self._slots.pop(replica, None) is not None:
            self._offer(now)

    def forget(self, fleet: FleetId, now: float) -> None:
        """The fleet no longer wants to start replicas."""
        self._let_in.discard(fleet)
        if self._waiting.pop(fleet, None) is not None:
            self._offer(now)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def holds(self, replica: str) -> bool:
        return replica in self._slots

    def _expire(self, now: float) -> None:
        late = [replica for replica, since in self._slots.items() if now - since >= LONGEST_HELD]
        for replica in late:
            del self._slots[replica]
        if late:
            self._offer(now)

    def _offer(self, now: float) -> None:
        free = self.limit - len(self._slots)
        best = sorted((one for one in self._waiting.values() if _takes(one, now)), key=lambda one: rank(one, now))
        for one in best[: max(0, free)]:
            if one.offered_at is None:
                self._waiting[one.fleet] = replace(one, offered_at=now)
                one.kick()


def _takes(waiting: _WaitingFleet, now: float) -> bool:
    """Return False for a fleet that was offered a slot and has not come for it: others go before it until it asks
    again."""
    return waiting.offered_at is None or now - waiting.offered_at < OFFERED_FOR
