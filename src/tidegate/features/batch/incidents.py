"""How long a job waits for a storage or a disk in trouble, and when it gives up. Pure.

Tries count for one incident, which ends with the first progress, never for the life of an object. Times
are seconds of one clock.
"""

import os
from dataclasses import dataclass

from tidegate.storage.files import TRANSIENT

FIRST, LONGEST = 0.5, 30.0
"""Pauses between tries: the first, and the longest."""
PATIENCE = 3_600.0
"""How long one incident may last in a job that has no deadline of its own."""


@dataclass(frozen=True)
class Incident:
    """It began at ``since``, and this many tries have failed."""

    since: float
    tries: int = 1

    @property
    def pause(self) -> float:
        return min(LONGEST, FIRST * 2.0 ** min(self.tries - 1, 10))


def next_incident(incident: Incident | None, now: float, *, progressed: bool) -> Incident:
    """The incident after one more failure. ``progressed``: something was done since the previous one."""
    if incident is None or progressed:
        return Incident(now)
    return Incident(incident.since, incident.tries + 1)


def is_over(incident: Incident, now: float, deadline: float | None) -> bool:
    """Whether it has lasted too long. ``deadline``: of the job; None: it has none."""
    return now >= (incident.since + PATIENCE if deadline is None else deadline)


def passes(message: str) -> bool:
    """Whether a message is that of a transient error, for when only the message is known."""
    return any(os.strerror(code) in message for code in TRANSIENT)
