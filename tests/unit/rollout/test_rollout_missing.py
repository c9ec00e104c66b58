"""Parts of a fleet that somebody removed are requested again, hold a rollout, and do not delay its rollback."""

from dataclasses import replace
from datetime import timedelta

from tests.samples import canary, instances, version
from tidegate.domain.observation import EnsureFleet, Observation, SetTraffic
from tidegate.domain.rollout import Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands
from tidegate.rollout.step import step
from tidegate.simulation.world import World

BAKE = 600


def baking() -> World:
    world = make_updating_world(version("v1", 3), version("v2", 3), canary(instances(1), BAKE, 300), script=())
    return world.run(150)


def without_secret(seen: Observation) -> Observation:
    assert seen.fleets is not None
    new = max(seen.fleets)
    return replace(seen, fleets={**seen.fleets, new: replace(seen.fleets[new], missing=("Secret x",))})


def test_fleet_with_something_missing_is_requested_again_and_holds_the_rollout() -> None:
    world = baking()
    record = world.record
    assert record is not None and record.rollout is not None and record.rollout.phase is Phase.BAKING
    later = world.instant() + timedelta(seconds=2 * BAKE)
    seen = world.look()
    assert seen.guard_check is not None
    fresh = replace(seen, guard_check=replace(seen.guard_check, judged_at=later, through=later))
    advanced = step(record, fresh, later).endpoint
    assert advanced is not None and advanced.rollout is not None and advanced.rollout.stage == 1
    held = step(record, without_secret(fresh), later)
    assert held.endpoint == record
    [action] = held.actions
    assert isinstance(action, EnsureFleet) and action.spec.id == max(seen.fleets or ())


def test_abort_moves_the_traffic_before_anything_is_restored() -> None:
    world = baking()
    assert world.record is not None
    aborted = commands.abort(world.record, "", world.instant())
    decision = step(aborted, without_secret(world.look()), world.instant())
    first = decision.actions[0]
    assert isinstance(first, SetTraffic) and {route.fleet.generation for route in first.table.routes} == {1}
