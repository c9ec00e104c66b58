"""The controller's real loops in random worlds: whatever fails around them, the invariants of the failure model hold.

``TIDEGATE_WORLDS`` says how many worlds: as many as 2 cores run in three minutes; ``make soak`` runs a million.
A failure prints the command that replays it.
"""

import os

import pytest

from tidegate.testing.loops.report import first_failure

WORLDS = int(os.environ.get("TIDEGATE_WORLDS", "3600"))
CHUNKS = 80
"""So that processes that run tests side by side share them out."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_invariants_hold_in_every_world(chunk: int) -> None:
    first, last = (WORLDS * place // CHUNKS for place in (chunk, chunk + 1))
    failure = first_failure(range(first, last))
    assert failure is None, f"\n{failure}"
