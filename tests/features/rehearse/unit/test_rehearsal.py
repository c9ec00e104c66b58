"""Rehearsals: they agree with what is computed, within what chance allows, and repeat themselves by their seed."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from statistics import fmean, pvariance

import pytest

from tests.metric_alarm import metric_alarm
from tests.samples import all_at_once, canary, linear, percent, rolling, version
from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData
from tidegate.domain.errors import Invalid
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import Cause, DeploymentConfig
from tidegate.features.rehearse.promise import HEALTHY, Baseline, LatencyDistribution, Predictions, VersionFault
from tidegate.features.rehearse.promise.detection import AlarmWatch, RolloutSetting
from tidegate.features.rehearse.rehearsal.rehearsal import (
    PreparedScenario,
    Rehearsal,
    RehearsalRun,
    RunOutcome,
    Scenario,
    rehearse,
)
from tidegate.features.rehearse.rehearsal.run_statistics import Proportion
from tidegate.features.rehearse.rehearsal.sampling import FINE_CUTS, RequestSampler, make_kinds
from tidegate.rollout.plan import compile_plan

NOW = datetime(2030, 1, 1, tzinfo=UTC)
OWN = {"EndpointName": "e", "VariantName": "AllTraffic", "EndpointConfigName": "c"}
BOTH = {"EndpointName": "e", "VariantName": "AllTraffic"}
USUAL = Baseline(0.001, LatencyDistribution.lognormal(30_000, 120_000), Predictions(0.4, 0.1), refusal_rate=0.002)
CANARY = canary(percent(10), 1_800, 600, alarms=("guard",))


def guard(
    threshold: float, shape: tuple[int, int, int], metric: str = "Invocation5XXErrors", statistic: str = "Average"
) -> Alarm:
    """``shape``: seconds of a period, datapoints, periods."""
    period, datapoints, periods = shape
    above = ComparisonOperator.GREATER
    return metric_alarm(
        NOW,
        name="guard",
        metric=metric,
        dimensions=OWN,
        statistic=statistic,
        period=period,
        evaluation_periods=periods,
        datapoints_to_alarm=datapoints,
        threshold=threshold,
        comparison=above,
    )


def scenario(alarm: Alarm, rate: float = 40, deployment: DeploymentConfig = CANARY) -> Scenario:
    return Scenario(version("v1"), version("v2"), deployment, (alarm,), rate, USUAL)


def watching(one: Scenario) -> AlarmWatch:
    plan = compile_plan(one.old, one.new, one.deployment, Capabilities())
    return AlarmWatch(one.alarms[0], RolloutSetting(plan, one.rate, one.baseline, one.startup))


def possible(part: Proportion, chance: float) -> bool:
    """Whether the count lies within four standard deviations of what the chance makes likely."""
    return abs(part.share - chance) <= reach(part, chance)


def reach(part: Proportion, chance: float) -> float:
    return 4 * math.sqrt(chance * (1 - chance) / part.of) + 1 / part.of


EXACT = [
    (guard(0.02, (60, 2, 2)), 4.0, VersionFault(error_rate=0.01)),
    (guard(0.02, (10, 2, 3)), 2.0, VersionFault(error_rate=0.01)),
    (guard(0.01, (60, 1, 1)), 40.0, VersionFault(error_rate=0.002)),
    (guard(0.02, (60, 2, 2), "Invocation4XXErrors"), 4.0, VersionFault(refusal_rate=0.01)),
    (guard(200_000, (60, 2, 2), "ModelLatency", "p95"), 40.0, VersionFault(latency=120_000)),
    (replace(guard(0.006, (60, 2, 2)), dimensions=BOTH), 40.0, VersionFault(error_rate=0.04)),
    (replace(guard(0.41, (60, 2, 2), "Score"), namespace="Fraud"), 40.0, VersionFault(prediction_shift=0.004)),
]


RUNS = 250


@pytest.mark.parametrize(("alarm", "rate", "fault"), EXACT)
def test_a_rehearsal_agrees_with_what_is_computed(alarm: Alarm, rate: float, fault: VersionFault) -> None:
    one = scenario(alarm, rate)
    computed = watching(one)
    seen = computed.by_stage(fault)
    assert computed.exact
    assert 0.05 < seen[0] < 1 - 1e-9, "a case that says nothing"
    runs = played(one, fault)
    back = [run for run in runs if run.outcome is RunOutcome.ROLLED_BACK]
    assert possible(Proportion(len(back), RUNS, 0, 1), seen[-1])
    assert possible(Proportion(sum(run.stage == 0 for run in back), RUNS, 0, 1), seen[0])
    requests = [run.requests for run in runs]
    error = (pvariance(requests) / RUNS) ** 0.5
    assert abs(fmean(requests) - computed.detect(fault).requests) <= 4 * error


@pytest.mark.parametrize(("alarm", "rate", "fault"), [EXACT[1], EXACT[2]])
def test_false_alarms_are_as_rare_as_computed(alarm: Alarm, rate: float, fault: VersionFault) -> None:
    one = scenario(alarm, rate)
    back = rehearse(one, HEALTHY, runs=RUNS, seed=3).healthy.back
    assert possible(back, watching(one).false_alarm())


def played(one: Scenario, fault: VersionFault) -> list[RehearsalRun]:
    stage = PreparedScenario(one, fault)
    return [stage.run(Random(number)) for number in range(RUNS)]


def test_overlapping_looks_are_bounded_by_what_is_computed() -> None:
    one = scenario(guard(0.01, (300, 1, 1)))
    fault = VersionFault(error_rate=0.007)
    found, computed = rehearse(one, fault, runs=RUNS, seed=3), watching(one)
    assert not computed.exact
    assert found.faulty is not None
    assert found.faulty.back.share > computed.by_stage(fault)[-1]
    most = computed.false_alarm()
    assert found.healthy.back.share <= most + reach(found.healthy.back, most)


def test_the_average_of_latencies_is_close_to_what_is_computed() -> None:
    one = scenario(guard(50_000, (60, 2, 2), "ModelLatency"))
    fault = VersionFault(latency=14_000)
    found = rehearse(one, fault, runs=100, seed=3).faulty
    assert found is not None
    assert found.back.share == pytest.approx(watching(one).by_stage(fault)[-1], abs=0.2)


def test_the_same_seed_gives_the_same_rehearsal() -> None:
    one = scenario(guard(0.02, (60, 2, 2)), 4.0)
    fault = VersionFault(error_rate=0.01)

    def again(seed: int) -> Rehearsal:
        return rehearse(one, fault, runs=20, seed=seed)

    assert again(1) == again(1)
    assert again(1) != again(2)


def test_failed_start_is_rolled_back_before_any_request() -> None:
    found = rehearse(scenario(guard(0.02, (60, 2, 2))), VersionFault(failed_start=True), runs=3).faulty
    assert found is not None
    assert found.back.count == 3
    assert found.each_requests == (0, 0, 0)
    assert found.by_cause == {Cause.PROVISIONING: 3}


def test_gaps_that_count_as_bad_turn_a_good_version_back_before_any_request() -> None:
    alarm = replace(guard(0.02, (60, 2, 2)), missing=MissingData.BREACHING)
    found = rehearse(scenario(alarm), HEALTHY, runs=3)
    assert found.faulty is None
    assert found.healthy.back.count == 3
    assert found.healthy.each_requests == (0, 0, 0)


def test_a_rollout_without_data_is_held_where_evidence_is_asked_for() -> None:
    """A tenth of two requests an hour: most periods of the bake are empty."""
    careful = canary(percent(10), 600, 0, alarms=("guard",), evidence=True)
    runs = [
        PreparedScenario(scenario(guard(0.5, (60, 1, 1)), 0.00001, careful), HEALTHY).run(Random(n))
        for n in range(3)
    ]
    assert {run.outcome for run in runs} == {RunOutcome.HELD}


@pytest.mark.parametrize(
    "deployment",
    [
        all_at_once(900, ("guard",)),
        linear(percent(25), 300, 300, alarms=("guard",)),
        rolling(percent(50), 300, alarms=("guard",)),
    ],
)
def test_every_strategy_can_be_rehearsed(deployment: DeploymentConfig) -> None:
    found = rehearse(scenario(guard(0.05, (10, 2, 3)), 40, deployment), VersionFault(error_rate=0.5), runs=5)
    assert found.faulty is not None
    assert found.faulty.back.count == 5
    assert found.healthy.back.count == 0
    assert found.healthy.held == 0


def test_alarms_that_nothing_moves_are_named() -> None:
    alarm = replace(guard(90.0, (60, 1, 1), "CPUUtilization"), namespace="/aws/sagemaker/Endpoints")
    found = rehearse(scenario(alarm), HEALTHY, runs=1)
    assert found.untouched == ("guard",)
    assert found.healthy.back.count == 0


def test_what_is_drawn_has_the_means_it_should_have() -> None:
    side = Baseline(0.05, LatencyDistribution.lognormal(30_000, 120_000), Predictions(2.0, 1.0))
    assert side.latency is not None
    crowd = RequestSampler(
        side, make_kinds(side.latency, [side.latency.quantile(part) for part in FINE_CUTS if part])
    )
    chance = Random(11)
    cells = [crowd.draw(100.0, chance) for _ in range(2_000)]
    requests = sum(cell.requests for cell in cells)
    assert requests == pytest.approx(200_000, rel=0.01)
    assert sum(cell.errors for cell in cells) == pytest.approx(0.05 * requests, rel=0.05)
    assert sum(cell.predictions for cell in cells) == pytest.approx(2.0 * requests, rel=0.01)
    total = sum(n * kind.latency for cell in cells for n, kind in zip(cell.kinds, crowd.kinds, strict=True))
    assert total / requests == pytest.approx(side.latency.moments[0], rel=0.01)


def test_wilsons_interval_by_hand() -> None:
    """5 of 50, from Newcombe (Statistics in Medicine 17, 1998) by his method 3."""
    part = Proportion.wilson(5, 50)
    assert (round(part.low, 4), round(part.high, 4)) == (0.0435, 0.2136)
    assert (Proportion.wilson(0, 10).low, Proportion.wilson(10, 10).high) == (0.0, 1.0)


@pytest.mark.parametrize("runs", [0, -1, 10**9])
def test_invalid_number_of_runs_is_refused(runs: int) -> None:
    with pytest.raises(Invalid, match="runs"):
        rehearse(scenario(guard(0.02, (60, 2, 2))), HEALTHY, runs=runs)
