"""A short form of ``python -m bench.planted``: labels find planted harm, and leave honest retrains alone."""

import pytest

from bench.planted.__main__ import summary
from bench.planted.runs import Case, run_case

pytest.importorskip("xgboost", reason="xgboost is not installed")


@pytest.mark.parametrize(("name", "harmful"), [
    ("columns swapped", True),
    ("flipped label", True),
    ("constant score", True),
    ("time-zone shift", True),
    ("wrong category map", False),
    ("honest: new seed", False),
    ("honest: one more month", False),
    ("honest: one feature more", False),
])  # fmt: skip
def test_a_replay_finds_harm_and_nothing_else(name: str, harmful: bool) -> None:
    found = run_case(Case("attrition", name, 2))
    assert all(run.harm.is_harm is harmful for run in found.runs)
    assert all(bool(run.replay) is harmful for run in found.runs)
    assert all(run.requests["defaults"] is None for run in found.runs) or harmful
    assert len(summary([found])) == 3
