"""What a step forward rests on: fresh verdicts over the whole bake, and a version that answers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.metric_alarm import metric_alarm
from tests.samples import canary, percent, version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import ClockMark, Endpoint, Pause, Rollout
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import SIGNALS
from tidegate.domain.observation import FleetStatus, GuardCheck, Observation
from tidegate.domain.rollout import Cause, Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands, deadlines, desired_state
from tidegate.rollout.status import status
from tidegate.rollout.step import step
from tidegate.simulation.faults import ObservationGap, When

BAKE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)


def baking(*script: ObservationGap) -> tuple[Endpoint, datetime]:
    """A canary in its first bake, and when that began."""
    deployment = canary(percent(10), 60, 60)
    world = make_updating_world(version("v1", 2), version("v2", 2), deployment, script=script)
    world.run(1000, lambda w: w.record is not None and rollout_of(w.record).phase is Phase.BAKING)
    assert world.record is not None
    return world.record, world.instant()


def rollout_of(endpoint: Endpoint | None) -> Rollout:
    assert endpoint is not None and endpoint.rollout is not None
    return endpoint.rollout


def look(endpoint: Endpoint, evidence: GuardCheck | None, **new: int) -> Observation:
    """Everything is there as wanted; ``new`` is what the new version made of its requests."""
    fleets = {id: FleetStatus(id, spec.count, spec.count) for id, spec in desired_state.fleets(endpoint).items()}
    id = FleetId(endpoint.name, rollout_of(endpoint).new.generation, "AllTraffic")
    fleets[id] = replace(fleets[id], **new)  # type: ignore[arg-type]
    return Observation(fleets, desired_state.traffic(endpoint), {"alarm": AlarmState.OK}, evidence)


def stepped(endpoint: Endpoint, seen: Observation, now: datetime) -> Endpoint:
    after = step(endpoint, seen, now).endpoint
    assert after is not None
    return after


def stage_after(endpoint: Endpoint, evidence: GuardCheck | None, now: datetime, **new: int) -> int:
    return rollout_of(step(endpoint, look(endpoint, evidence, **new), now).endpoint).stage


@pytest.mark.parametrize(
    ("evidence", "moves"),
    [
        (lambda began, now: None, False),
        (lambda began, now: GuardCheck(now, began, now), True),
        (lambda began, now: GuardCheck(now - 5 * SECOND, began, now), True),
        (lambda began, now: GuardCheck(now - 6 * SECOND, began, now), False),
        (lambda began, now: GuardCheck(now + 6 * SECOND, began, now), False),
        (lambda began, now: GuardCheck(now, began, began + BAKE), True),
        (lambda began, now: GuardCheck(now, began, began + BAKE - SECOND), False),
    ],
    ids=["none", "whole", "5 s old", "6 s old", "from a time to come", "just to the end", "not to the end"],
)
def test_a_bake_is_left_on_fresh_verdicts_that_reach_to_its_end(
    evidence: Callable[[datetime, datetime], GuardCheck | None], moves: bool
) -> None:
    endpoint, began = baking()
    now = began + BAKE + 2 * SECOND
    assert stage_after(endpoint, evidence(began, now), now) == int(moves)


def test_a_bake_whose_requests_were_not_all_counted_starts_over() -> None:
    endpoint, began = baking()
    now = began + BAKE + 2 * SECOND
    hole = GuardCheck(now, began + 30 * SECOND, now)
    decision = step(endpoint, look(endpoint, hole), now)
    after = rollout_of(decision.endpoint)
    assert (after.stage, after.bake_until) == (0, now + BAKE)
    assert [event.kind for event in decision.events][-1] == "rollout.BakeRestarted"


def test_a_bake_that_starts_over_counts_no_answer_of_before_for_its_own() -> None:
    """A version that hangs since then has answered nothing, and a controller that was started anew counts from 0."""
    endpoint, began = baking()
    first = GuardCheck(began + 5 * SECOND, began, began + 5 * SECOND)
    endpoint = stepped(endpoint, look(endpoint, first, answered=100, failed=0), began + 5 * SECOND)
    assert rollout_of(endpoint).answers_before == (100, 0)
    again = began + 30 * SECOND
    hole = GuardCheck(again, again, again)
    endpoint = stepped(endpoint, look(endpoint, hole, answered=160, failed=0, in_flight=3), again)
    assert rollout_of(endpoint).answers_before is None
    later = again + 2 * SECOND
    endpoint = stepped(endpoint, look(endpoint, GuardCheck(later, again, later), answered=160, failed=0), later)
    end = again + BAKE + 2 * SECOND
    whole = GuardCheck(end, again, end)
    assert stage_after(endpoint, whole, end, answered=160, failed=0, in_flight=3) == 0, "it hangs"
    assert stage_after(endpoint, whole, end, answered=161, failed=0, in_flight=3) == 1


def test_a_good_version_is_not_turned_back_by_what_an_earlier_controller_counted() -> None:
    endpoint, began = baking()
    first = GuardCheck(began + 5 * SECOND, began, began + 5 * SECOND)
    endpoint = stepped(endpoint, look(endpoint, first, answered=1000, failed=0), began + 5 * SECOND)
    started = began + 20 * SECOND
    endpoint = stepped(endpoint, look(endpoint, GuardCheck(started, started, started), answered=0), started)
    now = started + 30 * SECOND
    seen = look(endpoint, GuardCheck(now, started, now), answered=1000, failed=10, in_flight=0)
    assert rollout_of(step(endpoint, seen, now).endpoint).phase is Phase.BAKING, "it answered a thousand"


def test_a_promotion_needs_a_verdict_over_requests_of_the_stage() -> None:
    endpoint, began = baking()
    promoted = commands.promote(endpoint, "ann", began)
    now = began + 3 * SECOND
    assert stage_after(promoted, GuardCheck(now, began, began - SECOND), now) == 0
    assert stage_after(promoted, GuardCheck(now, began, began + SECOND), now) == 1


def test_a_version_that_has_requests_and_has_answered_none_stays_where_it_is() -> None:
    endpoint, began = baking()
    now = began + BAKE + 2 * SECOND
    whole = GuardCheck(now, began, now)
    held = step(endpoint, look(endpoint, whole, answered=0, failed=0, in_flight=3), now)
    assert rollout_of(held.endpoint).stage == 0
    assert [event.kind for event in held.events] == ["rollout.NoAnswers"]
    assert held.endpoint is not None
    assert stage_after(held.endpoint, whole, now, answered=1, failed=0, in_flight=3) == 1
    assert stage_after(endpoint, whole, now, answered=0, failed=0, in_flight=0) == 1, "nobody asked it anything"


def test_a_version_that_failed_everything_is_turned_back_without_an_alarm() -> None:
    endpoint, began = baking()
    now = began + 5 * SECOND
    whole = GuardCheck(now, began, now)
    turned = step(endpoint, look(endpoint, whole, answered=0, failed=10, in_flight=0), now).endpoint
    assert rollout_of(turned).phase is Phase.ROLLING_BACK
    assert rollout_of(turned).cause == Cause.EVIDENCE
    assert rollout_of(turned).reason == "Deployment rolled back: v2 failed each of its 10 requests."
    for counts in ({"answered": 0, "failed": 9}, {"answered": 1, "failed": 1000}):
        assert rollout_of(step(endpoint, look(endpoint, whole, **counts), now).endpoint).phase is Phase.BAKING


@pytest.mark.parametrize("was_ready", [True, False])
def test_traffic_leaves_a_version_without_a_ready_replica_if_it_ever_had_one(was_ready: bool) -> None:
    """After a crash of the machine both versions start again, and the old one may be there first."""
    endpoint, began = baking()
    now = began + 5 * SECOND
    seen = look(endpoint, GuardCheck(now, began, now))
    assert seen.fleets is not None
    id = FleetId(endpoint.name, rollout_of(endpoint).new.generation, "AllTraffic")
    lost = replace(seen.fleets[id], ready=0, starting=2, was_ready=was_ready)
    after = stepped(endpoint, replace(seen, fleets={**seen.fleets, id: lost}), now)
    assert (desired_state.new_share(after) == 0) == was_ready
    assert rollout_of(after).phase is (Phase.PROVISIONING if was_ready else Phase.BAKING)


def test_traffic_that_was_taken_back_unrecorded_stays_back() -> None:
    endpoint, began = baking()
    seen = look(endpoint, None)
    back = replace(desired_state.build_table(endpoint, 0), fence=endpoint.fence + 1)
    decision = step(endpoint, replace(seen, routes=back), began + SECOND)
    assert rollout_of(decision.endpoint).phase is Phase.ROLLING_BACK
    assert decision.endpoint is not None and desired_state.new_share(decision.endpoint) == 0
    assert "could not be recorded" in (rollout_of(decision.endpoint).reason or "")


def test_nothing_is_judged_in_a_gap_so_nothing_moves() -> None:
    blind = ObservationGap(When(Phase.BAKING, 1, 30.0), 500.0, evidence=True)
    endpoint, _ = baking(blind)
    world = make_updating_world(version("v1", 2), version("v2", 2), canary(percent(10), 60, 60), script=(blind,))
    world.run(450)
    assert world.record is not None and rollout_of(world.record).stage == 0
    world.run(2000)
    assert world.record.rollout is None and rollout_of(endpoint).stage == 0


def test_short_outages_of_the_proxy_add_up() -> None:
    endpoint, began = baking()
    until, now = rollout_of(endpoint).bake_until, began
    assert until is not None
    for _ in range(3):
        away = replace(look(endpoint, GuardCheck(now, began, now)), routes=None)
        endpoint = stepped(endpoint, away, now)
        now += 2.5 * SECOND
        endpoint = stepped(endpoint, look(endpoint, GuardCheck(now, began, now)), now)
    assert rollout_of(endpoint).bake_until == until + 7.5 * SECOND


def test_a_pause_in_an_outage_of_the_proxy_lengthens_the_bake_once() -> None:
    endpoint, began = baking()
    until = rollout_of(endpoint).bake_until
    assert until is not None
    away = replace(look(endpoint, GuardCheck(began, began, began)), routes=None)
    endpoint = commands.pause(stepped(endpoint, away, began), "ann", began + SECOND)
    resumed = began + timedelta(hours=10)
    endpoint = commands.resume(endpoint, "ann", resumed)
    now = resumed + 2 * SECOND
    endpoint = stepped(endpoint, look(endpoint, GuardCheck(now, began, now)), now)
    assert rollout_of(endpoint).bake_until == until + timedelta(hours=10) + 2 * SECOND


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("by", [3600.0, -90.0])
def test_a_set_clock_moves_every_deadline_along(by: float, paused: bool) -> None:
    endpoint, began = baking()
    rollout = replace(
        rollout_of(endpoint), pause=Pause(began, "ann") if paused else None, expires_at=began + 5 * BAKE
    )
    endpoint = replace(endpoint, rollout=rollout, clock=ClockMark("boot", 1000.0))
    step_, now = timedelta(seconds=by), began + SECOND
    moved, events = deadlines.follow_clock(endpoint, ClockMark("boot", 1000.0 + by), now + step_)
    after = rollout_of(moved)
    assert after.bake_until == (rollout.bake_until or began) + step_
    assert after.phase_since == (rollout.phase_since or began) + step_
    assert after.expires_at == began + 5 * BAKE + step_
    assert (after.pause.since if after.pause else None) == (began + step_ if paused else None)
    assert [event.kind for event in events] == ["clock.Stepped"]
    assert deadlines.follow_clock(moved, ClockMark("boot", 1000.0 + by), now + step_) == (moved, ())


def test_a_slow_correction_is_no_step() -> None:
    endpoint, began = baking()
    endpoint = replace(endpoint, clock=ClockMark("boot", 1000.0))
    assert deadlines.follow_clock(endpoint, ClockMark("boot", 1000.9), began) == (endpoint, ())


def test_a_clock_set_back_over_a_restart_of_the_machine_holds_no_bake_for_longer() -> None:
    endpoint, began = baking()
    endpoint = replace(endpoint, clock=ClockMark("boot", 1000.0))
    earlier = began - timedelta(hours=5)
    moved, _ = deadlines.follow_clock(endpoint, ClockMark("another boot", 0.0), earlier)
    assert rollout_of(moved).bake_until == earlier + BAKE


def test_where_nothing_is_under_way_no_clock_is_kept() -> None:
    endpoint, began = baking()
    idle = replace(endpoint, rollout=None)
    assert deadlines.follow_clock(idle, ClockMark("boot", 1.0), began) == (idle, ())


@pytest.mark.parametrize("quiet", [True, False])
def test_a_composite_guard_that_missing_data_leave_open_holds_the_rollout(quiet: bool) -> None:
    """CloudWatch has it OK while the alarm that it depends on has no data."""
    endpoint, began = baking()
    guards = (
        replace(metric_alarm(began), name="errors"),
        replace(metric_alarm(began), name="alarm", rule="ALARM(errors)"),
    )
    rollout = rollout_of(endpoint)
    plan = replace(rollout.plan, require_evidence=True)
    endpoint = replace(endpoint, rollout=replace(rollout, guards=guards, plan=plan))
    now = began + BAKE + SECOND
    seen = look(endpoint, GuardCheck(now, began, now), answered=10)
    states = {"alarm": AlarmState.OK, "errors": AlarmState.INSUFFICIENT_DATA if quiet else AlarmState.OK}
    after = rollout_of(step(endpoint, replace(seen, alarms=states), now).endpoint)
    assert after.stage == (rollout.stage if quiet else rollout.stage + 1)
    assert any("errors" in str(one) for one in after.conditions) is quiet


@pytest.mark.parametrize("state", [AlarmState.OK, AlarmState.INSUFFICIENT_DATA, None])
def test_a_signal_that_cannot_be_read_holds_the_rollout_also_where_no_evidence_is_required(
    state: AlarmState | None,
) -> None:
    endpoint, began = baking()
    rollout = rollout_of(endpoint)
    guards = (metric_alarm(began, name="alarm", namespace=SIGNALS),)
    endpoint = replace(endpoint, rollout=replace(rollout, guards=guards))
    now = began + BAKE + SECOND
    seen = look(endpoint, GuardCheck(now, began, now), answered=10)
    after = rollout_of(step(endpoint, replace(seen, alarms={"alarm": state} if state else {}), now).endpoint)
    assert after.stage == rollout.stage + (state is AlarmState.OK)
    assert not rollout.plan.require_evidence


def test_a_signal_that_was_not_read_to_the_end_of_the_bake_is_named_at_once_until_it_is() -> None:
    endpoint, began = baking()
    end = rollout_of(endpoint).bake_until
    assert end is not None
    now = end + SECOND
    check = GuardCheck(now, began, end - SECOND, read_through={"alarm": end - SECOND})
    held = step(endpoint, look(endpoint, check, answered=10), now)
    (condition,) = rollout_of(held.endpoint).conditions
    assert (condition.type, condition.status, condition.message) == ("WaitingForEvidence", True, "alarm")
    assert status(held.endpoint or endpoint)[1].endswith("; WaitingForEvidence: alarm")
    assert "waiting until alarm(s) alarm are OK by data that reach to the end" in held.events[0].message
    endpoint = stepped(endpoint, look(endpoint, check, answered=10), now)
    again = step(endpoint, look(endpoint, check, answered=10), now)
    assert again.events == ()
    after = rollout_of(stepped(endpoint, look(endpoint, GuardCheck(now, began, now), answered=10), now))
    assert after.stage == 1
    assert not any(one.status for one in after.conditions)


def test_a_wait_for_a_signal_does_not_end_while_requests_are_not_counted_to_the_end_either() -> None:
    endpoint, began = baking()
    end = rollout_of(endpoint).bake_until
    assert end is not None
    check = GuardCheck(end + SECOND, began, end - SECOND, read_through={"alarm": end - SECOND})
    endpoint = stepped(endpoint, look(endpoint, check, answered=10), end + SECOND)
    behind = GuardCheck(end + SECOND, began, end - 2 * SECOND)
    assert step(endpoint, look(endpoint, behind, answered=10), end + SECOND).events == ()


def test_a_bake_whose_requests_are_still_counted_waits_for_no_alarm() -> None:
    endpoint, began = baking()
    end = rollout_of(endpoint).bake_until
    assert end is not None
    check = GuardCheck(end + SECOND, began, end - 2 * SECOND, read_through={"alarm": end})
    held = rollout_of(step(endpoint, look(endpoint, check, answered=10), end + SECOND).endpoint or endpoint)
    assert (held.stage, held.conditions) == (0, ())


def test_an_alarm_by_data_of_before_the_rollout_holds_its_stage_and_does_not_roll_it_back() -> None:
    endpoint, began = baking()
    now = began + BAKE + 2 * SECOND
    seen = replace(
        look(endpoint, GuardCheck(now, began, now), answered=5),
        alarms={"alarm": AlarmState.ALARM},
        from_before=("alarm",),
    )
    held = step(endpoint, seen, now)
    assert held.endpoint is not None
    assert (rollout_of(held.endpoint).phase, rollout_of(held.endpoint).stage) == (Phase.BAKING, 0)
    assert [event.kind for event in held.events] == ["rollout.AlarmFromBefore"]
    assert rollout_of(step(endpoint, replace(seen, from_before=()), now).endpoint).cause == Cause.ALARM
    over = look(held.endpoint, GuardCheck(now, began, now), answered=5)
    after = step(held.endpoint, over, now)
    assert rollout_of(after.endpoint).stage == 1
    assert not any(one.status for one in rollout_of(after.endpoint).conditions)


def provisioning() -> tuple[Endpoint, datetime, timedelta]:
    """A canary whose instances are there before its first shift, when that began, and how long it may take."""
    endpoint, began = baking()
    rollout = rollout_of(endpoint)
    waits = timedelta(seconds=rollout.plan.provisioning_timeout)
    waiting = replace(rollout, phase=Phase.PROVISIONING, bake_until=None, phase_deadline=began + waits)
    return desired_state.route(replace(endpoint, rollout=waiting), 0), began, waits


def held(endpoint: Endpoint, now: datetime, **new: int) -> Endpoint:
    """After a step in which the alarm is in ALARM by data of before."""
    seen = replace(look(endpoint, GuardCheck(now, now, now), **new), alarms={"alarm": AlarmState.ALARM})
    return stepped(endpoint, replace(seen, from_before=("alarm",)), now)


def test_an_alarm_of_before_costs_no_deadline_of_instances_that_are_ready() -> None:
    endpoint, began, waits = provisioning()
    for second in (1, 2):
        endpoint = held(endpoint, began + second * SECOND)
    end = began + waits + SECOND
    endpoint = held(endpoint, end)
    assert (rollout_of(endpoint).phase, rollout_of(endpoint).cause) == (Phase.PROVISIONING, None)
    over = look(endpoint, GuardCheck(end, began, end))
    for _ in range(2):
        endpoint = stepped(endpoint, over, end)
    assert rollout_of(endpoint).phase is Phase.ACTIVATING_TRAFFIC


def test_the_deadline_for_instances_that_are_lost_while_an_alarm_of_before_holds_begins_then() -> None:
    endpoint, began, waits = provisioning()
    for second in (1, 2):
        endpoint = held(endpoint, began + second * SECOND)
    lost = began + waits + SECOND
    endpoint = held(endpoint, lost, ready=1)
    assert rollout_of(endpoint).phase_deadline == lost + waits
    assert [one.type for one in rollout_of(endpoint).conditions if one.status] == [
        "AlarmFromBefore",
        "CapacityShort",
    ]
    late = held(endpoint, lost + waits, ready=1)
    assert rollout_of(late).cause == Cause.PROVISIONING
    back = held(endpoint, lost + SECOND)
    assert rollout_of(back).phase_deadline is None
    assert [one.type for one in rollout_of(back).conditions if one.status] == ["AlarmFromBefore"]
