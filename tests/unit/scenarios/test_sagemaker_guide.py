"""The deployment guide's JSON examples on a virtual clock. Replicas take 30 s; each time is worked out by hand."""

import pytest

from tests.samples import percent, rolling, version
from tests.unit.scenarios.rollout_story import Story, fires
from tidegate.domain.alarm import AlarmState
from tidegate.domain.rollout import BlueGreen, DeploymentConfig, Phase, TrafficRouting
from tidegate.simulation.faults import AlarmTurns, When

STARTUP = 30

ALL_AT_ONCE = DeploymentConfig(
    blue_green=BlueGreen(termination_wait=600), execution_timeout=1800, alarms=("errors",)
)
CANARY = DeploymentConfig(
    blue_green=BlueGreen(TrafficRouting.CANARY, 600, percent(30), 600), execution_timeout=1800, alarms=("errors",)
)
LINEAR = DeploymentConfig(
    blue_green=BlueGreen(TrafficRouting.LINEAR, 300, percent(33), 300), execution_timeout=1800, alarms=("errors",)
)


def three(config: DeploymentConfig, *script: AlarmTurns) -> Story:
    return Story(config, script, old=version("blue", 3), new=version("green", 3)).run(3 * 3600)


def test_guide_all_at_once() -> None:
    story = three(ALL_AT_ONCE)
    assert story.shares() == [0, 10_000]
    assert story.times(Phase.ACTIVATING_TRAFFIC) == [STARTUP]
    assert story.times(Phase.TERMINATING) == [STARTUP + 600]
    assert story.times(Phase.SUCCEEDED) == [STARTUP + 600 + 1]


def test_guide_canary() -> None:
    story = three(CANARY)
    assert story.shares() == [0, 3_000, 10_000]
    assert story.times(Phase.ACTIVATING_TRAFFIC) == [STARTUP, STARTUP + 600]
    assert story.times(Phase.TERMINATING) == [STARTUP + 600 + 600]


def test_guide_linear() -> None:
    story = three(LINEAR)
    assert story.shares() == [0, 3_300, 6_600, 10_000]
    assert story.times(Phase.ACTIVATING_TRAFFIC) == [STARTUP, STARTUP + 300, STARTUP + 600]
    assert story.times(Phase.TERMINATING) == [STARTUP + 900]


@pytest.mark.parametrize(("config", "until"), [(ALL_AT_ONCE, 630), (CANARY, 1230), (LINEAR, 930)])
def test_guide_an_alarm_in_the_last_second_of_the_final_bake_still_rolls_back(
    config: DeploymentConfig, until: int
) -> None:
    story = three(config, fires(after=until - 1, alarm="errors"))
    assert story.serves == "blue" and story.last.phase is Phase.ROLLED_BACK
    assert story.record.failure_reason == (
        "Deployment rolled back: alarm(s) [errors] in ALARM state during baking."
    )


def test_guide_own_alarm_is_slower_than_its_own_canary() -> None:
    """The guide's alarm looks at 2 periods of 600 s, so it can be in ALARM 1,200 s after the shift at the soonest
    (all of both periods bad), while its canary waits for 600 s: 100 % are on the bad version by then, and only
    the final bake, whose last second this is, could still catch it."""
    period, periods = 600, 2
    shifted = STARTUP
    fired = shifted + period * periods
    assert fired > shifted + CANARY_WAIT
    story = Story(
        CANARY, (fires(after=fired - 1, alarm="errors"),), old=version("blue", 3), new=version("green", 3)
    )
    story.run(fired - 2)
    assert story.share(2) == 10_000
    story.run(3600)
    assert story.serves == "blue"
    late = three(CANARY, fires(after=fired + 1, alarm="errors"))
    assert late.serves == "green" and late.last.phase is Phase.SUCCEEDED


CANARY_WAIT = 600


def test_guide_latency_alarm_lets_two_linear_steps_pass() -> None:
    """2 periods of 300 s beside waits of 300 s: the second step is taken before the alarm can be sure."""
    story = three(LINEAR, fires(after=STARTUP + 600 - 1, alarm="errors"))
    assert story.shares() == [0, 3_300, 6_600, 0]
    assert story.serves == "blue"


def test_guide_an_alarm_already_in_alarm_rolls_back_before_any_shift() -> None:
    story = Story(CANARY, old=version("blue", 3), new=version("green", 3), alarms={"errors": AlarmState.ALARM})
    story.run(60)
    assert story.shares() == [0] and story.ready(2) == 0
    assert (
        story.record.failure_reason is not None and "before its traffic was shifted" in story.record.failure_reason
    )
    assert story.record.rejected == (), "it never took a request"


def test_guide_insufficient_data_does_not_block() -> None:
    story = Story(CANARY, old=version("blue", 3), new=version("green", 3))
    story.world.alarms["errors"] = AlarmState.INSUFFICIENT_DATA
    assert story.run(2000).serves == "green"


def test_guide_the_execution_timeout_rolls_back() -> None:
    slow = version("green", 3)
    story = Story(
        DeploymentConfig(blue_green=CANARY.blue_green, execution_timeout=1201, alarms=("errors",)),
        old=version("blue", 3),
        new=slow,
    ).run(3000)
    assert story.serves == "blue" and story.last.cause == "ExecutionTimeout"


def test_guide_rolling_update_in_two_batches() -> None:
    story = Story(rolling(percent(50), 120, alarms=("errors",))).run(3600)
    assert story.shares() == [0, 5_000, 10_000]
    first_batch, second_batch = story.times(Phase.ACTIVATING_TRAFFIC)
    assert first_batch == STARTUP
    assert second_batch == STARTUP + 120 + 1 + STARTUP, "the old batch drains for 1 s before the next one starts"
    assert story.times(Phase.TERMINATING) == [second_batch + 120]


def test_guide_a_deleted_alarm_is_told_and_never_good_news() -> None:
    gone = AlarmTurns(When(Phase.BAKING, 1, 10.0), "errors", None)
    story = three(CANARY, gone)
    told = [
        event for entry in story.world.journal for event in entry.events if event.kind == "rollout.AlarmMissing"
    ]
    assert len(told) == 1 and story.serves == "green"
    held = Story(
        DeploymentConfig(blue_green=CANARY.blue_green, alarms=("errors",), require_evidence=True), (gone,)
    ).run(10_000)
    assert held.rollout.phase is Phase.BAKING and held.share(2) == 3_000
