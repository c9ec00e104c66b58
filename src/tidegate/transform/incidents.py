"""Trouble that passes: how long a job waits for a storage or a disk, and when it gives up. Pure.

Tries are counted for one incident, which ends with the first progress, and never over the life of an object. Times
are seconds of one clock.
"""

import errno
import os
from dataclasses import dataclass

FIRST, LONGEST = 0.5, 30.0
"""Pauses between tries: the first, and the longest."""
PATIENCE = 3_600.0
"""How long one incident may last in a job that has no deadline of its own."""

PASSING = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN),
        *(errno.EBUSY, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EHOSTDOWN, errno.ENOTCONN),
    }
)
"""Errors of a file system that pass when somebody frees space or mends the disk."""


@dataclass(frozen=True)
class Incident:
    """It began at ``since`` and has cost this many tries."""

    since: float
    tries: int = 1

    @property
    def pause(self) -> float:
        return min(LONGEST, FIRST * 2.0 ** min(self.tries - 1, 10))


def after(incident: Incident | None, now: float, *, progressed: bool) -> Incident:
    """After one more failure. ``progressed``: something was done since the one before."""
    if incident is None or progressed:
        return Incident(now)
    return Incident(incident.since, incident.tries + 1)


def over(incident: Incident, now: float, deadline: float | None) -> bool:
    """Whether it has lasted too long. ``deadline``: of the job; None: it has none."""
    return now >= (incident.since + PATIENCE if deadline is None else deadline)


def passes(message: str) -> bool:
    """Whether a message is of an error that passes, where there is no more than the message."""
    return any(os.strerror(code) in message for code in PASSING)
