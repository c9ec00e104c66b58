"""Incidents of other engines, each as one scenario: what happened there must not happen here."""

from tests.samples import all_at_once, canary, instances, linear, percent, rolling, version
from tests.unit.scenarios.rollout_story import Story, does, fires, pause, scale, supersede
from tidegate.domain.rollout import Phase
from tidegate.simulation.faults import ObservationGap, ReplicasDie, RolloutSide, StartsFail, When, WorldTiming

LATE = WorldTiming(latencies=(0.0, 7.0, 2.0), startups=(30.0, 200.0), drains=(45.0,))


def fewest_old(story: Story) -> int:
    """The fewest ready instances of the old side while any traffic was on it."""
    fewest = 10**6
    while story.world.record is not None and story.world.record.rollout is not None:
        story.world.run(story.world.now + 1.0)
        if story.share(1):
            fewest = min(fewest, story.ready(1))
    return fewest


def test_argo_2050_old_capacity_never_falls_below_its_share() -> None:
    """The stable set went from 110 to 0 before the new one was ready."""
    story = Story(rolling(percent(50), 60), old=version("v1", 10), new=version("v2", 10), physics=LATE)
    assert fewest_old(story) >= 5 and story.serves == "v2"


def test_argo_1415_scaling_in_mid_canary_leaves_the_old_side_standing() -> None:
    scaled = tuple(does(scale(count), Phase.BAKING, nth=1, after=5.0 * count) for count in (2, 7, 3))
    story = Story(canary(percent(10), 300), scaled, physics=LATE)
    assert fewest_old(story) >= 2 and story.serves == "v2" and story.run().ready(2) == 7


def test_argo_4390_a_superseded_canary_goes_only_when_the_router_confirms() -> None:
    """While the routes cannot be seen, nothing of the half-done canary is removed."""
    script = (
        does(supersede(version("v3", 4), canary(percent(50), 60)), Phase.BAKING, after=10),
        ObservationGap(When(Phase.BAKING, 1, 10.0), 200.0, routes=True),
    )
    story = Story(canary(percent(50), 300), script).run(30 + 100)
    assert story.ready(2) == 4 and story.rollout.phase is Phase.ROLLING_BACK
    assert story.run().serves == "v3" and story.ready(2) == 0


def test_argo_4433_routes_name_versions_by_an_identity_that_never_moves() -> None:
    story = Story(linear(percent(50), 60)).run()
    tables = [
        e.record.traffic for e in story.world.journal if e.record is not None and e.record.traffic is not None
    ]
    assert {route.fleet.generation for table in tables for route in table.routes} == {1, 2}
    assert [t.fence for t in tables] == sorted(t.fence for t in tables)


def test_argo_3681_old_replicas_drain_before_they_go() -> None:
    story = Story(rolling(instances(1), 60), physics=WorldTiming(drains=(120.0,)))
    story.run(30 + 60 + 10)
    old = next(f for id, f in story.world.target.fleets.items() if id.generation == 1).seen()
    assert (old.ready, old.draining) == (3, 1)
    assert story.run().serves == "v2"


def test_argo_1774_a_bad_old_side_does_not_hold_a_good_new_one() -> None:
    down = (StartsFail(When(), RolloutSide.OLD), ReplicasDie(When(Phase.BAKING, 1, 5.0), RolloutSide.OLD, 4))
    assert Story(linear(percent(25), 60), down).run().serves == "v2"


def test_flagger_1801_alarms_count_while_it_waits() -> None:
    """18 of 5 checks failed at a gate and nothing was rolled back."""
    story = Story(
        canary(percent(10), 60), (does(pause, Phase.BAKING, after=5), fires(Phase.BAKING, after=600))
    ).run()
    assert story.serves == "v1"


def test_flagger_869_nothing_is_sent_to_what_was_scaled_down() -> None:
    """The rollback sent all traffic to a primary without replicas."""
    story = Story(rolling(percent(50), 60), (fires(Phase.BAKING, nth=2, after=30),), physics=LATE)
    while story.world.record is not None and story.world.record.rollout is not None:
        story.world.run(story.world.now + 1.0)
        assert story.share(1) <= 10_000 * story.ready(1) // 4
    assert story.serves == "v1"


def test_flagger_1898_the_copy_that_passed_is_the_copy_that_serves() -> None:
    story = Story(all_at_once(300)).run(200)
    passed = {id: fleet.started for id, fleet in story.world.target.fleets.items() if id.generation == 2}
    story.run()
    assert {id: fleet.started for id, fleet in story.world.target.fleets.items()} == passed


def test_the_write_in_flight_that_comes_after_the_rollback_is_dropped() -> None:
    """An alarm while a shift is on its way: the rollback sees the old shares, and the late write must not win."""
    slow = WorldTiming(latencies=(0.0, 60.0, 1.0))
    story = Story(canary(percent(50), 300), (fires(Phase.ACTIVATING_TRAFFIC, after=0.5),), physics=slow).run()
    assert story.serves == "v1" and story.share(1) == 10_000
