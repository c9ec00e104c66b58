"""Adds up what the gateways count. Pure but for what it remembers of the last call."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.ports.gateway_agent import FleetTotals, PassedTotals
from tidegate.ports.router import Passed

COUNTED = ("unanswered", "refused", "throttled", "unavailable")


@dataclass
class PassedCounts:
    _last: dict[str, PassedTotals] = field(default_factory=dict)
    """By gateway; those of gateways that are gone are dropped."""

    def since_last(self, totals: Mapping[str, PassedTotals]) -> dict[FleetId, Passed]:
        """``totals``: of every gateway that answered. An agent that was started anew counts from 0 on. What a first
        meeting shows may be of an earlier controller's time, and is left out."""
        counts: dict[str, Counter[str]] = {}
        now: dict[str, list[FleetTotals]] = {}
        for gateway, total in totals.items():
            before = self._last.get(gateway)
            for fleet, one in total.fleets.items():
                now.setdefault(fleet, []).append(one)
                counter = counts.setdefault(fleet, Counter())
                if before is None:
                    continue
                old = before.fleets.get(fleet, FleetTotals()) if before.boot == total.boot else FleetTotals()
                for name in COUNTED:
                    counter[name] += max(0, getattr(one, name) - getattr(old, name))
        self._last = dict(totals)
        return {FleetId.parse(fleet): _passed(counts[fleet], parts) for fleet, parts in now.items()}

    def down(self, fleet: FleetId) -> frozenset[str]:
        """Replicas that a gateway considers dead, as of the last call."""
        parts = [one for total in self._last.values() if (one := total.fleets.get(str(fleet))) is not None]
        return frozenset(name for one in parts for name in one.down)


def _passed(counts: Mapping[str, int], parts: list[FleetTotals]) -> Passed:
    waits = [one.queue_time for one in parts if one.queued]
    return Passed(
        unanswered=counts["unanswered"],
        refused=counts["refused"],
        throttled=counts["throttled"],
        unavailable=counts["unavailable"],
        in_flight=sum(one.in_flight for one in parts),
        queued=sum(one.queued for one in parts),
        queue_time=0.0
        if not waits
        else None
        if None in waits
        else max(wait for wait in waits if wait is not None),
        unserved=any(one.unserved for one in parts),
        down=frozenset(name for one in parts for name in one.down),
    )
