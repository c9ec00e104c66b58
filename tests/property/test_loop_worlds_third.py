"""The third quarter of the random worlds."""

import pytest

from tests.property.loop_worlds import CHUNKS, check_worlds


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_invariants_hold_in_every_world(chunk: int) -> None:
    check_worlds(2, chunk)
