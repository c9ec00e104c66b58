"""A crash anywhere gives the same ending as none, and so does starting again from any line of the journal."""

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given

from tests.property import rollout_worlds as worlds
from tests.property.rollout_worlds import LONG, Setting, ended
from tests.samples import all_at_once, canary, instances, linear, percent, rolling, version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.rollout import DeploymentConfig, Phase
from tidegate.simulation.faults import AlarmTurns, ControllerCrash, CrashPoint, ScriptedEvent, When, WorldTiming
from tidegate.simulation.invariants import Invariants
from tidegate.simulation.world import World

CONFIGS = {
    "all at once": all_at_once(60, ("alarm",)),
    "canary": canary(percent(10), 300, 60),
    "linear": linear(percent(33), 300, 60),
    "rolling": rolling(instances(1), 300),
    "rolling, back in batches": rolling(percent(33), 300, instances(1)),
}
SCRIPTS: dict[str, tuple[ScriptedEvent, ...]] = {
    "good": (),
    "bad at first": (AlarmTurns(When(Phase.BAKING, 1, 30.0), "alarm", AlarmState.ALARM),),
    "bad at last": (AlarmTurns(When(Phase.ACTIVATING_TRAFFIC, 2, 0.5), "alarm", AlarmState.ALARM),),
}


def story(endpoint: Endpoint | None) -> tuple[object, ...]:
    """How it ended, without what a crash may shift: times, fences, the phase that its reason names."""
    assert endpoint is not None and endpoint.last is not None and endpoint.serving is not None
    last = endpoint.last
    return last.phase, last.stage, last.cause, endpoint.serving, endpoint.rejected


def journal_of(world: World) -> list[tuple[str, ...]]:
    return [tuple(event.kind for event in entry.events) for entry in world.journal if entry.events]


def has_lines(count: int, world: World) -> bool:
    return len(world.journal) >= count


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_crash_at_every_point_of_every_tick_ends_the_same(
    config: DeploymentConfig, script: tuple[ScriptedEvent, ...]
) -> None:
    setting = Setting(version("v1", 3), version("v2", 3), config, WorldTiming(latencies=(0.0, 2.0)), script)
    calm = setting.world(Invariants()).run(LONG, settled=ended)
    for nth in range(1, len(calm.journal)):
        for point in CrashPoint:
            struck = replace(setting, crashes=(ControllerCrash(nth, point, down=7.0),)).world(Invariants())
            struck.run(LONG, settled=ended)
            assert story(struck.record) == story(calm.record), (nth, point)


@given(worlds.settings(worlds.troubles))
def test_the_journal_folds_to_the_record_and_every_prefix_goes_on_to_the_same_end(setting: Setting) -> None:
    """The world is run up to each line of the journal; a fresh controller that knows that line alone goes on."""
    calm = replace(setting, script=(), physics=WorldTiming(latencies=(0.0, 2.0)))
    whole = calm.world(Invariants()).run(LONG, settled=ended)
    assert whole.journal[-1].record == whole.record
    for line in range(1, len(whole.journal)):
        part = calm.world(Invariants()).run(LONG, settled=partial(has_lines, line + 1))
        part.record = part.journal[-1].record
        part.wake(0.0)
        part.run(LONG, settled=ended)
        assert story(part.record) == story(whole.record)
        assert journal_of(part) == journal_of(whole)
