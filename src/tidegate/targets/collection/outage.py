"""Which requests failed for want of the platform, not of a version. Pure.

After the machine or the proxy was down, requests come before the replicas are back. No version is to blame for them,
and a version that is judged at that time must not be turned down for them. From the moment that a fleet had a replica
again, everything counts: a version that brings its own workers down does so while the platform is there.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import FleetStatus
from tidegate.ports.router import IDLE, PassedRequests

MOST = 10**12


@dataclass
class Outage:
    _begun: bool = False
    _down: set[FleetId] = field(default_factory=set)
    """Fleets that had no replica since."""

    def begin(self) -> None:
        """All replicas of all fleets were lost together."""
        self._begun = True

    def attribute(
        self, passed: Mapping[FleetId, PassedRequests], seen: Callable[[FleetId], FleetStatus | None]
    ) -> dict[FleetId, PassedRequests]:
        """Return the proxy's own answers, with the platform's share moved to ``unavailable``. ``seen`` returns the
        present state of a fleet. A fleet that fails to start while the platform is up is itself to blame."""
        if self._begun:
            self._begun, self._down = False, set(passed)
        loads = dict[FleetId, PassedRequests]()
        for fleet, load in passed.items():
            if load == IDLE and fleet not in self._down:
                loads[fleet] = IDLE
                continue
            loads[fleet] = sanitize(load)
            now = seen(fleet)
            recovered = now is not None and (now.ready > 0 or now.failure is not None)
            if fleet in self._down:
                loads[fleet] = _of_platform(loads[fleet])
                if recovered:
                    self._down.discard(fleet)
            elif load.unserved and recovered:
                # Only the proxy was away: its servers are those from before, and they were alive all the while.
                loads[fleet] = _of_version(loads[fleet])
        self._down &= loads.keys()
        return loads


def _of_platform(load: PassedRequests) -> PassedRequests:
    return replace(load, unavailable=load.unavailable + load.unanswered, unanswered=0, refused=0)


def _of_version(load: PassedRequests) -> PassedRequests:
    return replace(load, unanswered=load.unavailable + load.unanswered, unavailable=0)


def sanitize(load: PassedRequests) -> PassedRequests:
    """Return the same load with finite, bounded counts and times, whatever the proxy reported."""
    unanswered = _count(load.unanswered)
    return PassedRequests(
        unanswered=unanswered,
        refused=min(_count(load.refused), unanswered),
        throttled=_count(load.throttled),
        in_flight=_count(load.in_flight),
        queued=_count(load.queued),
        queue_time=_time(load.queue_time),
        unavailable=_count(load.unavailable),
        unserved=load.unserved,
    )


def _count(value: object) -> int:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return max(0, min(int(value), MOST))


def _time(value: object) -> float | None:
    """Return a time as a number; None if it is unbounded or implausible."""
    if not isinstance(value, int | float) or not 0 <= value <= MOST:
        return None
    return float(value)
