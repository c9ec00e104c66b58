"""One to ten times the traffic within ten seconds, by each rule, on the virtual clock. The figures that people read
come from ``python -m bench.scaling_sim``; here is what must stay true of them."""

import pytest

from bench.scaling_sim import OBJECTIVE, RULES, replayed
from tidegate.features.autoscaling.simulation import ScalingRun


@pytest.fixture(scope="module")
def runs() -> dict[str, ScalingRun]:
    return {name: replayed(name, start_up=2.0) for name in RULES}


def test_amazons_rule_takes_minutes(runs: dict[str, ScalingRun]) -> None:
    assert runs["target tracking, minutes"].breaches > 180
    assert 30 < runs["target tracking, 10 seconds"].breaches < runs["target tracking, minutes"].breaches


def test_the_fast_rule_is_back_inside_its_objective_within_ten_seconds(runs: dict[str, ScalingRun]) -> None:
    assert 0 < runs["fast"].back_after <= 10
    assert runs["fast"].changes <= 30


def test_a_known_peak_is_no_breach(runs: dict[str, ScalingRun]) -> None:
    known = runs["fast and calendar"]
    assert (known.breaches, known.longest_wait) == (0, 0.0)


def test_scaling_costs_less_than_what_the_peak_needs_all_day(runs: dict[str, ScalingRun]) -> None:
    always = runs["none, ten instances"]
    assert always.breaches == 0
    assert runs["fast and calendar"].instance_hours < 0.6 * always.instance_hours
    assert runs["none, one instance"].longest_wait > 60 * OBJECTIVE


@pytest.mark.parametrize("name", ["fast", "fast and calendar"])
def test_nothing_waits_when_the_peak_is_over(runs: dict[str, ScalingRun], name: str) -> None:
    """Scaling in loses nobody: no queue comes up in the hour after the peak."""
    late = [moment for moment in runs[name].moments if moment.at > runs[name].moments[3700].at]
    assert max(moment.wait for moment in late) == 0.0
    assert late[-1].ready <= 2
