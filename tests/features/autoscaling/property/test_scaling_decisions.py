"""What holds of every decision, whatever the rules and whatever is seen."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import event, given
from hypothesis import strategies as st

from tests.features.autoscaling.property import scaling_worlds as worlds
from tidegate.domain.alarm import AlarmState
from tidegate.domain.scaling import (
    CapacityNeed,
    Dimension,
    FastMemory,
    FastPolicy,
    PolicyAlarm,
    PredefinedMetricType,
    ScalableTarget,
    ScalerState,
    ScalingObservation,
    ScalingPolicy,
    ScheduledAction,
    TargetTracking,
    VariantLoad,
)
from tidegate.features.autoscaling.decide import ScalingDecision, decide
from tidegate.features.autoscaling.simulation import START


def decided(
    target: ScalableTarget,
    policies: list[ScalingPolicy],
    state: ScalerState,
    seen: ScalingObservation,
    seconds: float,
) -> ScalingDecision:
    return decide(target, policies, (), state, seen, START + timedelta(seconds=seconds), activity_id="a")


@given(st.data(), worlds.targets, worlds.policies, worlds.schedules)
def test_decisions_keep_bounds_repeat_nothing_and_name_their_next_time(
    data: st.DataObject, target: ScalableTarget, policies: list[ScalingPolicy], schedules: list[ScheduledAction]
) -> None:
    """Several looks, one after the other; each decision is saved and what it asks for is what is wanted next."""
    state, count, seconds = ScalerState(), data.draw(st.integers(0, 12)), 0.0
    for turn in range(data.draw(st.integers(1, 8))):
        now = START + timedelta(seconds=seconds)
        seen = data.draw(worlds.looks(policies, count, now))
        decision = decide(target, policies, schedules, state, seen, now, activity_id=f"a{turn}")
        event("changed" if decision.desired != count else "stays")
        if seen.busy is not None:
            assert decision.desired == count, "what must not change does not"
        elif decision.state.retry_at is None:
            assert decision.target.minimum <= decision.desired <= decision.target.maximum
        assert decision.target.minimum <= decision.target.maximum
        _fixpoint(decision, policies, schedules, seen, seconds)
        _honest(decision, policies, schedules, seen, seconds)
        target, state, count = decision.target, decision.state, decision.desired
        seconds += data.draw(st.sampled_from([0.5, 1.0, 10.0, 60.0, 301.0, 3600.0]))


def _fixpoint(
    decision: ScalingDecision,
    policies: list[ScalingPolicy],
    schedules: list[ScheduledAction],
    seen: ScalingObservation,
    at: float,
) -> None:
    """On its own output, with the change asked for but not there yet, nothing moves and nothing is told again."""
    now = START + timedelta(seconds=at)
    wanted = replace(seen, desired=decision.desired, failure=None)
    if decision.desired != seen.desired:
        wanted = replace(wanted, ready=None)
    again = decide(decision.target, policies, schedules, decision.state, wanted, now, activity_id="again")
    assert again.desired == decision.desired
    assert (again.target, again.activities) == (decision.target, ())
    assert again.state == decision.state


def _honest(
    decision: ScalingDecision,
    policies: list[ScalingPolicy],
    schedules: list[ScheduledAction],
    seen: ScalingObservation,
    at: float,
) -> None:
    """Before ``wake_at`` time alone changes no count."""
    now, wake = START + timedelta(seconds=at), decision.wake_at
    wanted = replace(seen, desired=decision.desired, failure=None)
    assert wake is None or wake > now
    probes = (
        [now + timedelta(days=3)] if wake is None else [now + (wake - now) / 2, wake - timedelta(microseconds=1)]
    )
    for probe in probes:
        later = decide(decision.target, policies, schedules, decision.state, wanted, probe, activity_id="later")
        assert (later.desired, later.target) == (decision.desired, decision.target)


@given(
    st.sampled_from([AlarmState.ALARM]),
    st.integers(0, 12),
    st.floats(100.1, 5_000),
    st.floats(1.0, 10.0),
)
def test_target_tracking_is_monotone_in_load(state: AlarmState, count: int, value: float, times: float) -> None:
    policy = TargetTracking("t", 100.0, PredefinedMetricType.INVOCATIONS)
    target = ScalableTarget("e", "v", Dimension.INSTANCES, 0, 40, START)

    def asked(metric: float) -> int:
        high = PolicyAlarm("high", state, START, 100.0, metric)
        low = PolicyAlarm("low", AlarmState.OK, START, 90.0, metric)
        return decided(
            target, [policy], ScalerState(), ScalingObservation(count, count, alarms={"t": (high, low)}), 0
        ).desired

    assert count <= asked(value) <= asked(value * times)


@given(
    worlds.fasts,
    st.integers(0, 12),
    st.integers(0, 12),
    st.floats(0, 20),
    st.floats(0, 300),
    st.floats(0, 300),
    st.booleans(),
)
def test_the_fast_rule_is_monotone_in_load(
    policy: FastPolicy, count: int, ready: int, level: float, low: float, more: float, known: bool
) -> None:
    """From the same memory, more load never asks for fewer."""
    target = ScalableTarget("e", "v", Dimension.INSTANCES, 0, 40, START)
    at = START + timedelta(seconds=100)
    memory = FastMemory(START, at - timedelta(seconds=1), level, (CapacityNeed(at - timedelta(seconds=1), level),))
    state = ScalerState(fast={policy.name: memory})

    def asked(load: float) -> int:
        told = VariantLoad(load, None, load * 10, 0.1) if known else VariantLoad(load)
        return decided(target, [policy], state, ScalingObservation(count, ready, load=told), 100).desired

    assert asked(low) <= asked(low + more)


@given(worlds.fasts, st.lists(st.floats(0, 60), min_size=1, max_size=120), st.integers(1, 20))
def test_scale_in_leaves_what_the_window_needed(policy: FastPolicy, needs: list[float], count: int) -> None:
    target = ScalableTarget("e", "v", Dimension.INSTANCES, 0, 100, START)
    policy, state = replace(policy, smoothing=0.0), ScalerState()
    for second, need in enumerate(needs):
        busy = need * policy.in_flight
        load = VariantLoad(busy, 0.0, busy * 10, 0.1)
        decision = decided(target, [policy], state, ScalingObservation(count, count, load=load), second)
        state = decision.state
        if decision.desired < count:
            window = needs[max(0, second - int(policy.scale_in_window) + 1) : second + 1]
            assert decision.desired >= max(window) - 1e-6
            assert second >= policy.scale_in_window
        count = decision.desired
