"""The controller's real loops in random worlds: whatever fails around them, the invariants of the failure model hold.

``TIDEGATE_WORLDS`` says how many worlds: as many as 2 cores run in three minutes; ``make soak`` runs a million.
A failure prints the command that replays it. Four files run a quarter each, since processes that run tests side by
side share out whole files.
"""

import os

from tidegate.testing.loops.report import first_failure

WORLDS = int(os.environ.get("TIDEGATE_WORLDS", "3600"))
CHUNKS = 20
"""Of a quarter: each is a test, and has the time limit of one."""


def check_worlds(quarter: int, chunk: int) -> None:
    place = quarter * CHUNKS + chunk
    first, last = (WORLDS * bound // (4 * CHUNKS) for bound in (place, place + 1))
    failure = first_failure(range(first, last))
    assert failure is None, f"\n{failure}"
