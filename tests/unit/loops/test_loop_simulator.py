"""The simulator of the controller's loops: seeds replay, failures shrink, the truth is what it says."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.loops import faults as f
from tests.loops import report
from tests.loops.faults import VersionBehaviour
from tests.loops.guards import make_guard
from tests.loops.isolation import check_plan
from tests.loops.machine import VersionTally
from tests.loops.plans import WorldPlan, draw_plan
from tests.loops.world import LoopWorld
from tests.metric_alarm import metric_alarm
from tidegate.simulation.faults import When
from tidegate.simulation.invariants import InvariantBroken
from tidegate.simulation.world import START

DIGEST = """
import hashlib
from tests.loops.plans import draw_plan
from tests.loops.report import replay
plans = [draw_plan(seed) for seed in range(40)]
print(hashlib.sha256("".join(str(replay(p, tuple(range(len(p.faults))))) for p in plans).encode()).hexdigest())
"""


def test_a_seed_is_the_same_world_in_every_process() -> None:
    def digest(hashes: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hashes}
        return subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, check=True, text=True
        ).stdout

    assert digest("1") == digest("2")


def test_a_failing_version_is_rolled_back_and_a_good_one_is_not() -> None:
    for seed in range(20):
        good = replace(draw_plan(seed), faults=(), neighbour=None)
        bad = replace(good, faults=(f.BehaviourChanges(When(), VersionBehaviour(errors=1.0, latency=3_000_000)),))
        assert [LoopWorld(plan).run().truth.decisions[-1].phase for plan in (good, bad)] == [
            "Succeeded",
            "RolledBack",
        ]


def test_a_failure_is_shrunk_to_the_faults_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(plan: WorldPlan, timeline: object = None) -> None:
        kinds = {type(fault) for fault in plan.faults}
        if {f.ClockSteps, f.ProxyDies} <= kinds:
            raise InvariantBroken("I9 both")

    monkeypatch.setattr(report, "check_plan", breaks)
    seeds = (seed for seed in range(100_000))
    found = report.first_failure(seeds)
    assert found is not None
    assert {type(found.plan.faults[place]) for place in found.keep} == {f.ClockSteps, f.ProxyDies}
    assert len(found.keep) == 2
    assert found.command in str(found)


def test_a_replay_says_what_happened() -> None:
    plan = draw_plan(1)
    text = str(report.replay(plan, tuple(range(len(plan.faults)))))
    assert "controller 1 starts" in text
    assert "record: rollout." in text


def test_neighbours_are_compared_with_a_world_without_them() -> None:
    plan = next(
        p
        for p in map(draw_plan, range(200))
        if p.neighbour is not None and p.neighbour.damage is f.PageDamage.LATE
    )
    assert check_plan(plan).truth.decisions


def test_a_guard_is_due_only_when_every_window_breaches() -> None:
    alarm = metric_alarm(
        START, name="a", dimensions={}, period=2, evaluation_periods=3, datapoints_to_alarm=2, threshold=0.5
    )
    one = make_guard(alarm)
    failing, well = VersionTally(requests=4, failed=4), VersionTally(requests=4)
    for second in range(5):
        one.second([failing], float(second))
    assert one.due_since is None
    one.second([failing], 5.0)
    assert one.due_since == 5.0
    one.second([failing, well, well], 6.0)
    assert one.due_since is None
    one.second([], 7.0)
    assert one.breaching == 0
