"""Runs one scenario on one target, and records how it went."""

import os
from collections.abc import Sequence

from tests.conformance.lab import Lab
from tests.conformance.results import DIFFERENT, PASSED, VARIABLE, record
from tests.conformance.scenarios import SCENARIOS


def run_scenario(lab: Lab, scenario: str, place: str = "", remark: str = "", of: str = "") -> None:
    """A difference is recorded with its reason instead of a run: it is no skipped test. ``place``: what the target
    is made of, for the table; ``remark``: what is different about it there, though it passes; ``of``: what its models
    are, for a column beside that of tidegate's own runtimes."""
    column = f"{lab.target}, {of}" if of else lab.target
    if (why := lab.differences.get(scenario)) is not None:
        record(column, scenario, DIFFERENT, why, place)
        return
    try:
        SCENARIOS[scenario](lab)
    except BaseException:
        record(column, scenario, "failed", place=place)
        raise
    record(column, scenario, PASSED, remark, place)


def scenarios(quick: Sequence[str]) -> Sequence[str]:
    """Every scenario in a run that writes the table (``make conformance``), else those that are ``quick``."""
    assert set(quick) <= set(SCENARIOS)
    return list(SCENARIOS) if os.environ.get(VARIABLE) else quick
