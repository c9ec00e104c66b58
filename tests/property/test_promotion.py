"""Promoting skips the bake of one stage, promoting fully that of all that are left, and neither skips more."""

from hypothesis import given
from hypothesis import strategies as st

from tests.samples import linear, percent, version
from tidegate.domain.rollout import Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands
from tidegate.simulation.faults import UserCommand, When
from tidegate.simulation.invariants import Invariants
from tidegate.simulation.world import World

WAIT = 600
STAGES = 5


def run_to_end(*script: UserCommand) -> World:
    config = linear(percent(20), WAIT, WAIT)
    world = make_updating_world(
        version("v1", 5), version("v2", 5), config, script=script, watchers=(Invariants(),)
    ).run(100_000)
    assert world.record is not None and world.record.serving is not None
    assert world.record.serving.config_name == "v2"
    return world


def shortened(world: World) -> list[int]:
    """Numbers of the stages that lasted less than their bake."""
    begun: dict[int, float] = {}
    for entry in world.journal:
        rollout = entry.record.rollout if entry.record else None
        if rollout is not None and rollout.phase is Phase.ACTIVATING_TRAFFIC:
            begun.setdefault(rollout.stage, entry.at)
        elif rollout is None or rollout.phase is Phase.TERMINATING:
            begun.setdefault(STAGES, entry.at)
    assert sorted(begun) == list(range(STAGES + 1))
    return [stage + 1 for stage in range(STAGES) if begun[stage + 1] - begun[stage] < WAIT]


whens = st.builds(
    When,
    st.sampled_from([Phase.ACTIVATING_TRAFFIC, Phase.BAKING]),
    st.integers(1, STAGES),
    st.sampled_from([0.0, 0.5, 60.0, 300.0]),
)


@given(whens, st.integers(1, 3))
def test_promoting_shortens_the_bake_of_one_stage_however_often_it_is_repeated(when: When, times: int) -> None:
    command = UserCommand(when, "promote", lambda e, now: commands.promote(e, "ann", now))
    assert shortened(run_to_end(*[command] * times)) == [when.nth]


@given(whens)
def test_promoting_fully_shortens_every_bake_that_is_left(when: When) -> None:
    command = UserCommand(when, "promote", lambda e, now: commands.promote_fully(e, "ann", now))
    assert shortened(run_to_end(command)) == list(range(when.nth, STAGES + 1))
