"""Flagger's scheduler tests, re-enacted under their names."""

from tests.samples import all_at_once, canary, instances, linear, percent, version
from tests.unit.scenarios.rollout_story import Story, begin, does, fires, supersede
from tidegate.domain.alarm import AlarmState
from tidegate.domain.rollout import DeploymentConfig, Phase
from tidegate.simulation.faults import AlarmTurns, ReplicasDie, RolloutSide, StartsFail, When

LINEAR = linear(percent(10), 60, 60)


def test_DeploymentRollback() -> None:
    story = Story(LINEAR, (fires(Phase.BAKING, nth=4, after=30),)).run()
    assert story.shares() == [0, 1_000, 2_000, 3_000, 4_000, 0] and story.serves == "v1"


def test_NewRevisionReset() -> None:
    story = Story(LINEAR, (does(supersede(version("v3", 4), LINEAR), Phase.BAKING, nth=4, after=30),)).run()
    assert story.shares()[:8] == [0, 1_000, 2_000, 3_000, 4_000, 0, 1_000, 2_000] and story.serves == "v3"


def test_PromotionPrimaryNotReady() -> None:
    """Theirs copies the canary into a second workload that may not come up. Here nothing is copied: what has
    baked is what serves, replica for replica."""
    story = Story(LINEAR).run(200)
    baked = set(story.world.target.fleets) - {id for id in story.world.target.fleets if id.generation == 1}
    assert story.run().serves == "v2" and set(story.world.target.fleets) == baked


def test_PromotionFailedAfterTrafficShift() -> None:
    """All traffic is on the new side and its last replica dies: it goes to the old one at once, which is whole, and
    the rollout turns back when no replica comes up again."""
    lost = (
        StartsFail(When(Phase.BAKING, 10, 20.0), RolloutSide.NEW),
        ReplicasDie(When(Phase.BAKING, 10, 20.0), RolloutSide.NEW, 4),
    )
    story = Story(LINEAR, lost).run()
    assert story.serves == "v1" and story.last.cause == "CapacityLost"
    at = story.times(Phase.BAKING)[9] + 20
    assert story.times_of("InstancesLost") == [at]
    assert story.times(Phase.ROLLING_BACK)[0] == at + 30, "the replica that was to take its place failed then"


def test_BlueGreenAnalysisPhases() -> None:
    story = Story(all_at_once(120, ("alarm",))).run()
    walked = [event.kind.removeprefix("rollout.") for entry in story.world.journal for event in entry.events]
    assert walked == ["ActivatingTraffic", "Baking", "Terminating", "Succeeded"]


def test_SkipAnalysis() -> None:
    """No config at all: straight to the new version, without a bake."""
    story = Story(DeploymentConfig()).run(60)
    assert story.shares() == [0, 10_000] and story.times(Phase.SUCCEEDED) == [31]


def test_ServicePromotionWithWeightsOverflow() -> None:
    """Steps that do not divide 100: the last one is what is left, never more than the whole."""
    story = Story(linear(percent(30), 60)).run()
    assert story.shares() == [0, 3_000, 6_000, 9_000, 10_000]
    uneven = Story(linear(instances(2), 60), old=version("v1", 5), new=version("v2", 5)).run()
    assert uneven.shares() == [0, 4_000, 8_000, 10_000]


def test_MetricsStateTransition() -> None:
    """An alarm that goes off and recovers between two looks of a person has still turned it back."""
    flap = AlarmTurns(When(Phase.BAKING, 2, 11.0), "alarm", AlarmState.OK)
    story = Story(LINEAR, (fires(Phase.BAKING, nth=2, after=10), flap)).run()
    assert story.serves == "v1"


def test_no_data_alone_condemns_nobody() -> None:
    """Flagger counts a missing value as a failed check; an alarm without data neither trips nor passes."""
    quiet = AlarmTurns(When(Phase.BAKING, 1, 5.0), "alarm", AlarmState.INSUFFICIENT_DATA)
    assert Story(LINEAR, (quiet,)).run().serves == "v2"
    held = Story(canary(percent(10), 60, evidence=True), (quiet,)).run(9_000)
    assert held.share(2) == 1_000 and held.rollout.phase is Phase.BAKING


def test_two_rollouts_of_one_endpoint_are_refused() -> None:
    """Theirs logs "Bad things will happen"; ours says what to do."""
    story = Story(LINEAR).run(100)
    story.do(begin(version("v3", 4), LINEAR))
    assert "wait until it is done, or supersede" in str(story.world.refused[0][1])
