"""Worlds that were once broken, written out: each is a defect of the loops that a trial or the simulator found."""

from dataclasses import replace

import pytest

from tests.loops import faults as f
from tests.loops.faults import GuardEdit, PageDamage, VersionBehaviour
from tests.loops.ground_truth import MAIN
from tests.loops.isolation import check_plan
from tests.loops.machine import MachineTiming
from tests.loops.plans import VARIANT, Neighbour, WorldPlan
from tests.metric_alarm import metric_alarm
from tests.samples import canary, percent
from tidegate.domain.rollout import Phase
from tidegate.simulation.faults import Fault, RolloutSide, UserCommand, When
from tidegate.simulation.world import START

ERRORS = metric_alarm(
    START,
    dimensions={"EndpointName": MAIN, "VariantName": VARIANT},
    period=1,
    evaluation_periods=2,
    datapoints_to_alarm=2,
)
FAILING, SILENT, GOOD = VersionBehaviour(errors=1.0), VersionBehaviour(answers=False), VersionBehaviour()
FIRST, FINAL = When(Phase.BAKING, 1), When(Phase.BAKING, 2)


def turns(conduct: VersionBehaviour, when: When = FIRST, after: float = 0.0) -> Fault:
    return f.BehaviourChanges(replace(when, after=after), conduct)


def plan(*faults: Fault, neighbour: Neighbour | None = None, seed: int = 1) -> WorldPlan:
    """25 % for 8 s, then all for 8 s, guarded by an alarm on errors."""
    return WorldPlan(
        seed=seed,
        old_count=1,
        new_count=1,
        deployment=canary(percent(25), 8, 8, ("errors",)),
        guards=(ERRORS,),
        rate=12.0,
        physics=MachineTiming(),
        faults=faults,
        neighbour=neighbour,
    )


def at(when: When, after: float) -> When:
    return replace(when, after=after)


ROLLED_BACK: dict[str, WorldPlan] = {
    "the controller is stopped over the end of the bake": plan(
        turns(FAILING, after=6.0), f.ControllerFreezes(at(FIRST, 5.0), 20.0)
    ),
    "the controller dies and is away over the end of the bake": plan(
        turns(FAILING, after=6.0), f.ControllerDies(at(FIRST, 5.0), 3, 20.0)
    ),
    "the database is locked over the end of the bake": plan(
        turns(FAILING, after=6.0), f.DatabaseLocked(at(FIRST, 4.0), 30.0)
    ),
    "the disk is full and has room again": plan(turns(FAILING, after=6.0), f.DatabaseFull(at(FIRST, 4.0), 8.0)),
    "the disk is full for long": plan(turns(FAILING, after=1.0), f.DatabaseFull(FIRST, 60.0)),
    "the database is away for long": plan(turns(FAILING, after=1.0), f.DatabaseAway(FIRST, 60.0)),
    "the wall clock jumps ahead in the final bake": plan(
        turns(FAILING, FINAL, 1.0), f.ClockSteps(at(FINAL, 1.5), 3600.0)
    ),
    "the wall clock is set back": plan(turns(FAILING, after=1.0), f.ClockSteps(at(FIRST, 1.5), -90.0)),
    "the guard is deleted": plan(turns(FAILING, after=3.0), f.GuardEdited(at(FIRST, 1.0), GuardEdit.DELETE)),
    "the guard is redefined": plan(turns(FAILING, after=3.0), f.GuardEdited(at(FIRST, 1.0), GuardEdit.BLUNT)),
    "another endpoint's numbers add up to infinity": plan(
        turns(FAILING, after=1.0), neighbour=Neighbour(20.0, PageDamage.INFINITE)
    ),
    "another endpoint's alarms take long to judge": plan(
        turns(FAILING, after=1.0), neighbour=Neighbour(10.0, None, 20, 60, 0.05)
    ),
    "its own counts have nulls": plan(
        turns(FAILING, after=1.0), f.PagesDamaged(FIRST, 60.0, RolloutSide.NEW, PageDamage.NULL)
    ),
    "it never answers": plan(turns(SILENT, When(Phase.PROVISIONING))),
    "it answers no more from the second bake on": plan(turns(SILENT, When(Phase.ACTIVATING_TRAFFIC, 2))),
    "the step that was being saved when the guard fired lands after the way back": plan(
        turns(FAILING, FINAL, 10.0), f.DatabaseSlow(at(FINAL, 5.0), 20.0, 1.5)
    ),
}
SUCCEEDED: dict[str, WorldPlan] = {
    "nothing happens": plan(),
    "the machine crashes in the canary": plan(f.MachineCrashes(at(FIRST, 3.0), 5.0)),
    "the answer to the first commit is lost": plan(f.AnswersLost(When(Phase.PROVISIONING), 1)),
    "somebody writes the record while it is first taken up": plan(
        *[UserCommand(When(after=0.001 * ms), f.TOUCH) for ms in range(5)]
    ),
    "another endpoint's numbers contradict themselves": plan(neighbour=Neighbour(20.0, PageDamage.CONTRADICTORY)),
    "the wall clock jumps ahead": plan(f.ClockSteps(at(FIRST, 2.0), 3600.0)),
    "the wall clock is set back as the bake ends": plan(f.ClockSteps(at(FIRST, 8.0), -1.5)),
    "the proxy is away for all of a bake": plan(f.ProxyDies(at(FIRST, 0.2), 10.0)),
}
WORLDS = [(what, one, "RolledBack") for what, one in ROLLED_BACK.items()]
WORLDS += [(what, one, "Succeeded") for what, one in SUCCEEDED.items()]


@pytest.mark.parametrize(("one", "end"), [world[1:] for world in WORLDS], ids=[world[0] for world in WORLDS])
def test_a_world_that_broke_an_earlier_version_ends_as_it_should(one: WorldPlan, end: str) -> None:
    for seed in range(5):  # five orders of the same events
        assert check_plan(replace(one, seed=seed)).truth.decisions[-1].phase == end
