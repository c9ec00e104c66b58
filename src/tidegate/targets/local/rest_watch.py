"""Looks at the replicas of all fleets at rest, in one loop for all of them.

A fleet at rest has what it should have, and nothing is known against any replica. Most fleets are at rest most of the
time, so they have no turns of their own: each replica is looked at here as often as in a turn and by the same
function, and the first look that finds anything else gives its fleet a turn at once. What else could end the rest
wakes the fleet by itself: a process that ends, a new desired state, a request that waits, news from the router.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol
from zlib import crc32

from tidegate.domain.fleet import FleetId
from tidegate.host.aligned_pauses import align

# --- how long a fleet's supervisor waits between two turns ---


BUSY_TURN = 0.05
"""Seconds between turns while replicas start or drain: bounds how late a ready replica is noticed."""
MEASURED_TURN = 0.1
"""Seconds between turns of a serverless fleet with replicas: how soon it grows."""
MOST_MEASURED = 300
"""Turns of all such fleets together in a second. With more than 30 of them each has its turn later: hundreds that
look ten times a second would leave the controller no time for anything else."""
IDLE_TURN = 1.0
REST_TURN = 120.0
"""Seconds between turns of a fleet at rest, at which ``RestWatch`` looks every ``IDLE_TURN``."""
FILES_TURN = 5.0
"""Seconds between looks whether the files of a fleet are still there."""
TROUBLE_TURN = 0.5
"""Seconds until the next turn when something could not be done."""
UNWELL_TURN = 0.25
"""Seconds between turns while a replica that was ready cannot answer."""


def measured_turn(fleets: int) -> float:
    """Seconds between turns of each of so many serverless fleets with replicas."""
    return max(MEASURED_TURN, fleets / MOST_MEASURED)


PARTS = 4
"""Parts of a round. Each fleet is always in the same one, so that it is looked at once in a round's time, and their
workers do not all wake up together to answer."""

log = logging.getLogger(__name__)


class RestingFleet(Protocol):
    part: int
    """``part_of`` its id."""

    @property
    def resting(self) -> bool: ...

    def glance(self, now: float) -> None:
        """Look at each replica; wake the fleet if anything is not as it should be. ``now``: the event loop's."""
        ...

    def kick(self) -> None: ...


async def watch(fleets: Callable[[], Iterable[RestingFleet]]) -> None:
    """Go round for ever: each fleet at rest is looked at once in ``IDLE_TURN`` seconds."""
    while True:
        parts: tuple[list[RestingFleet], ...] = tuple([] for _ in range(PARTS))
        for fleet in fleets():  # one that is made meanwhile has had its turn just now
            parts[fleet.part].append(fleet)
        for part in parts:
            look_at(part, asyncio.get_running_loop().time())
            await asyncio.sleep(align(IDLE_TURN / PARTS))


def part_of(fleet: FleetId) -> int:
    return crc32(str(fleet).encode()) % PARTS


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
