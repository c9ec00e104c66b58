"""Application Auto Scaling's own rule: in proportion, rounded up; cooldowns; several policies; what is refused."""

from dataclasses import replace

import pytest

from tests.features.autoscaling.unit.scaling_examples import PER_MINUTE, after, asked, high, loaded, low, target
from tidegate.domain.alarm import AlarmState, ComparisonOperator
from tidegate.domain.metric import SAGEMAKER, MetricId
from tidegate.domain.scaling import (
    ActivityStatus,
    CustomMetric,
    NotScaledCode,
    PredefinedMetricType,
    ScalerState,
    ScalingObservation,
    SuspendedScaling,
    TargetTracking,
)
from tidegate.features.autoscaling.decide import ScalingDecision
from tidegate.features.autoscaling.simulation import START
from tidegate.features.autoscaling.tracking import build_alarms


@pytest.mark.parametrize(
    ("count", "value", "desired"),
    [
        (1, 250.0, 3),
        (1, 101.0, 2),
        (2, 100.0, 2),
        (4, 95.0, 4),
        (4, 89.0, 4),
        (4, 60.0, 3),
        (4, 5.0, 1),
        (4, 0.0, 1),
        (4, 1.7e308, 10),
    ],
)
def test_the_count_follows_the_metric_in_proportion_and_is_rounded_up(
    count: int, value: float, desired: int
) -> None:
    assert asked(loaded(count, value), PER_MINUTE).desired == desired


def test_a_jump_goes_to_the_maximum_at_once_and_says_why() -> None:
    decision = asked(loaded(1, 5_000.0), PER_MINUTE)
    assert decision.desired == 10
    activity = decision.activities[-1]
    assert activity.description == "Setting desired instance count to 10."
    assert activity.cause == "monitor alarm tracking-AlarmHigh in state ALARM triggered policy tracking"
    assert activity.status is ActivityStatus.IN_PROGRESS


def test_a_change_is_fulfilled_when_its_instances_are_ready() -> None:
    began = asked(loaded(1, 300.0), PER_MINUTE)
    waiting = asked(ScalingObservation(3, 1), PER_MINUTE, state=began.state, at=30)
    there = asked(ScalingObservation(3, 3), PER_MINUTE, state=waiting.state, at=60)
    assert waiting.activities == ()
    assert [(a.id, a.status, a.ended) for a in there.activities] == [("a1", ActivityStatus.SUCCESSFUL, after(60))]
    assert there.activities[0].message == (
        "Successfully set desired instance count to 3. Change successfully fulfilled by sagemaker."
    )


def grown() -> ScalingDecision:
    """One instance became two, all there after a minute; the cooldown runs for 300 seconds from then on."""
    return asked(ScalingObservation(2, 2), PER_MINUTE, state=asked(loaded(1, 200.0), PER_MINUTE).state, at=60)


def test_in_the_cooldown_what_was_added_counts_for_the_next_scale_out() -> None:
    same = asked(loaded(2, 190.0), PER_MINUTE, state=grown().state, at=120)
    larger = asked(loaded(2, 290.0), PER_MINUTE, state=grown().state, at=120)
    over = asked(loaded(2, 190.0), PER_MINUTE, state=grown().state, at=360)
    assert (same.desired, larger.desired, over.desired) == (2, 3, 4)


def test_the_alarm_acts_again_every_minute_and_not_before() -> None:
    first = asked(loaded(10, 300.0), PER_MINUTE)
    assert first.state.fired == {"tracking-AlarmHigh": START}
    early = asked(loaded(2, 300.0), PER_MINUTE, state=first.state, at=59)
    again = asked(loaded(2, 300.0), PER_MINUTE, state=first.state, at=60)
    assert (early.desired, again.desired, first.wake_at) == (2, 6, after(60))


def test_scaling_in_waits_for_its_cooldown_and_scaling_out_ends_it() -> None:
    fewer = asked(loaded(8, 50.0), PER_MINUTE)
    there = asked(loaded(4, 50.0), PER_MINUTE, state=fewer.state, at=60)
    later = asked(loaded(4, 50.0), PER_MINUTE, state=there.state, at=360)
    out = asked(loaded(4, 200.0), PER_MINUTE, state=there.state, at=120)
    assert (fewer.desired, there.desired, later.desired, out.desired) == (4, 4, 2, 8)
    assert out.state.into is None


def test_of_several_policies_the_largest_wins_and_fewer_needs_all() -> None:
    other = replace(PER_MINUTE, name="other")
    both = ScalingObservation(4, 4, alarms=loaded(4, 50.0).alarms | loaded(4, 75.0, "other").alarms)
    one = ScalingObservation(4, 4, alarms=loaded(4, 50.0).alarms | loaded(4, 95.0, "other").alarms)
    more = ScalingObservation(4, 4, alarms=loaded(4, 150.0).alarms | loaded(4, 200.0, "other").alarms)
    assert [asked(seen, PER_MINUTE, other).desired for seen in (both, one, more)] == [3, 4, 8]
    assert asked(one, PER_MINUTE, replace(other, disable_scale_in=True)).desired == 2


def test_missing_data_scales_nothing() -> None:
    dark = AlarmState.INSUFFICIENT_DATA
    for pair in ((high(None, dark), low(None, dark)), (high(None), low(None)), (high(None), low(None, dark))):
        decision = asked(ScalingObservation(4, 4, alarms={"tracking": pair}), PER_MINUTE)
        assert (decision.desired, decision.activities) == (4, ())


@pytest.mark.parametrize(
    ("count", "value", "code"),
    [(10, 300.0, NotScaledCode.AT_MAXIMUM), (1, 10.0, NotScaledCode.FLAPPING), (2, 85.0, NotScaledCode.FLAPPING)],
)
def test_what_cannot_be_changed_is_told_once(count: int, value: float, code: NotScaledCode) -> None:
    told = asked(loaded(count, value), PER_MINUTE)
    again = asked(loaded(count, value), PER_MINUTE, state=told.state, at=60)
    assert [reason.code for a in told.activities for reason in a.not_scaled] == [code]
    assert (told.desired, again.activities) == (count, ())


def test_at_the_minimum_nothing_is_taken_away() -> None:
    told = asked(loaded(4, 10.0), PER_MINUTE, of=target(minimum=4))
    assert (told.desired, told.activities[0].not_scaled[0].code) == (4, NotScaledCode.AT_MINIMUM)


def test_suspended_directions_stay_and_bounds_hold_all_the_same() -> None:
    held = replace(target(), suspended=SuspendedScaling(scale_in=True, scale_out=True))
    assert asked(loaded(2, 300.0), PER_MINUTE, of=held).desired == 2
    assert asked(loaded(2, 10.0), PER_MINUTE, of=held).desired == 2
    raised = asked(ScalingObservation(2, 2), of=replace(held, minimum=4))
    assert (raised.desired, raised.reason) == (4, "minimum capacity was set to 4")
    lowered = asked(ScalingObservation(12, 12), of=held)
    assert (lowered.desired, lowered.reason) == (10, "maximum capacity was set to 10")


def test_a_count_that_must_not_change_is_left_and_asked_for_later() -> None:
    busy = replace(loaded(2, 300.0), busy="Cannot update in-progress endpoint fraud")
    held = asked(busy, PER_MINUTE)
    assert (held.desired, held.reason) == (2, "Cannot update in-progress endpoint fraud")
    assert asked(loaded(2, 300.0), PER_MINUTE, state=held.state, at=1).desired == 6


def test_a_scale_out_that_could_not_be_had_is_failed_and_not_tried_again_at_once() -> None:
    began = asked(loaded(2, 300.0), PER_MINUTE)
    failed = asked(replace(loaded(2, 300.0), failure="exit code 1"), PER_MINUTE, state=began.state, at=60)
    early = asked(loaded(2, 300.0), PER_MINUTE, state=failed.state, at=119)
    assert failed.activities[0].status is ActivityStatus.FAILED
    assert "exit code 1" in failed.activities[0].message
    assert (failed.desired, failed.wake_at, early.desired) == (2, after(120), 2)
    assert asked(loaded(2, 300.0), PER_MINUTE, state=early.state, at=120).desired == 6


def test_a_change_that_someone_else_overtook_is_on_record_as_that() -> None:
    began = asked(loaded(2, 300.0), PER_MINUTE)
    found = asked(ScalingObservation(5, 5), PER_MINUTE, state=began.state, at=10)
    assert [a.status for a in found.activities] == [ActivityStatus.OVERRIDDEN]
    assert found.state.running is None


def test_the_two_alarms_of_a_policy_are_amazons() -> None:
    policy = replace(PER_MINUTE, alarm_ids=("id-1", "id-2"))
    up, down = build_alarms(target(), policy, "arn:policy", START)
    assert up.name == "TargetTracking-endpoint/fraud/variant/AllTraffic-AlarmHigh-id-1"
    assert down.name == "TargetTracking-endpoint/fraud/variant/AllTraffic-AlarmLow-id-2"
    assert (up.evaluation_periods, up.datapoints_to_alarm, up.period, up.threshold) == (3, 3, 60, 100.0)
    assert (down.evaluation_periods, down.datapoints_to_alarm, down.threshold) == (15, 15, 90.0)
    assert (up.comparison, down.comparison) == (ComparisonOperator.GREATER, ComparisonOperator.LESS)
    assert (up.namespace, up.metric, up.statistic) == (SAGEMAKER, "InvocationsPerInstance", "Sum")
    assert up.dimensions == {"EndpointName": "fraud", "VariantName": "AllTraffic"}
    assert up.alarm_actions == ("arn:policy",)


def test_metrics_of_ten_seconds_are_heard_after_three_of_them() -> None:
    policy = TargetTracking("t", 3.0, PredefinedMetricType.CONCURRENT)
    up, down = build_alarms(target(), policy, "arn", START)
    assert (up.period, up.evaluation_periods, down.evaluation_periods) == (10, 3, 15)


def test_any_metric_can_be_tracked() -> None:
    metric = MetricId.of(SAGEMAKER, "ApproximateBacklogSizePerInstance", {"EndpointName": "fraud"})
    up, _ = build_alarms(target(), TargetTracking("t", 5.0, CustomMetric(metric, "Average")), "arn", START)
    assert (up.metric, up.statistic, up.dimensions) == (metric.name, "Average", {"EndpointName": "fraud"})


def test_a_state_that_is_gone_is_forgotten_with_its_policy() -> None:
    state = ScalerState(fired={"old-AlarmHigh": START})
    assert asked(loaded(2, 95.0), PER_MINUTE, state=state).state.fired == {}
