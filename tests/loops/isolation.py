"""Checks one plan: its world and, if it has a neighbour, the same world without it: one endpoint must not change
another's decisions."""

from dataclasses import replace

from tests.loops.ground_truth import RecordedDecision
from tests.loops.plans import WorldPlan
from tests.loops.world import LoopWorld
from tidegate.simulation.invariants import expect

MAX_SHIFT = 3.0
"""Seconds by which the same decision may shift, since tasks interleave differently."""
I3 = "I3 no endpoint changes another's decision"


def check_plan(plan: WorldPlan, timeline: list[tuple[float, str]] | None = None) -> LoopWorld:
    """Raises Broken. ``timeline`` gets what happens in the plan's own world."""
    world = LoopWorld(plan, timeline)
    world.run()
    if plan.neighbour is not None:
        alone = LoopWorld(replace(plan, neighbour=None)).run()
        _check_same_decisions(world.truth.decisions, alone.truth.decisions)
    return world


def _check_same_decisions(beside: list[RecordedDecision], alone: list[RecordedDecision]) -> None:
    told, expected = ([(d.rollout, d.phase, d.stage) for d in found] for found in (beside, alone))
    expect(told == expected, I3, f"{told} instead of {expected}")
    late = max((abs(one.at - other.at) for one, other in zip(beside, alone, strict=True)), default=0.0)
    expect(late <= MAX_SHIFT, I3, f"a decision came {late:.1f} s apart")
