"""Random targets, rules and looks for the scaling machine."""

from datetime import datetime, timedelta

from hypothesis import strategies as st

from tidegate.domain.alarm import AlarmState
from tidegate.domain.scaling import (
    Adjustment,
    CalendarPeak,
    CalendarPolicy,
    Dimension,
    FastPolicy,
    ForecastPolicy,
    PolicyAlarm,
    PredefinedMetricType,
    RateSample,
    ScalableTarget,
    ScalingObservation,
    ScalingPolicy,
    ScalingStep,
    ScheduledAction,
    StepScaling,
    SuspendedScaling,
    TargetTracking,
    VariantLoad,
)
from tidegate.features.autoscaling.simulation import START

DAY = 86_400.0

targets = st.builds(
    lambda low, more, held: ScalableTarget("e", "v", Dimension.INSTANCES, low, low + more, START, held),
    st.integers(0, 4),
    st.integers(0, 12),
    st.builds(SuspendedScaling, st.booleans(), st.booleans(), st.booleans()),
)

cooldowns = st.sampled_from([0, 60, 300])
tracks = st.builds(
    TargetTracking,
    st.sampled_from(["track", "other"]),
    st.just(100.0),
    st.just(PredefinedMetricType.INVOCATIONS),
    cooldowns,
    cooldowns,
    st.booleans(),
)
steps = st.builds(
    StepScaling,
    st.just("step"),
    st.sampled_from(Adjustment),
    st.just((ScalingStep(-1, None, 0.0), ScalingStep(1, 0.0, 50.0), ScalingStep(3, 50.0))),
    st.sampled_from([None, 2]),
    cooldowns,
)
fasts = st.builds(
    FastPolicy,
    st.just("fast"),
    st.sampled_from([0.5, 2.8, 16.0]),
    st.sampled_from([None, 0.1]),
    growth=st.sampled_from([1.0, 4.0]),
    scale_in_window=st.sampled_from([5.0, 60.0]),
    smoothing=st.sampled_from([0.0, 2.0]),
    disable_scale_in=st.booleans(),
)
calendars = st.builds(
    CalendarPolicy,
    st.just("calendar"),
    st.just(
        (
            CalendarPeak("morning", "cron(0/20 * * * ? *)", 300.0, 6),
            CalendarPeak("pay day", "cron(30 1 ? * 2 *)", 900.0, 9, "Europe/Zurich"),
        )
    ),
    st.sampled_from([0.0, 30.0]),
)
forecasts = st.builds(ForecastPolicy, st.just("forecast"), st.sampled_from([5.0, 40.0]), st.just(3600.0))
policies = st.lists(
    st.one_of(tracks, steps, fasts, calendars, forecasts), max_size=4, unique_by=lambda policy: policy.name
)
schedules = st.lists(
    st.builds(
        ScheduledAction,
        st.sampled_from(["a", "b"]),
        st.sampled_from(
            ["at(2030-01-07T00:07:00)", "rate(5 minutes)", "cron(3/10 * * * ? *)", "cron(0 0 L * ? *)"]
        ),
        st.just(START),
        minimum=st.sampled_from([None, 0, 2, 5]),
        maximum=st.sampled_from([None, 3, 8]),
    ),
    max_size=2,
    unique_by=lambda action: action.name,
)
loads = st.one_of(
    st.none(),
    st.builds(VariantLoad, st.floats(0, 200)),
    st.builds(
        VariantLoad, st.floats(0, 200), st.floats(0, 3), st.floats(0, 400), st.sampled_from([0.01, 0.1, 1.0])
    ),
)
history = tuple(RateSample(START + timedelta(minutes=5 * n - 180), 10.0 + 5.0 * (n % 12)) for n in range(36))


@st.composite
def looks(draw: st.DrawFn, of: list[ScalingPolicy], desired: int, now: datetime) -> ScalingObservation:
    """A look at ``desired`` instances, of which some may not be there yet."""

    def alarm(name: str, over: bool) -> PolicyAlarm:
        state, value = draw(st.sampled_from(AlarmState)), draw(st.one_of(st.none(), st.floats(0, 500)))
        since = now - timedelta(seconds=draw(st.sampled_from([0, 30, 600])))
        return PolicyAlarm(name, state, since, 100.0 if over else 90.0, value)

    alarms: dict[str, tuple[PolicyAlarm, ...]] = {}
    for policy in of:
        if isinstance(policy, TargetTracking):
            alarms[policy.name] = (alarm(f"{policy.name}-high", True), alarm(f"{policy.name}-low", False))
        elif isinstance(policy, StepScaling):
            alarms[policy.name] = (alarm("mine", True),)
    return ScalingObservation(
        desired,
        draw(st.one_of(st.none(), st.integers(0, desired), st.just(desired))),
        busy=draw(st.sampled_from([None, None, None, "busy"])),
        failure=draw(st.sampled_from([None, None, None, "exit code 1"])),
        alarms=alarms,
        load=draw(loads),
        history=history,
        start_up=draw(st.sampled_from([None, 5.0, 200.0])),
    )
