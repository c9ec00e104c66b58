"""Instances of the new version that are killed from outside: traffic leaves them at once, the rollout waits until
they are back, and a version that keeps crashing is rolled back."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from tests.samples import all_at_once, canary, instances, linear, percent, rolling, version
from tests.unit.scenarios.rollout_story import Story, does, fires, pause, resume
from tidegate.domain.evidence import Comparison, EvidenceConfig, Finding, Verdict
from tidegate.domain.rollout import DeploymentConfig, Phase
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.ledger import EvidenceLedger, Side
from tidegate.simulation.faults import ReplicasDie, RolloutSide, StartsFail, When, WorldTiming

STRATEGIES = {
    "canary": (canary(percent(10), 300, 60), 2),
    "canary of one instance": (canary(percent(10), 300, 60), 1),
    "linear": (linear(percent(25), 300, 60), 2),
    "rolling": (rolling(instances(1), 300), 2),
    "rolling back in batches": (rolling(instances(1), 300, instances(1)), 4),
    "all at once": (all_at_once(300), 2),
}


def kill(phase: Phase = Phase.BAKING, nth: int = 1, after: float = 20.0) -> ReplicasDie:
    return ReplicasDie(When(phase, nth, after), RolloutSide.NEW, 9)


def story(strategy: str, *script: ReplicasDie, startup: float = 30.0) -> Story:
    config, count = STRATEGIES[strategy]
    timing = WorldTiming(startups=(startup,))
    return Story(config, script, old=version("v1", count), new=version("v2", count), physics=timing)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_version_whose_instances_are_killed_once_serves_in_the_end(strategy: str) -> None:
    told = story(strategy, kill())
    killed_at = None
    while killed_at is None and told.world.due is not None:
        told.run(told.world.due)
        killed_at = next(iter(told.times_of("InstancesLost")), None)
    assert killed_at == told.times(Phase.BAKING)[0] + 20
    assert (told.share(1), told.share(2)) == (WHOLE, 0), "all traffic left at once"
    told.run(killed_at + 29.0)
    assert told.rollout.phase is Phase.PROVISIONING and told.share(2) == 0
    assert told.run().serves == "v2" and told.ready(2) == STRATEGIES[strategy][1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_stage_in_which_instances_were_killed_bakes_anew_as_long_as_planned(strategy: str) -> None:
    told = story(strategy, kill()).run()
    first, again, *_ = told.times(Phase.BAKING)
    assert again == first + 20 + 30, "as soon as the instances were ready again"
    ends = sorted(
        [*told.times(Phase.PROVISIONING), *told.times(Phase.ACTIVATING_TRAFFIC), *told.times(Phase.TERMINATING)]
    )
    assert next(at for at in ends if at > again) == again + 300


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_version_that_keeps_crashing_is_rolled_back_at_its_third_loss(strategy: str) -> None:
    told = story(strategy, *(kill(nth=nth) for nth in range(1, 9))).run()
    assert told.serves == "v1" and told.last.cause == "CapacityLost"
    assert told.last.reason == (
        "Deployment rolled back: variant AllTraffic lost every ready instance 3 times, each while it took traffic."
    )
    assert told.times(Phase.ROLLING_BACK)[0] == told.times(Phase.BAKING)[2] + 20
    assert told.ready(1) == STRATEGIES[strategy][1] and told.share(1) == WHOLE


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_instances_that_do_not_come_back_in_time_roll_the_version_back(strategy: str) -> None:
    config, count = STRATEGIES[strategy]
    timing = WorldTiming(startups=(*[30.0] * (1 if config.rolling else count), *[100_000.0] * count))
    told = Story(config, (kill(),), old=version("v1", count), new=version("v2", count), physics=timing)
    told.run(told.world.now + 10_000)
    waited = told.times(Phase.ROLLING_BACK)[0] - told.times_of("InstancesLost")[0]
    assert waited == told.world.record.last.plan.provisioning_timeout  # type: ignore[union-attr]
    assert told.last.cause == "CapacityLost" and "was not whole again in time" in (told.last.reason or "")


@pytest.mark.parametrize("phase", [Phase.ACTIVATING_TRAFFIC, Phase.BAKING])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_kill_in_any_stage_and_phase_is_outlived(strategy: str, phase: Phase) -> None:
    for nth in range(1, 9):
        told = Story(
            STRATEGIES[strategy][0],
            (kill(phase, nth, 0.5),),
            old=version("v1", STRATEGIES[strategy][1]),
            new=version("v2", STRATEGIES[strategy][1]),
            physics=WorldTiming(latencies=(1.0,)),
        ).run()
        assert told.serves == "v2", nth


def test_a_pause_holds_no_traffic_on_what_is_lost_and_its_clock_stands_still() -> None:
    script = (does(pause, Phase.BAKING, after=10), kill(), does(resume, Phase.BAKING, after=50_000))
    told = Story(canary(percent(10), 300, 60), script).run(5_000)
    assert told.share(2) == 0 and told.rollout.pause is not None and told.times(Phase.ROLLING_BACK) == []
    assert told.run().serves == "v2"


def test_an_alarm_rolls_back_while_the_instances_are_awaited() -> None:
    told = Story(canary(percent(10), 300, 60), (kill(), fires(Phase.BAKING, after=25))).run()
    assert told.serves == "v1" and told.last.cause == "Alarm"
    assert "after its instances were lost" in (told.last.reason or "")


def test_a_version_that_cannot_start_again_is_rolled_back_with_the_reason() -> None:
    told = Story(DeploymentConfig(), ()).run()
    assert told.serves == "v2"
    broken = (StartsFail(When(Phase.BAKING, 1, 15.0), RolloutSide.NEW), kill())
    told = Story(canary(percent(10), 300, 60), broken).run()
    assert told.last.cause == "CapacityLost" and "exit code 1" in (told.last.reason or "")


def test_the_loss_of_part_of_the_instances_moves_no_traffic() -> None:
    told = Story(
        canary(percent(10), 300, 60), (ReplicasDie(When(Phase.BAKING, 1, 20.0), RolloutSide.NEW, 3),)
    ).run()
    assert told.serves == "v2" and told.times_of("InstancesLost") == []
    assert [later > sooner for sooner, later in pairwise(told.shares())] == [True] * (len(told.shares()) - 1)


ERRORS = EvidenceConfig(compare=(Comparison.ERRORS,))


@dataclass
class CountedRequests:
    """The comparison of 54 requests a second of the old version with 6 of the new one while it has traffic, of which
    ``failed`` fail in the second in which its instances are killed."""

    told: Story
    failed: int
    replay: None = None
    ledger: EvidenceLedger = field(default_factory=lambda: EvidenceLedger(ERRORS, ("AllTraffic",), 0))

    @property
    def verdict(self) -> Verdict:
        began, lost = self.told.times(Phase.BAKING), self.told.times_of("InstancesLost")
        for second in range(self.ledger.through, int(self.told.world.now)):
            self.ledger.add(second, Side.OLD, "AllTraffic", SideCounts(54))
            killed = bool(lost) and second == int(lost[0])
            if began and (killed or self.told.share(2)):
                self.ledger.add(second, Side.NEW, "AllTraffic", SideCounts(6, self.failed if killed else 0))
            self.ledger.advance(second + 1)
        return self.ledger.verdict


@pytest.mark.parametrize(("failed", "finding"), [(2, False), (3, True), (6, True)])
def test_requests_in_flight_at_the_kill_count_as_errors_of_the_version(failed: int, finding: bool) -> None:
    """From outside a kill looks the same as a version that crashes on requests: evidence rolls back for both."""
    config = replace(canary(percent(10), 300, 60), evidence=ERRORS)
    told = Story(config, (kill(),), old=version("v1", 9), new=version("v2", 1))
    told.world.compared = counted = CountedRequests(told, failed)
    told.run(told.world.now + 120)
    assert told.times_of("InstancesLost") != []
    assert (counted.verdict.finding is Finding.FAIL) is finding
    assert bool(told.times(Phase.ROLLING_BACK)) is finding
    if finding:
        assert told.last.cause == "Evidence" and "differs" in (told.last.reason or "")
