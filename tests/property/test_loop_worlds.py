"""The controller's real loops in random worlds: whatever fails around them, the invariants of the failure model hold.

``TIDEGATE_WORLDS`` says how many worlds. Of the repairs that ``test_loop_mutants.py`` takes out, seed 1,836 finds the
last one, so 2,000 show each; ``make soak`` runs a million.
A failure prints the command that replays it.
"""

import os

import pytest

from tests.loops.report import first_failure

pytestmark = pytest.mark.slow

WORLDS = int(os.environ.get("TIDEGATE_WORLDS", "2000"))
CHUNKS = 80
"""So that processes that run tests side by side share them out."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_invariants_hold_in_every_world(chunk: int) -> None:
    first, last = (WORLDS * place // CHUNKS for place in (chunk, chunk + 1))
    failure = first_failure(range(first, last))
    assert failure is None, f"\n{failure}"
