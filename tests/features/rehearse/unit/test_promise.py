"""Power and exposure against values that can be had by hand or from another library."""

import json
import math
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest
from scipy import stats

from tests.metric_alarm import metric_alarm
from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData
from tidegate.domain.errors import Invalid
from tidegate.domain.rollout import RolloutPlan, RolloutStage
from tidegate.features.rehearse.promise import (
    HEALTHY,
    Baseline,
    LatencyDistribution,
    Predictions,
    PromiseTerms,
    Quantity,
    VersionFault,
    alarm_model,
    distributions,
    promise,
)
from tidegate.features.rehearse.promise.alarm_markov import FIRED, build_chain
from tidegate.features.rehearse.promise.detection import AlarmWatch, RolloutSetting
from tidegate.features.rehearse.promise.proposals import best_power, fewest_requests

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NEW = {"EndpointName": "e", "VariantName": "a", "EndpointConfigName": "c"}


def alarm(metric: str = "Invocation5XXErrors", statistic: str = "Average", threshold: float = 0.02) -> Alarm:
    """On the new version, 1 of 1 minute."""
    return metric_alarm(
        NOW, name="guard", metric=metric, dimensions=NEW, statistic=statistic, period=60, threshold=threshold
    )


def two_stages(bake: int) -> RolloutPlan:
    """A canary of a tenth, and ten minutes at the end."""
    return RolloutPlan(stages=(RolloutStage(1_000, bake), RolloutStage(10_000, 600)), alarms=("guard",))


def one_stage(share: int, bake: int) -> RolloutPlan:
    return RolloutPlan(stages=(RolloutStage(share, bake),), alarms=("guard",))


@pytest.mark.parametrize("mean", [0.3, 7.0, 250.5, 40_000.0])
def test_poisson_as_scipy_has_it(mean: float) -> None:
    low, chances = distributions.poisson(mean)
    assert math.fsum(chances) == pytest.approx(1, abs=1e-12)
    for place in range(0, len(chances), max(1, len(chances) // 50)):
        assert chances[place] == pytest.approx(stats.poisson.pmf(low + place, mean), rel=1e-7, abs=1e-16)


@pytest.mark.parametrize(("trials", "part"), [(1, 0.5), (30, 0.01), (1_000, 0.3), (100_000, 0.999)])
def test_binomial_as_scipy_has_it(trials: int, part: float) -> None:
    low, chances = distributions.binomial(trials, part)
    assert math.fsum(chances) == pytest.approx(1, abs=1e-10)
    for place in range(0, len(chances), max(1, len(chances) // 50)):
        assert chances[place] == pytest.approx(stats.binom.pmf(low + place, trials, part), rel=1e-6, abs=1e-14)


@pytest.mark.parametrize("limit", [0, 1200, 1290, 1300, 1301, 1350, 2000])
def test_many_hits_among_many_requests_are_a_poisson_tail(limit: int) -> None:
    found = distributions.breach_probability(1300.0, 1e6, lambda hits, others: hits > limit)
    assert found == pytest.approx(stats.poisson.sf(limit, 1300.0), abs=1e-12)


@pytest.mark.parametrize(
    ("requests", "rate", "limit"), [(5.0, 0.02, 0.02), (200.0, 0.03, 0.02), (3e3, 0.01, 0.02)]
)
def test_a_period_of_errors_is_a_binomial_tail(requests: float, rate: float, limit: float) -> None:
    numbers = range(1, int(requests + 12 * math.sqrt(requests)) + 30)
    by_hand = math.fsum(
        stats.poisson.pmf(n, requests) * stats.binom.sf(math.floor(limit * n + 1e-9), n, rate) for n in numbers
    )
    found = alarm_model.period_chances(
        alarm(threshold=limit), alarm_model.PeriodLoad(requests), Baseline(rate), Baseline()
    )
    assert found.breach == pytest.approx(by_hand, rel=1e-6)
    assert found.nothing == pytest.approx(math.exp(-requests))


def test_a_percentile_is_a_rate_of_slow_requests() -> None:
    """Among 100 requests the nearest-rank p99 is the second slowest only from 101 on; up to 100 it is the slowest."""
    spread = LatencyDistribution.lognormal(30_000, 120_000)
    limit = spread.quantile(0.995)
    found = alarm_model.period_chances(
        alarm("ModelLatency", "p99", limit),
        alarm_model.PeriodLoad(20.0),
        Baseline(latency=spread),
        Baseline(latency=spread),
    )
    slow = spread.slower_than(alarm_model.slow_threshold(limit, ComparisonOperator.GREATER))
    assert slow == pytest.approx(0.005, rel=0.1)
    assert found.breach == pytest.approx(1 - math.exp(-20 * slow), rel=1e-9)


def test_the_mean_of_predictions_is_normal() -> None:
    base = Baseline(predictions=Predictions(0.4, 0.1))
    guard = replace(alarm("Score", "Average", 0.42), namespace="Fraud")
    found = alarm_model.period_chances(guard, alarm_model.PeriodLoad(1e6), base, base)
    assert found.breach == pytest.approx(0, abs=1e-12)
    small = alarm_model.period_chances(guard, alarm_model.PeriodLoad(100.0), base, base).breach
    by_hand = sum(stats.poisson.pmf(n, 100) * stats.norm.sf(0.02 * math.sqrt(n) / 0.1) for n in range(1, 250))
    assert small == pytest.approx(by_hand, rel=1e-6)


def test_a_spread_goes_through_its_percentiles() -> None:
    spread = LatencyDistribution(((0.5, 20_000.0), (0.9, 50_000.0), (0.99, 200_000.0)))
    for part, time in spread.points:
        assert spread.quantile(part) == pytest.approx(time)
        assert spread.slower_than(time) == pytest.approx(1 - part)
    mean, deviation = LatencyDistribution.lognormal(100.0, 100.0 * math.exp(0.5 * 2.3263478740408408)).moments
    assert mean == pytest.approx(100 * math.exp(0.125), rel=1e-6)
    assert deviation == pytest.approx(mean * math.sqrt(math.exp(0.25) - 1), rel=1e-5)


def test_m_of_n_chain_matches_a_hand_computation() -> None:
    """Two of three periods: with p each, the first two both breach with p^2, and within three p^2 + 2 p^2 (1 - p)."""
    guard = replace(alarm(), evaluation_periods=3, datapoints_to_alarm=2)
    memory = build_chain(guard, gaps=False, history=False)
    p = 0.3
    mass = memory.initial_mass()
    gone = []
    for _ in range(3):
        mass = memory.advance(mass, alarm_model.PeriodChances(p, 0.0))
        gone.append(1 - sum(mass))
    assert gone == pytest.approx([0, p * p, p * p + 2 * p * p * (1 - p)])
    assert memory.advance_many(memory.initial_mass(), alarm_model.PeriodChances(p, 0.0), 1000) == pytest.approx(
        _one_by_one(memory.initial_mass(), 1000, p, guard), abs=1e-12
    )


def _one_by_one(mass: list[float], count: int, p: float, guard: Alarm) -> list[float]:
    memory = build_chain(guard, gaps=False, history=False)
    for _ in range(count):
        mass = memory.advance(mass, alarm_model.PeriodChances(p, 0.0))
    return mass


def test_a_run_needs_as_many_nodes_as_periods() -> None:
    guard = replace(alarm(), evaluation_periods=40, datapoints_to_alarm=40)
    memory = build_chain(guard, gaps=False, history=False)
    assert len(memory.following) == 40
    assert memory.exact


def test_gaps_that_breach_fire_before_any_request() -> None:
    guard = replace(alarm(), missing=MissingData.BREACHING)
    assert build_chain(guard, gaps=False, history=False).start == FIRED
    found = promise(one_stage(1_000, 600), [guard], 40, Baseline(), {})
    assert found.false_alarm == 1


def test_a_bake_of_whole_minutes_by_hand() -> None:
    """Ten minutes hold nine whole periods and the part of one, wherever the shift falls."""
    setting = RolloutSetting(one_stage(1_000, 600), 40.0, Baseline(0.0))
    watching = AlarmWatch(alarm(threshold=0.05), setting)
    fault = VersionFault(error_rate=0.03)
    part = alarm_model.period_chances(
        alarm(threshold=0.05), alarm_model.PeriodLoad(240), Baseline(0.03), Baseline()
    ).breach
    quiet = 0.0
    for offset in ((place + 0.5) / 8 for place in range(8)):
        first = alarm_model.period_chances(
            alarm(threshold=0.05), alarm_model.PeriodLoad(240 * (1 - offset)), Baseline(0.03), Baseline()
        )
        quiet += (1 - part) ** 9 * (1 - first.breach) / 8
    assert watching.by_stage(fault) == pytest.approx((1 - quiet,), rel=1e-9)
    assert watching.exact


def test_bad_version_is_rolled_back_after_its_first_full_period() -> None:
    """All requests fail: one period is enough, and on average half of one lies before it."""
    setting = RolloutSetting(one_stage(1_000, 3_600), 40.0, Baseline(0.0))
    caught = AlarmWatch(alarm(), setting).detect(VersionFault(error_rate=1.0))
    assert caught.by_stage[0] == pytest.approx(1)
    assert caught.seconds == pytest.approx(30, abs=1)
    assert caught.requests == pytest.approx(4 * 30, abs=4)


def test_what_is_promised_can_be_sent_as_json() -> None:
    found = promise(
        one_stage(1_000, 1_800), [alarm()], 40, Baseline(), {Quantity.ERRORS: 0.01}, PromiseTerms(startup=60)
    )
    assert found.seconds == 1_860
    assert found.stages[0].requests == 40 * 0.1 * 1_800
    assert json.loads(json.dumps(asdict(found)))["alarms"][0]["quantity"] == "error-rate"
    assert found.unwatched == (Quantity.LATENCY, Quantity.PREDICTIONS, Quantity.REFUSALS)


def test_alarms_that_the_plan_does_not_name_do_not_count() -> None:
    other = replace(alarm(), name="other")
    found = promise(one_stage(1_000, 1_800), [other], 40, Baseline(), {Quantity.ERRORS: 0.02})
    assert found.alarms == ()
    assert found.wanted[0].alarm is None
    assert [one.what for one in found.wanted[0].proposals] == ["alarm"]


@pytest.mark.parametrize(("good", "rise"), [(0.001, 0.05), (0.01, 0.02), (0.0, 0.3), (0.02, 0.005)])
def test_the_fewest_requests_that_tell_are_those_of_a_plain_test(good: float, rise: float) -> None:
    """By SciPy: with one fewer there is no count that bad versions reach in 95 % and good ones in 1 % of cases."""
    number = fewest_requests(Quantity.ERRORS, Baseline(good), rise, 0.95, 0.01)
    assert number is not None

    def tells(requests: int) -> bool:
        hits = stats.poisson.ppf(0.05, requests * (good + rise))  # the most that 95 % of bad versions reach
        return bool(hits >= 1 and stats.poisson.sf(hits - 1, requests * good) <= 0.01)

    assert tells(number)
    assert not any(tells(fewer) for fewer in range(max(1, number - 20), number))


def test_few_requests_are_told_what_would_be_enough() -> None:
    shape = replace(alarm(), period=300, evaluation_periods=2, datapoints_to_alarm=2)
    found = promise(two_stages(1_800), [shape], 0.1, Baseline(), {Quantity.ERRORS: 0.05}).wanted[0]
    both, sample = found.proposals
    assert (both.what, sample.what, sample.requests) == ("bake_and_alarm", "sample", 94)
    assert both.power >= 0.95 and both.false_alarm <= 0.01
    better = replace(
        shape,
        period=both.period or 0,
        evaluation_periods=both.periods or 0,
        datapoints_to_alarm=both.datapoints or 0,
        threshold=both.threshold or 0.0,
    )
    again = promise(two_stages(both.bake or 0), [better], 0.1, Baseline(), {Quantity.ERRORS: 0.05})
    assert again.wanted[0].seen, "what is proposed does what it says"


def test_refused_requests_are_judged_as_errors_are() -> None:
    usual = Baseline(0.003, refusal_rate=0.003)
    wanted = {Quantity.ERRORS: 0.02, Quantity.REFUSALS: 0.02}
    both = [alarm(), replace(alarm("Invocation4XXErrors"), name="refused")]
    plan = RolloutPlan(stages=(RolloutStage(1_000, 1_800),), alarms=("guard", "refused"))
    failed, refused = promise(plan, both, 40, usual, wanted).wanted
    assert (failed.alarm, refused.alarm) == ("guard", "refused")
    assert failed.by_stage == refused.by_stage and failed.seen and 0 < failed.by_stage[0] <= 1


def test_a_shift_that_nothing_watches_is_told_how_many_requests_show_it() -> None:
    found = promise(one_stage(1_000, 1_800), [alarm()], 40, Baseline(), {Quantity.PREDICTIONS: 0.25}).wanted[0]
    (sample,) = found.proposals
    assert found.alarm is None and (sample.what, sample.requests) == ("sample", 64)
    reached = (stats.norm.ppf(0.95) + stats.norm.ppf(0.99)) / math.sqrt(0.25)
    assert reached**2 <= 64 < reached**2 + 1


def test_an_alarm_that_cannot_be_judged_says_why() -> None:
    found = promise(one_stage(1_000, 600), [alarm("ModelLatency", "p99", 3e5)], 40, Baseline(), {})
    assert found.alarms[0].unknown == "the latency of a good version is not given"


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, 1e9])
def test_invalid_traffic_is_refused(rate: float) -> None:
    with pytest.raises(Invalid, match="requests per second"):
        promise(one_stage(1_000, 600), [alarm()], rate, Baseline(), {})


def test_healthy_is_without_fault() -> None:
    base = Baseline(0.01, LatencyDistribution.lognormal(1e4, 5e4), Predictions(0.0, 1.0))
    assert base.with_fault(HEALTHY) == base
    assert base.with_fault(VersionFault(prediction_shift=0.25)).predictions == Predictions(0.5, 1.0)
    assert base.with_fault(VersionFault(prediction_shift=-0.25)).predictions == Predictions(-0.5, 1.0)


def test_no_test_has_more_power_than_the_best_one() -> None:
    assert best_power(0, 0.01, 0.06, 0.01) == pytest.approx(0.01)
    assert best_power(1, 0.01, 0.06, 0.01) == pytest.approx(0.06)
    for count in (5, 20, 94):
        for least in range(1, count + 1):
            false, power = (float(stats.binom.sf(least - 1, count, part)) for part in (0.01, 0.06))
            assert false > 0.01 or best_power(count, 0.01, 0.06, 0.01) >= power - 1e-12
    powers = [best_power(count, 0.01, 0.06, 0.01) for count in range(0, 200, 20)]
    assert powers == sorted(powers) and powers[-1] > 0.95
