"""The rest of an endpoint's life: creation, repair, scaling in place, strays, an older life, deletion."""

from tests.samples import version
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import SetTraffic
from tidegate.domain.rollout import DeploymentConfig, Phase
from tidegate.domain.traffic import Route, RouteTable
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world, simulate
from tidegate.rollout import commands
from tidegate.rollout.commands import VariantChange
from tidegate.simulation.faults import (
    ObservationGap,
    ReplicasDie,
    RolloutSide,
    RouterRestarts,
    StartsFail,
    When,
    WorldTiming,
)
from tidegate.simulation.invariants import Invariants
from tidegate.simulation.world import World


def created(count: int = 2) -> World:
    world = make_updating_world(
        None, version("v1", {"a": count, "b": 1}), DeploymentConfig(), watchers=(Invariants(),)
    )
    world.run(100)
    assert world.record is not None and world.record.serving is not None
    return world


def scale(world: World, variant: str, weight: float | None = None, count: int | None = None) -> None:
    world.do("scale", lambda e, now: commands.scale(e, {variant: VariantChange(weight, count)}, now))
    assert not world.refused


def record(world: World) -> Endpoint:
    assert world.record is not None
    return world.record


def shares(world: World) -> dict[str, int]:
    return {route.fleet.variant: route.share for route in world.target.routes("simulated").routes}


def ready(world: World, variant: str) -> int:
    return world.target.fleets[FleetId("simulated", 1, variant)].seen().ready


def test_a_creation_that_fails_says_why_and_leaves_nothing() -> None:
    failing = StartsFail(When(), RolloutSide.NEW, "model.ubj is not an XGBoost model")
    world = make_updating_world(
        None, version("v1"), DeploymentConfig(), script=(failing,), watchers=(Invariants(),)
    )
    world.run(10_000)
    end = record(world)
    assert end.failed and end.serving is None and world.target.fleets == {}
    assert end.failure_reason == (
        "The creation failed: v1 could not be run: variant AllTraffic: model.ubj is not an XGBoost model."
    )
    assert end.last is not None and end.last.phase is Phase.FAILED


def test_a_creation_that_takes_too_long_fails() -> None:
    timeline = simulate(None, version("v1"), DeploymentConfig(), startup=10_000)
    assert timeline.phase is Phase.FAILED and timeline.seconds == 1440


def test_an_endpoint_takes_requests_only_when_every_replica_is_ready() -> None:
    world = make_updating_world(
        None, version("v1"), DeploymentConfig(), physics=WorldTiming(startups=(10.0, 50.0))
    )
    world.run(49)
    assert shares(world) == {}
    world.run(51)
    assert shares(world) == {"AllTraffic": 10_000}


def test_lost_replicas_and_a_router_that_forgot_are_put_right() -> None:
    world = created(3)
    world.inject(ReplicasDie(When(), RolloutSide.OLD, 2))
    world.inject(RouterRestarts(When()))
    world.wake(0.0)
    world.run(world.now + 100)
    assert ready(world, "a") == 3 and sum(shares(world).values()) == 10_000


def test_more_weight_waits_for_more_capacity() -> None:
    world = created()
    world.do(
        "scale",
        lambda e, now: commands.scale(
            e, {"a": VariantChange(weight=3.0, count=4), "b": VariantChange(weight=1.0)}, now
        ),
    )
    world.run(world.now + 29)
    assert shares(world) == {"a": 5_000, "b": 5_000} and record(world).scaling is not None
    world.run(world.now + 5)
    assert shares(world) == {"a": 7_500, "b": 2_500} and record(world).scaling is None


def test_a_change_that_cannot_be_had_is_put_back() -> None:
    world = created()
    world.inject(StartsFail(When(), RolloutSide.OLD, "no memory left"))
    scale(world, "a", count=5)
    world.run(world.now + 40)
    end = record(world)
    assert end.serving is not None and end.serving.counts(10_000) == {"a": 2, "b": 1}
    assert end.failure_reason == "Weights and capacities were put back: variant a: no memory left."
    world.run(world.now + 4_000)
    assert record(world).scaling is None and ready(world, "a") == 2


def test_a_variant_without_instances_takes_no_requests() -> None:
    world = created()
    scale(world, "b", count=0)
    world.run(world.now + 100)
    assert shares(world) == {"a": 10_000} and ready(world, "b") == 0


def test_a_stray_fleet_of_another_generation_is_removed() -> None:
    world = created()
    stray = FleetId("simulated", 7, "a")
    world.target.ensure_fleet(FleetSpec(stray, "late", version("v1").variants[0], 1), 0)
    world.wake(0.0)
    world.run(world.now + 100)
    assert stray not in world.target.fleets


def test_a_table_left_by_an_earlier_life_of_the_name_is_outbid() -> None:
    world = created()
    foreign = RouteTable("simulated", 900, (Route(FleetId("simulated", 1, "a"), 10_000),))
    world.target.set_traffic(foreign)
    world.wake(0.0)
    world.run(world.now + 10)
    assert shares(world) == {"a": 5_000, "b": 5_000}
    assert world.target.routes("simulated").fence == 901


def test_deleting_takes_it_off_the_router_before_its_replicas_go() -> None:
    world = created()
    world.do("delete", lambda e, now: commands.delete(e, now))
    before = world.look()
    decision = world.step(record(world), before, world.instant())
    assert [type(action) for action in decision.actions] == [SetTraffic]
    world.run(world.now + 100)
    assert world.record is None and world.target.fleets == {} and shares(world) == {}
    assert [event.kind for entry in world.journal for event in entry.events][-1] == "endpoint.Deleted"


def test_deleting_waits_while_it_cannot_see() -> None:
    world = created()
    world.inject(ObservationGap(When(), 500.0, fleets=True))
    world.do("delete", lambda e, now: commands.delete(e, now))
    world.run(world.now + 400)
    assert world.record is not None
    world.run(world.now + 200)
    assert world.record is None


def test_what_drains_too_long_is_reported_and_removed_later() -> None:
    world = make_updating_world(
        version("v1"), version("v2"), DeploymentConfig(), physics=WorldTiming(drains=(5_000.0,))
    )
    world.run(20_000)
    kinds = [event.kind for entry in world.journal for event in entry.events]
    assert kinds[-2:] == ["rollout.Succeeded", "rollout.LeftOver"]
    assert {id.generation for id in world.target.fleets} == {2}
