"""Runs one scenario on one target, and records how it went."""

from tests.conformance.lab import Lab
from tests.conformance.results import DIFFERENT, PASSED, record
from tests.conformance.scenarios import SCENARIOS


def run_scenario(lab: Lab, scenario: str, place: str = "") -> None:
    """A difference is recorded with its reason instead of a run: it is no skipped test. ``place``: what the target
    is made of, for the table."""
    if (why := lab.differences.get(scenario)) is not None:
        record(lab.target, scenario, DIFFERENT, why, place)
        return
    try:
        SCENARIOS[scenario](lab)
    except BaseException:
        record(lab.target, scenario, "failed", place=place)
        raise
    record(lab.target, scenario, PASSED, place=place)
