"""Argo Rollouts' tests of its canaries, re-enacted: the scenario and the end it should have, under their names.

Weights and counts of theirs are taken over where they matter; where we decide otherwise, the test says so.
"""

import pytest

from tests.samples import all_at_once, canary, instances, linear, percent, rolling, version
from tests.unit.scenarios.rollout_story import (
    Story,
    abort,
    begin,
    does,
    fires,
    pause,
    promote,
    promote_fully,
    resume,
    retry,
    scale,
    supersede,
)
from tidegate.domain.alarm import AlarmState
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.rollout import DeploymentConfig, Phase
from tidegate.simulation.faults import (
    ObservationGap,
    ReplicasDie,
    RolloutSide,
    StartsFail,
    When,
    WorldTiming,
)

CANARY = canary(percent(25), 300, 60)
LINEAR = linear(percent(25), 300, 60)
ROLLING = rolling(instances(1), 300, instances(1))


# abort, retry, promote


def test_TestRolloutAbortRetryPromote() -> None:
    story = Story(CANARY, (does(abort, Phase.BAKING, after=10),)).run()
    assert story.serves == "v1" and story.last.reason == "Deployment rolled back: aborted by ann."
    story.do(retry).run(story.world.now + 60).do(promote)
    story.run(story.world.now + 300)
    assert story.serves == "v2" and story.last.phase is Phase.SUCCEEDED


def test_TestCanaryPromote_skips_one_bake_and_no_other() -> None:
    story = Story(LINEAR, (does(promote, Phase.BAKING, after=10),)).run(120)
    assert story.shares() == [0, 2_500, 5_000], "the second stage bakes as planned"
    assert story.rollout.phase is Phase.BAKING
    story.do(promote).do(promote).run(240)
    assert story.shares() == [0, 2_500, 5_000, 7_500], "twice in one stage is once"
    assert story.run().serves == "v2"


def test_TestCanaryPromote_resumes_what_is_paused() -> None:
    story = Story(LINEAR, (does(pause, Phase.BAKING, after=10),)).run(1_000)
    assert story.shares() == [0, 2_500]
    story.do(promote).run(1_060)
    assert story.shares() == [0, 2_500, 5_000] and story.rollout.pause is None


def test_TestCanaryPromoteFull() -> None:
    story = Story(LINEAR, (does(promote_fully, Phase.BAKING, after=10),)).run(120)
    assert story.shares() == [0, 2_500, 5_000, 7_500, 10_000]
    assert story.serves == "v2", "no further bake was waited for"


def test_TestCanaryPromoteFull_still_needs_capacity() -> None:
    wounded = ReplicasDie(When(Phase.BAKING, 1, 5.0), RolloutSide.NEW, 2)
    story = Story(LINEAR, (wounded, does(promote_fully, Phase.BAKING, after=10))).run(60)
    assert story.rollout.phase is Phase.BAKING and story.share(2) == 2_500
    assert story.run(300).serves == "v2"


def test_TestCanaryScaleDownOnAbort() -> None:
    story = Story(CANARY, (does(abort, Phase.BAKING, after=10),)).run(31)
    assert story.ready(2) == 4
    story.run(600)
    assert story.ready(2) == 0 and story.ready(1) == 4


def test_TestCancelAnalysisRunsWhenAborted() -> None:
    """After an abort an alarm adds nothing: the reason stays the person's; nothing is held against the version."""
    story = Story(CANARY, (does(abort, Phase.BAKING, after=10), fires(Phase.ROLLING_BACK))).run()
    assert story.last.cause == "Aborted" and story.record.rejected == ()


# good and bad transitions


def test_TestRolloutGoodToBad() -> None:
    story = Story(CANARY, (fires(Phase.BAKING, after=20),)).run()
    assert story.serves == "v1" and story.share(1) == 10_000 and story.ready(2) == 0


def test_TestRolloutBadToGoodUpdate() -> None:
    """The old version has not one ready replica; the good one takes over all the same."""
    down = (StartsFail(When(), RolloutSide.OLD), ReplicasDie(When(), RolloutSide.OLD, 4))
    assert Story(CANARY, down).run().serves == "v2"


def test_TestRolloutBadToBadUpdate() -> None:
    """Both bad: it ends on the old one, with the reason, and is repaired when its replicas come up again."""
    down = (
        StartsFail(When(), RolloutSide.OLD, seconds=3600),
        ReplicasDie(When(), RolloutSide.OLD, 4),
        StartsFail(When(), RolloutSide.NEW),
    )
    story = Story(CANARY, down).run()
    assert story.serves == "v1" and story.ready(1) == 4
    assert "could not be run: variant AllTraffic: exit code 1" in (story.record.failure_reason or "")


def test_TestRolloutBadToGoodSetWeightUpdate() -> None:
    """A release that never came up is replaced by a good one, by its stages."""
    story = Story(CANARY, (StartsFail(When(), RolloutSide.NEW),)).run(600)
    assert story.serves == "v1" and story.shares() == [0]
    story.world.target.broken.clear()
    story.do(begin(version("v3", 4), CANARY)).run()
    assert story.serves == "v3" and 2_500 in story.shares()


def test_TestFixInvalidSpec() -> None:
    """What is invalid is refused when it is asked for and changes nothing; mended, it goes through."""
    story = Story(CANARY).run()
    before = story.record
    story.do(begin(version("v3", 4), canary(percent(60), 60)))
    assert isinstance(story.world.refused[-1][1], Invalid) and story.record == before
    assert story.do(begin(version("v3", 4), canary(percent(50), 60))).run().serves == "v3"


# scaling while rolling


def test_TestRolloutScalingWhenPaused() -> None:
    story = Story(CANARY, (does(pause, Phase.BAKING, after=1), does(scale(6), Phase.BAKING, after=2))).run(3600)
    assert (story.ready(1), story.ready(2)) == (6, 6)
    assert story.rollout.phase is Phase.BAKING and story.rollout.stage == 0


def test_TestRolloutScalingDuringUpdate() -> None:
    """Rolling, one batch in: twice the size for both, in the proportions of the stage; then it goes on."""
    story = Story(ROLLING, (does(scale(8), Phase.BAKING, nth=1, after=5),)).run(100)
    assert (story.ready(1), story.ready(2), story.share(2)) == (8, 2, 2_500)
    story.run()
    assert story.serves == "v2" and story.ready(2) == 8


def test_TestReduceWeightAndHonorMaxUnavailable() -> None:
    """Scaled in with less weight: the replicas go after the weight has gone, never before."""
    two = version("v1", {"a": 4, "b": 4})
    story = Story(all_at_once(), new=two, old=two, physics=WorldTiming(latencies=(5.0,))).run()
    story.do(scale(1, 0.0, "a")).run(story.world.now + 2)
    assert story.ready(2) == 8, "the table in force still leads to all of them"
    assert story.run().ready(2) == 5
    assert {r.fleet.variant for r in story.world.target.routes("simulated").routes} == {"b"}


def test_TestSpecAndReplicaChangeSameTime() -> None:
    """A new version and another size at one time: both arrive, the old side keeps carrying its share (watched)."""
    story = Story(CANARY, (does(scale(2), Phase.PROVISIONING, after=1),)).run()
    assert story.serves == "v2" and story.ready(2) == 2


def test_TestHandleNilNewRSOnScaleAndImageChange() -> None:
    """Scaled before a single new replica exists; then paused: nothing is lost and nothing advances."""
    story = Story(CANARY, (does(scale(3), after=0.0), does(pause, after=0.0))).run(3600)
    assert (story.ready(1), story.ready(2), story.share(2)) == (3, 3, 0)
    assert story.do(resume).run().serves == "v2"


# deadlines and pauses


def test_TestCanaryProgressDeadlineExceededWithPause() -> None:
    """Paused longer than the start-up deadline: that clock stands still too."""
    slow = WorldTiming(startups=(500.0,))
    paused = (does(pause, after=10.0), does(resume, after=90_000.0))
    assert Story(CANARY, paused, physics=slow).run(2 * 90_000).serves == "v2"


def test_TestCanaryProgressDeadlineExceeded() -> None:
    story = Story(CANARY, physics=WorldTiming(startups=(5_000.0,))).run()
    assert story.serves == "v1" and story.last.reason == "Deployment rolled back: v2 was not ready within 1440 s."


def test_TestCanaryWithSpecPause() -> None:
    story = Story(CANARY, (does(pause, Phase.BAKING, after=10),)).run(50_000)
    assert story.share(2) == 2_500 and story.rollout.pause is not None and story.rollout.pause.by == "ann"


def test_TestCanaryRolloutNoProgressWhilePaused() -> None:
    story = Story(CANARY, (does(pause, after=0.0),)).run(50_000)
    assert story.ready(2) == 4 and story.share(2) == 0 and story.rollout.phase is Phase.PROVISIONING


def test_TestNoResumeAfterPauseDurationIfUserPaused() -> None:
    """The bake's own time runs out while a person has paused: the pause counts; the rest is baked after it."""
    story = Story(CANARY, (does(pause, Phase.BAKING, after=100),)).run(10_000)
    assert story.share(2) == 2_500
    story.do(resume)
    resumed = story.world.now
    story.run(resumed + 199)
    assert story.share(2) == 2_500
    assert story.run(resumed + 201).share(2) == 10_000


def test_TestPausedRolloutStillRollsBack() -> None:
    story = Story(CANARY, (does(pause, Phase.BAKING, after=10), fires(Phase.BAKING, after=4_000))).run()
    assert story.serves == "v1"


# superseding


def test_TestNewRolloutResetsWeightBeforeUpdatingHash() -> None:
    """Before the third version starts, all traffic is back on the first, seen in force."""
    late = WorldTiming(latencies=(3.0,))
    story = Story(CANARY, (does(supersede(version("v3", 4), CANARY), Phase.BAKING, after=10),), physics=late).run()
    back, started = story.times(Phase.ROLLED_BACK), story.times(Phase.PROVISIONING)
    assert back[0] <= started[-1] and story.serves == "v3"
    assert story.shares() == [0, 2_500, 0, 2_500, 10_000]


def test_TestDynamicStableScaleNewCanarySupersedeShouldNotOverloadStable() -> None:
    """Rolling, half done: the old side is brought back first, and never given more than its replicas carry."""
    story = Story(ROLLING, (does(supersede(version("v3", 4), ROLLING), Phase.BAKING, nth=2, after=10),)).run()
    assert story.serves == "v3" and story.ready(3) == 4


@pytest.mark.parametrize("config", [LINEAR, rolling(percent(50), 60)], ids=["StepChange", "PodSpecChange"])
def test_TestResetCurrentStepIndexOnChange(config: DeploymentConfig) -> None:
    """Another version or other steps in mid-rollout: from stage 0, by the new plan."""
    wish = supersede(version("v3", 4), config)
    story = Story(LINEAR, (does(wish, Phase.BAKING, nth=2, after=10),)).run(430)
    assert story.rollout.new.config_name == "v3" and story.rollout.stage == 0
    assert story.run().serves == "v3"


def test_TestIstioUpdateInMiddleZeroCanaryReplicas() -> None:
    """Superseded before a replica was ready: no traffic moved at all."""
    story = Story(CANARY, (does(supersede(version("v3", 4), CANARY), after=10.0),)).run(35)
    assert story.shares() == [0] and story.ready(2) == 0


@pytest.mark.parametrize("wait", [0, 1, 59, 3_600, 30 * 86_400])
def test_TestCanaryDuration(wait: int) -> None:
    story = Story(canary(percent(25), wait)).run(40 * 86_400.0)
    assert story.times(Phase.ACTIVATING_TRAFFIC) == [30, 30 + wait]


# a stable side that is scaled with the traffic: rolling


def test_TestCanaryDynamicStableScale() -> None:
    story = Story(ROLLING).run(100)
    assert (story.ready(1), story.ready(2), story.share(2)) == (4, 1, 2_500)
    story.run(30 + 300 + 5)
    assert story.ready(1) == 3, "one old instance goes once one new one has baked"
    assert story.run().ready(2) == 4


def test_TestCanaryDynamicStableScaleRollbackToStable() -> None:
    story = Story(ROLLING, (fires(Phase.BAKING, nth=3, after=10),)).run()
    assert story.serves == "v1" and (story.ready(1), story.ready(2)) == (4, 0)
    down = story.shares()[story.shares().index(7_500) :]
    assert down == [7_500, 5_000, 2_500, 0], "back by batches, each carried by replicas that are ready"


def test_TestCanaryDynamicStableScaleAbortScaleDownDelay() -> None:
    """The new side shrinks with the share it loses and is gone only when nothing leads to it."""
    story = Story(
        ROLLING, (does(abort, Phase.BAKING, nth=2, after=10),), physics=WorldTiming(drains=(20.0,))
    ).run()
    assert story.serves == "v1" and story.ready(2) == 0


def test_TestDontWeightToZeroWhenDynamicallyRollingBackToStable() -> None:
    """The old side cannot come back: what it has is used, the rest stays where it is, and that is told."""
    story = Story(
        rolling(instances(1), 300), (StartsFail(When(), RolloutSide.OLD), fires(Phase.BAKING, nth=3, after=9))
    ).run()
    assert story.last.phase is Phase.ROLLBACK_FAILED and story.share(1) == 5_000 and story.share(2) == 5_000
    assert story.record.rollback_failed and "could not be run again" in (story.record.failure_reason or "")
    story.world.target.broken.clear()
    story.world.alarms["alarm"] = AlarmState.OK
    assert story.do(begin(version("v3", 4), CANARY)).run(story.world.now + 3600).serves == "v3"
    assert not story.record.rollback_failed and story.record.mixed is None


# blue/green


def test_TestBlueGreenPrePromotionFail() -> None:
    story = Story(all_at_once(600, ("alarm",)), (StartsFail(When(), RolloutSide.NEW),)).run()
    assert story.shares() == [0] and story.last.cause == "ProvisioningFailed"


def test_TestBlueGreenPostPromotionFail() -> None:
    story = Story(all_at_once(600, ("alarm",)), (fires(Phase.BAKING, after=599),)).run()
    assert story.shares() == [0, 10_000, 0] and story.serves == "v1"


def test_TestBlueGreenAbortAndUpdate() -> None:
    story = Story(all_at_once(600), (does(abort, Phase.BAKING, after=10),)).run()
    assert story.do(begin(version("v3", 4), all_at_once(600))).run().serves == "v3"
    assert story.record.failure_reason is None, "the next good update clears it"


def test_TestBlueGreenKitchenSink() -> None:
    """Pause, scale, blindness, a lost replica, resume: it ends as any other."""
    story = Story(
        all_at_once(600, ("alarm",)),
        (
            does(pause, Phase.BAKING, after=10),
            does(scale(5), Phase.BAKING, after=20),
            ObservationGap(When(Phase.BAKING, 1, 30.0), 100.0, fleets=True, routes=True, alarms=True),
            ReplicasDie(When(Phase.BAKING, 1, 200.0), RolloutSide.NEW),
            does(resume, Phase.BAKING, after=1_000),
        ),
    ).run()
    assert story.serves == "v2" and story.ready(2) == 5


def test_TestBlueGreenToCanary() -> None:
    story = Story(all_at_once(60)).run(3600)
    story.do(begin(version("v3", 4), CANARY)).run()
    assert story.serves == "v3" and story.shares()[-2:] == [2_500, 10_000]


def test_TestBlueGreenExceedProgressDeadlineAbort() -> None:
    story = Story(all_at_once(600), physics=WorldTiming(startups=(2_000.0,))).run()
    assert story.serves == "v1" and story.last.cause == "ProvisioningFailed"


# going back to what was, and no verdict


def test_TestRollbackAnalysisOutsideWindow() -> None:
    """Going back to an older version is an update like any other: with all its stages."""
    story = Story(CANARY).run()
    story.do(begin(version("v1", 4), CANARY)).run()
    assert story.serves == "v1" and story.shares() == [0, 2_500, 10_000, 0, 2_500, 10_000]


def test_TestRollbackAnalysisWithinWindow_a_rejected_version_needs_an_override() -> None:
    """Where Argo skips steps for what it has seen before, we ask: an alarm turned this version down."""
    story = Story(CANARY, (fires(Phase.BAKING, after=20),)).run()
    story.world.alarms["alarm"] = AlarmState.OK
    story.do(retry)
    assert isinstance(story.world.refused[-1][1], Conflict) and "rolled v2 back" in str(story.world.refused[-1][1])
    story.do(begin(version("v2", 4), CANARY, override=True)).run()
    assert story.serves == "v2" and story.record.rejected == ()


def test_TestPausedStepAfterInconclusiveAnalysisRun() -> None:
    """Evidence is required and there is none: it holds where it is, longer than any bake, and goes on with it."""
    config = canary(percent(25), 300, 60, evidence=True)
    story = Story(config)
    story.world.alarms["alarm"] = AlarmState.INSUFFICIENT_DATA
    story.run(50_000)
    assert story.share(2) == 2_500 and story.rollout.cause is None
    story.world.alarms["alarm"] = AlarmState.OK
    story.world.wake(0.0)
    assert story.run(60_000).serves == "v2"
