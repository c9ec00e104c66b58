"""A creation that failed is replaced by the next one, whatever goes wrong meanwhile: nothing of the first is left."""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.property import rollout_worlds as worlds
from tests.samples import version
from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import DeploymentConfig, Phase
from tidegate.domain.traffic import WHOLE
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands
from tidegate.simulation.faults import ScriptedEvent, WorldTiming
from tidegate.simulation.invariants import Invariants
from tidegate.simulation.world import World


def replace_failed(endpoint: Endpoint, now: datetime) -> Endpoint:
    request = VersionRequest(version("v2", 3), DeploymentConfig(), now, "ann")
    name = f"again-{endpoint.generation}"
    return commands.replace_failed_creation(endpoint, request, rollout_id=name, can=Capabilities(), now=now)


def fail_creation(physics: WorldTiming, script: tuple[ScriptedEvent, ...], at: float) -> World:
    """A creation that somebody aborts after ``at`` seconds if it is still being provisioned: later a write of its
    routes may be on its way, which the engine, unlike this world, would wait for."""
    world = make_updating_world(
        None, version("v1", 2), DeploymentConfig(), physics=physics, script=script, watchers=(Invariants(),)
    )
    world.run(at, settled=worlds.ended)
    rollout = world.record.rollout if world.record else None
    if rollout is not None and rollout.phase is Phase.PROVISIONING:
        world.do("abort", lambda endpoint, now: commands.abort(endpoint, "ann", now))
    return world


@given(
    worlds.physics,
    st.lists(st.one_of(worlds.deaths, worlds.blindness, worlds.failing, worlds.forgetting), max_size=3).map(tuple),
    st.sampled_from([0.0, 0.5, 1.0, 5.0, 31.0]),
    st.sampled_from([0.0, 0.1, 2.0, 60.0]),
)
def test_the_next_creation_serves_and_nothing_of_the_failed_one_is_left(
    physics: WorldTiming, script: tuple[ScriptedEvent, ...], abort_at: float, wait: float
) -> None:
    world = fail_creation(physics, script, abort_at)
    for _ in range(len(script) + 2):
        if world.record is not None and world.record.failed:
            before = world.record.generation
            world.run(world.now + wait)
            world.target.broken.clear()
            world.do("deploy", replace_failed)
            assert world.record.failed is False and world.record.generation == before + 1
        world.run(world.now + worlds.LONG, settled=worlds.ended)
        world.run(world.now + worlds.DAY)
    record, seen = world.record, world.look()
    assert (
        record is not None and record.serving is not None and seen.routes is not None and seen.fleets is not None
    )
    assert record.last is not None and record.last.phase is Phase.SUCCEEDED and record.failure_reason is None
    assert seen.routes.share_of(record.serving.generation) == WHOLE
    assert {fleet.generation for fleet in seen.fleets} == {record.serving.generation}
