"""Looks at the replicas of all fleets at rest, in one loop for all of them.

A fleet at rest has what it should have, and nothing is known against any replica. Most fleets are at rest most of the
time, so they have no turns of their own: each replica is looked at here as often as in a turn and by the same
function, and the first look that finds anything else gives its fleet a turn at once. What else could end the rest
wakes the fleet by itself: a process that ends, a new desired state, a request that waits, news from the router.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tidegate.targets.local.poll_interval import IDLE_TURN

MOST_AT_ONCE = 16
"""Fleets that are looked at in one go; their workers wake up to answer."""
MOST_PARTS = 20
"""Parts of a round, which are spread over its time."""

log = logging.getLogger(__name__)


class RestingFleet(Protocol):
    @property
    def resting(self) -> bool: ...

    def glance(self, now: float) -> None:
        """Look at each replica; wake the fleet if anything is not as it should be. ``now``: the event loop's."""
        ...

    def kick(self) -> None: ...


async def watch(fleets: Callable[[], Iterable[RestingFleet]]) -> None:
    """Go round for ever: each fleet at rest is looked at once in ``IDLE_TURN`` seconds."""
    while True:
        parts = split([fleet for fleet in fleets() if fleet.resting])
        for part in parts:
            look_at(part, asyncio.get_running_loop().time())
            await asyncio.sleep(IDLE_TURN / len(parts))


def split(fleets: Sequence[RestingFleet]) -> list[Sequence[RestingFleet]]:
    """At least one part, which may be empty."""
    count = min(MOST_PARTS, max(1, -(-len(fleets) // MOST_AT_ONCE)))
    return [fleets[number::count] for number in range(count)]


def look_at(fleets: Iterable[RestingFleet], now: float) -> None:
    """A fleet whose look fails gets a turn, which says what is wrong."""
    for fleet in fleets:
        if not fleet.resting:
            continue
        try:
            fleet.glance(now)
        except Exception:
            log.debug("a look at a fleet failed", exc_info=True)
            fleet.kick()
