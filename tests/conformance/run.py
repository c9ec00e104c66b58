"""Runs one scenario on one target, and records how it went."""

from tests.conformance.lab import Lab
from tests.conformance.results import DIFFERENT, PASSED, record
from tests.conformance.scenarios import SCENARIOS


def run_scenario(lab: Lab, scenario: str) -> None:
    """A difference is recorded with its reason instead of a run: it is no skipped test."""
    if (why := lab.differences.get(scenario)) is not None:
        record(lab.target, scenario, DIFFERENT, why)
        return
    try:
        SCENARIOS[scenario](lab)
    except BaseException:
        record(lab.target, scenario, "failed")
        raise
    record(lab.target, scenario, PASSED)
