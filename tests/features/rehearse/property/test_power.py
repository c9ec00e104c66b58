"""What must hold of the power of any rollout, and that the rehearsal's shortcuts change no judgement."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator, MissingData
from tidegate.domain.rollout import RolloutPlan, RolloutStage
from tidegate.features.rehearse.promise import HEALTHY, Baseline, LatencyDistribution, Quantity, VersionFault
from tidegate.features.rehearse.promise.detection import AlarmWatch, RolloutSetting
from tidegate.features.rehearse.rehearsal.alarm_replay import ReplayedAlarm, latency_cuts
from tidegate.features.rehearse.rehearsal.sampling import NOTHING, RequestSampler, make_kinds
from tidegate.monitoring.alarm_evaluation import EXTRA, evaluate
from tidegate.simulation.world import START

NEW = {"EndpointName": "e", "VariantName": "a", "EndpointConfigName": "c"}
USUAL = Baseline(0.002, LatencyDistribution.lognormal(20_000, 80_000))


@st.composite
def error_alarms(draw: st.DrawFn) -> Alarm:
    periods = draw(st.integers(1, 4))
    return Alarm(
        "guard",
        "AWS/SageMaker",
        "Invocation5XXErrors",
        NEW,
        "Average",
        draw(st.sampled_from([10, 60])),
        periods,
        draw(st.integers(1, periods)),
        draw(st.floats(0.004, 0.1)),
        ComparisonOperator.GREATER,
        datetime.max.replace(tzinfo=UTC),
        draw(st.sampled_from([MissingData.MISSING, MissingData.NOT_BREACHING, MissingData.IGNORE])),
    )


def power(alarm: Alarm, share: int, bake: int, rate: float, fault: VersionFault) -> float:
    plan = RolloutPlan(stages=(RolloutStage(share, bake), RolloutStage(10_000, 300)), alarms=("guard",))
    return AlarmWatch(alarm, RolloutSetting(plan, rate, USUAL)).by_stage(fault)[0]


few = settings(max_examples=25)
"""Each example is many sums."""
shares = st.integers(100, 5_000)
bakes = st.integers(2, 40).map(lambda minutes: minutes * 60)
rates = st.floats(1, 200)
rises = st.floats(0.0005, 0.2)


@few
@given(error_alarms(), shares, bakes, rates, rises, st.floats(1.05, 3))
def test_a_larger_fault_is_seen_more_surely(
    alarm: Alarm, share: int, bake: int, rate: float, rise: float, more: float
) -> None:
    small, large = VersionFault(error_rate=rise), VersionFault(error_rate=min(0.9, rise * more))
    assert power(alarm, share, bake, rate, small) <= power(alarm, share, bake, rate, large) + 1e-9


@few
@given(error_alarms(), shares, bakes, rates, rises, st.integers(1, 4))
def test_a_longer_bake_sees_more(alarm: Alarm, share: int, bake: int, rate: float, rise: float, more: int) -> None:
    """But for where in a period the shift falls, which long bakes take to be its middle."""
    fault = VersionFault(error_rate=rise)
    short, long = (power(alarm, share, seconds, rate, fault) for seconds in (bake, bake * (1 + more)))
    assert short <= long + 0.01


@few
@given(error_alarms(), st.integers(100, 500), bakes, st.floats(10, 60))
def test_more_requests_see_better_what_is_well_above_the_threshold(
    alarm: Alarm, share: int, bake: int, requests: float
) -> None:
    """Where most periods have requests: with gaps an alarm looks farther back, which few requests gain by."""
    fault = VersionFault(error_rate=min(0.9, 4 * alarm.threshold))
    rate = requests * 10_000 / share / alarm.period
    assert power(alarm, share, bake, rate, fault) <= power(alarm, share * 10, bake, rate, fault) + 0.01
    assert power(alarm, share, bake, rate, fault) <= power(alarm, share, bake, rate * 10, fault) + 0.01


@few
@given(error_alarms(), shares, bakes, rates, st.floats(1.01, 4))
def test_a_higher_threshold_has_fewer_false_alarms(
    alarm: Alarm, share: int, bake: int, rate: float, more: float
) -> None:
    high = replace(alarm, threshold=alarm.threshold * more)
    assert power(high, share, bake, rate, HEALTHY) <= power(alarm, share, bake, rate, HEALTHY) + 1e-12


@few
@given(error_alarms(), shares, bakes, rates)
def test_the_smallest_fault_is_seen_and_a_smaller_one_is_not(
    alarm: Alarm, share: int, bake: int, rate: float
) -> None:
    plan = RolloutPlan(stages=(RolloutStage(share, bake),), alarms=("guard",))
    watching = AlarmWatch(alarm, RolloutSetting(plan, rate, USUAL))
    least = watching.smallest(Quantity.ERRORS, 0, 0.95)
    if least is None:
        assert watching.by_stage(VersionFault(error_rate=1 - USUAL.error_rate))[0] < 0.95
    else:
        assert watching.by_stage(VersionFault(error_rate=least))[0] >= 0.95
        assert least < 1e-6 or watching.by_stage(VersionFault(error_rate=least * 0.99))[0] < 0.95


@few
@given(
    error_alarms(),
    st.sampled_from(list(MissingData)),
    st.booleans(),
    st.floats(0.05, 60),
    st.floats(0, 0.2),
    st.integers(0, 2**32),
)
def test_an_unchanged_alarm_would_get_the_same_verdict_again(
    alarm: Alarm, missing: MissingData, latency: bool, requests: float, rise: float, seed: int
) -> None:
    """Each look against a full evaluation of the same points."""
    alarm = replace(alarm, missing=missing)
    if latency:
        alarm = replace(alarm, metric="ModelLatency", statistic="p90", threshold=60_000.0)
    bad = USUAL.with_fault(VersionFault(error_rate=rise, latency=rise * 1e5))
    assert bad.latency is not None
    crowd = RequestSampler(bad, make_kinds(bad.latency, latency_cuts(alarm, [bad.latency])))
    judged = ReplayedAlarm(alarm, 1, (crowd.kinds, crowd.kinds))
    plain, points = judged.alarm, [None] * (alarm.evaluation_periods + EXTRA)
    chance, alone = Random(seed), ReplayedAlarm(alarm, 1, (crowd.kinds, crowd.kinds))
    for number in range(60):
        cell = (crowd.draw(requests if number % 17 else 0.0, chance), NOTHING)
        changed = judged.look([cell], float(number))
        points = [*points[1:], alone._value(*cell)[0]]  # type: ignore[list-item]
        after = evaluate(plain, points, START)
        assert judged.alarm.state is after.state
        assert changed == (after.state is not plain.state)
        plain = after
    assert plain.state in AlarmState
