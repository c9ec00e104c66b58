"""Step scaling: which step holds, what a percent is, and cooldowns."""

import pytest

from tests.features.autoscaling.unit.scaling_examples import asked, target
from tidegate.domain.alarm import AlarmState
from tidegate.domain.scaling import Adjustment, PolicyAlarm, ScalingObservation, ScalingStep, StepScaling
from tidegate.features.autoscaling.simulation import START
from tidegate.features.autoscaling.stepping import adjust, find_step

OUT = (ScalingStep(10, 0.0, 10.0), ScalingStep(30, 10.0, 20.0), ScalingStep(50, 20.0))
IN = (ScalingStep(-10, -10.0, 0.0), ScalingStep(-30, None, -10.0))


@pytest.mark.parametrize(("breach", "adjustment"), [(0, 10), (9.9, 10), (10, 30), (19.9, 30), (20, 50), (1e9, 50)])
def test_over_the_threshold_a_step_includes_its_lower_bound(breach: float, adjustment: int) -> None:
    assert find_step(OUT, breach) == next(step for step in OUT if step.adjustment == adjustment)


@pytest.mark.parametrize(("breach", "adjustment"), [(0, -10), (-9.9, -10), (-10, -30), (-1e9, -30)])
def test_under_the_threshold_a_step_includes_its_upper_bound(breach: float, adjustment: int) -> None:
    assert find_step(IN, breach) == next(step for step in IN if step.adjustment == adjustment)


def test_between_the_steps_there_may_be_a_gap() -> None:
    assert find_step((ScalingStep(1, 5.0),), 4.9) is None


@pytest.mark.parametrize(
    ("count", "percent", "change"),
    [(10, 10, 1), (10, 15, 1), (10, 25, 2), (4, 10, 1), (4, -10, -1), (10, -15, -1), (10, -67, -6), (10, 0, 0)],
)
def test_percent_goes_toward_zero_but_what_is_something_is_one(count: int, percent: int, change: int) -> None:
    policy = StepScaling("s", Adjustment.PERCENT, ())
    assert adjust(policy, percent, count) == count + change


def test_a_least_change_holds_for_percent_in_both_directions() -> None:
    policy = StepScaling("s", Adjustment.PERCENT, (), min_magnitude=2)
    assert [adjust(policy, percent, 4) for percent in (10, -10, 0, 100)] == [6, 2, 4, 8]


def seen(count: int, value: float, name: str = "mine") -> ScalingObservation:
    return ScalingObservation(
        count, count, alarms={"s": (PolicyAlarm(name, AlarmState.ALARM, START, 60.0, value),)}
    )


@pytest.mark.parametrize(("value", "desired"), [(60.0, 11), (72.0, 13), (90.0, 15), (59.0, 10)])
def test_the_guides_example_of_ten_instances(value: float, desired: int) -> None:
    policy = StepScaling("s", Adjustment.PERCENT, OUT)
    assert asked(seen(10, value), policy, of=target(maximum=20)).desired == desired


def test_in_the_cooldown_only_what_exceeds_the_last_step_is_added() -> None:
    policy = StepScaling("s", Adjustment.CHANGE, (ScalingStep(2, 0.0, 10.0), ScalingStep(3, 10.0)))
    began = asked(seen(2, 65.0), policy)
    there = asked(seen(4, 65.0), policy, state=began.state, at=60)
    same = asked(seen(4, 65.0), policy, state=there.state, at=120)
    larger = asked(seen(4, 75.0), policy, state=there.state, at=120)
    later = asked(seen(4, 65.0), policy, state=there.state, at=400)
    assert [d.desired for d in (began, there, same, larger, later)] == [4, 4, 4, 5, 6]


def test_scaling_in_by_steps_is_held_by_its_own_cooldown() -> None:
    policy = StepScaling("s", Adjustment.CHANGE, (ScalingStep(-1, None, 0.0),), cooldown=120)
    began = asked(seen(5, 30.0), policy)
    there = asked(seen(4, 30.0), policy, state=began.state, at=60)
    held = asked(seen(4, 30.0), policy, state=there.state, at=150)
    later = asked(seen(4, 30.0), policy, state=held.state, at=215)
    assert [d.desired for d in (began, there, held, later)] == [4, 4, 4, 3]


def test_exact_is_exact() -> None:
    assert asked(seen(2, 99.0), StepScaling("s", Adjustment.EXACT, (ScalingStep(7, 0.0),))).desired == 7
