"""What Describe shows in each state, in SageMaker's words."""

from dataclasses import replace

from tests.samples import canary, instances, percent, rolling, version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import DeploymentConfig, Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands, desired_state
from tidegate.rollout.commands import VariantChange
from tidegate.rollout.status import EndpointStatus, VariantView, status, variant_views
from tidegate.simulation.faults import AlarmTurns, RolloutSide, StartsFail, When, WorldTiming
from tidegate.simulation.world import World

CANARY = canary(instances(1), 600, 300)


def update(config: DeploymentConfig = CANARY, *script: AlarmTurns | StartsFail) -> World:
    return make_updating_world(version("v1", 3), version("v2", 3), config, script=script)


def record(world: World) -> Endpoint:
    assert world.record is not None
    return world.record


def shown(world: World) -> tuple[VariantView, VariantView | None]:
    found = variant_views(record(world), world.look())
    return found.current[0], found.pending[0] if found.pending else None


def words(view: VariantView | None) -> list[tuple[str, str]]:
    return [(s.status, s.message) for s in view.statuses] if view else []


def test_a_creation_is_creating_and_pending() -> None:
    world = make_updating_world(None, version("v1", 3), DeploymentConfig()).run(10)
    assert status(record(world))[0] == "Creating"
    found = variant_views(record(world), world.look())
    assert found.current == () and found.pending_config == "v1"
    assert words(found.pending[0]) == [("Creating", "Launching 3 instance(s).")]
    assert (found.pending[0].current_count, found.pending[0].desired_count) == (0, 3)


def test_a_canary_from_launch_to_termination() -> None:
    world = update().run(10)
    assert status(record(world)) == ("Updating", "Provisioning, stage 1 of 2, 33.33 % of the traffic")
    old, new = shown(world)
    assert (old.current_weight, old.current_count, words(old)) == (1.0, 3, [])
    assert new is not None and (new.current_weight, new.current_count) == (0.0, 0)
    assert words(new) == [("Creating", "Launching 3 instance(s).")]
    old, new = shown(world.run(100))
    assert new is not None and (old.current_weight, new.current_weight) == (0.6667, 0.3333)
    wait = (
        "Baking for 600 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
    )
    assert words(new) == [("Baking", wait)]
    _, new = shown(world.run(700))
    wait = (
        "Baking for 300 seconds (TerminationWaitInSeconds) with traffic enabled on full capacity of 3 instance(s)."
    )
    assert words(new) == [("Baking", wait)]
    old, new = shown(world.run(930.5))
    assert words(old) == [("Deleting", "Terminating 3 instance(s).")] and words(new) == []
    world.run(2_000)
    assert status(record(world)) == ("InService", "v2 serves")
    assert variant_views(record(world), world.look()).pending == ()


def test_traffic_that_is_being_activated() -> None:
    world = make_updating_world(
        version("v1", 3), version("v2", 3), CANARY, physics=WorldTiming(latencies=(5.0,))
    ).run(37)
    assert words(shown(world)[1]) == [
        ("ActivatingTraffic", "Activating traffic on canary capacity of 1 instance(s).")
    ]


def test_an_update_that_rolls_back_stays_updating_and_ends_in_service_with_the_reason() -> None:
    fires = AlarmTurns(When(Phase.BAKING, 1, 5.0), "alarm", AlarmState.ALARM)
    world = make_updating_world(
        version("v1", 3), version("v2", 3), CANARY, script=(fires,), physics=WorldTiming(drains=(60.0,))
    )
    world.run(60)
    reason = "Deployment rolled back: alarm(s) [alarm] in ALARM state during baking."
    assert status(record(world)) == ("Updating", f"rolling back: {reason}")
    assert words(shown(world)[1]) == [("Deleting", "Terminating 3 instance(s).")]
    world.run(600)
    assert status(record(world)) == ("InService", reason)


def test_failed_endpoints_and_rollbacks_have_words_of_their_own() -> None:
    failing = make_updating_world(
        None, version("v1"), DeploymentConfig(), script=(StartsFail(When(), RolloutSide.NEW),)
    ).run(900)
    assert status(record(failing))[0] is EndpointStatus.FAILED
    fires = AlarmTurns(When(Phase.BAKING, 2, 5.0), "alarm", AlarmState.ALARM)
    mixed = update(rolling(percent(33), 60), StartsFail(When(), RolloutSide.OLD), fires).run(10_000)
    assert status(record(mixed))[0] == "UpdateRollbackFailed"


def test_a_pause_and_its_person_are_told() -> None:
    world = update().run(100)
    world.do("pause", lambda e, now: commands.pause(e, "ann", now))
    assert status(record(world))[1].endswith("; Paused: ann")


def test_scaling_in_place() -> None:
    world = update().run(2_000)
    world.do("scale", lambda e, now: commands.scale(e, {"AllTraffic": VariantChange(count=5)}, now))
    assert status(record(world))[0] == "Updating"
    assert words(shown(world)[0]) == [("Updating", "Scaling out desired instance count to 5.")]
    world.run(world.now + 100)
    assert status(record(world))[0] == "InService" and words(shown(world)[0]) == []


def test_deleting() -> None:
    world = update().run(2_000)
    world.do("delete", lambda e, now: commands.delete(e, now))
    assert status(record(world))[0] == "Deleting"


def test_weights_of_several_variants_are_their_own_in_steady_state() -> None:
    world = make_updating_world(
        None, version("v1", {"a": 1, "b": 1}, {"a": 1.0, "b": 2.0}), DeploymentConfig()
    ).run(100)
    found = variant_views(record(world), world.look()).current
    assert [view.current_weight for view in found] == [1.0, 2.0]


def test_without_an_observation_the_record_is_shown() -> None:
    found = variant_views(record(update().run(100)), None)
    assert (found.current[0].current_count, found.pending[0].current_count) == (3, 3)


def weights(world: World, seen: Observation | None) -> list[tuple[float | None, float]]:
    found = variant_views(record(world), seen)
    return [(view.current_weight, view.desired_weight) for view in (*found.current, *found.pending)]


def test_weights_are_those_in_force_beside_those_requested() -> None:
    """A rollback is requested; the gateways have half of the traffic on each version, and then do not answer."""
    world = make_updating_world(version("v1", 2), version("v2", 2), canary(instances(1), 600, 300), script=()).run(
        150
    )
    halves = world.look()
    assert weights(world, halves) == [(0.5, 0.5), (0.5, 0.5)]
    world.record = desired_state.route(commands.abort(record(world), "ann", world.instant()), 0)
    assert weights(world, halves) == [(0.5, 1.0), (0.5, 0.0)]
    blind = replace(halves, routes=None, confirmed=halves.routes)
    assert weights(world, blind) == [(0.5, 1.0), (0.5, 0.0)]
    # A controller that started meanwhile has observed nothing: what was requested is no evidence.
    for seen in (None, replace(blind, confirmed=None)):
        assert weights(world, seen) == [(None, 1.0), (None, 0.0)]
    assert weights(World(record(world)).run(10_000), None) == [(1.0, 1.0)]
