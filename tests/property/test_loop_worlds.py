"""The controller's real loops in random worlds: whatever fails around them, the invariants of the failure model hold.

``TIDEGATE_WORLDS`` says how many worlds: of the first 2,000 seeds at least one shows each loss of
``test_loop_mutants.py`` (the last one is found by seed 1,836, the others within 300); ``make soak`` runs a million.
A failure prints the command that replays it.
"""

import os

import pytest

from tidegate.testing.loops.report import first_failure

WORLDS = int(os.environ.get("TIDEGATE_WORLDS", "2000"))
CHUNKS = 80
"""So that processes that run tests side by side share them out."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_invariants_hold_in_every_world(chunk: int) -> None:
    first, last = (WORLDS * place // CHUNKS for place in (chunk, chunk + 1))
    failure = first_failure(range(first, last))
    assert failure is None, f"\n{failure}"
