"""After the last step the old version keeps a share for a while: who has it back, what ends it, and what is told."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.samples import all_at_once, canary, linear, percent, rolling, version
from tidegate.domain.access import Role
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.evidence import EvidenceConfig, Finding, Verdict
from tidegate.domain.observation import Capabilities, Event, GuardCheck, Observation
from tidegate.domain.rollout import Approval, DeploymentConfig, Holdback, Phase, RolloutStage
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import approval_rule, commands, desired_state
from tidegate.rollout.plan import compile_plan
from tidegate.rollout.status import serving_version, status, variant_views
from tidegate.rollout.step import step
from tidegate.simulation.faults import AlarmTurns, When
from tidegate.simulation.world import START, World

HELD = replace(canary(percent(10), 60), holdback=Holdback(100, 3600))
CAN = Capabilities()


def holding(deployment: DeploymentConfig = HELD) -> tuple[World, Endpoint]:
    world = make_updating_world(version("v1", 2), version("v2", 2), deployment)
    world.run(10_000, settled=lambda w: bool(w.record and w.record.rollout and w.record.rollout.holds_back))
    assert world.record is not None and world.record.rollout is not None and world.record.rollout.holds_back
    return world, world.record


def begin(endpoint: Endpoint) -> Endpoint:
    wish = VersionRequest(version("v3"), HELD, START)
    return commands.begin(endpoint, wish, rollout_id="r3", can=CAN, now=START + timedelta(minutes=5))


def test_the_old_version_stays_whole_with_its_share_before_the_last_shift() -> None:
    stages = compile_plan(version("v1"), version("v2"), HELD, CAN).stages
    assert stages == (RolloutStage(1_000, 60), RolloutStage(9_900, 3600, holdback=True), RolloutStage(10_000, 0))


@pytest.mark.parametrize(
    ("deployment", "why"),
    [
        (rolling(percent(50), 60), "needs both versions whole"),
        (all_at_once(), "needs both versions whole"),
        (canary(percent(10), 60, 60), "takes the place of the final bake"),
        (replace(canary(percent(10), 60), execution_timeout=3600), "must exceed the waits"),
    ],
)
def test_what_cannot_be_held_back_is_refused(deployment: DeploymentConfig, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        compile_plan(version("v1"), version("v2"), replace(deployment, holdback=HELD.holdback), CAN)


def test_more_than_the_last_step_leaves_cannot_be_held_back() -> None:
    with pytest.raises(Invalid, match="the last step has 75 % of the traffic, which leaves no room for 30 %"):
        compile_plan(
            version("v1"), version("v2"), replace(linear(percent(25), 60), holdback=Holdback(3_000, 60)), CAN
        )


def test_the_new_version_serves_in_what_is_told_of_the_endpoint() -> None:
    world, record = holding()
    now, why = status(record)
    assert now == "InService"
    assert why == (
        "holdback: v2 has passed and serves; v1 keeps 1 % of the traffic for 3600 s, and gets all of it back if v2"
        " turns out worse"
    )
    served, views = serving_version(record), variant_views(record, world.look())
    assert served is not None and served.config_name == "v2"
    assert [(one.generation, one.current_weight) for one in views.current] == [(2, 0.99)]
    assert views.pending == () and views.pending_config is None


def test_it_ends_in_time_and_removes_the_old_version() -> None:
    world, _ = holding()
    began = world.now
    world.run(began + 3_590)
    assert world.record is not None and world.record.rollout is not None
    world.run(began + 3_700)
    assert world.record.rollout is None and world.record.serving is not None
    assert world.record.serving.config_name == "v2"
    assert {id.generation for id in world.look().fleets or {}} == {2}


def test_an_alarm_turns_it_back_to_the_old_version_at_once() -> None:
    late = AlarmTurns(When(Phase.BAKING, 2, 1_800), "alarm", AlarmState.ALARM)
    world = make_updating_world(version("v1", 2), version("v2", 2), HELD, script=(late,))
    world.run(10_000)
    record = world.record
    assert record is not None and record.last is not None and record.serving is not None
    assert (record.last.phase, record.serving.config_name) == (Phase.ROLLED_BACK, "v1")
    assert len(record.last.back) == 1, "the old version was whole, so that one move led back"


@pytest.mark.parametrize(
    ("verdict", "phase"),
    [
        (None, Phase.ACTIVATING_TRAFFIC),
        (Verdict(Finding.NO_DATA, 1, ""), Phase.ACTIVATING_TRAFFIC),
        (Verdict(Finding.UNDECIDED, 1, "", rising=True), Phase.ACTIVATING_TRAFFIC),
        (Verdict(Finding.FAIL, 1, ""), Phase.ROLLING_BACK),
    ],
    ids=["nothing compared", "no data", "rising", "a difference"],
)
def test_of_evidence_only_a_difference_counts(verdict: Verdict | None, phase: Phase) -> None:
    world, record = holding(replace(HELD, evidence=EvidenceConfig()))
    now = world.instant() + timedelta(seconds=3_601)
    seen = world.look()
    check = GuardCheck(now, START - timedelta(days=1), now, verdict)
    after = step(record, Observation(seen.fleets, seen.routes, {"alarm": AlarmState.OK}, check), now).endpoint
    assert after is not None and after.rollout is not None and after.rollout.phase is phase


def test_a_new_update_ends_it_and_goes_from_the_version_that_passed() -> None:
    _, record = holding()
    begun = begin(record)
    assert begun.rollout is not None and begun.rollout.old is not None and begun.last is not None
    assert (begun.last.phase, begun.rollout.old.config_name) == (Phase.SUCCEEDED, "v2")
    assert desired_state.traffic(begun).share_of(2) == 10_000
    world = World(begun)
    world.run(10_000, settled=lambda w: bool(w.record and w.record.rollout and w.record.rollout.holds_back))
    assert {id.generation for id in world.look().fleets or {}} == {2, 3}


def test_the_end_by_a_new_update_is_journaled() -> None:
    _, record = holding()
    _, events = commands.end_passed(record, START)
    assert events == (Event("rollout.Succeeded", "v2 serves", {"rollout": "r1"}),)


def test_a_paused_holdback_waits_for_whoever_paused_it() -> None:
    _, record = holding()
    with pytest.raises(Conflict, match="is being updated"):
        begin(commands.pause(record, "ann", START))


def test_an_approval_is_asked_for_before_it_and_not_again() -> None:
    plan = compile_plan(version("v1"), version("v2"), replace(HELD, approval=Approval(Role.ADMIN)), CAN)
    _, record = holding()
    assert record.rollout is not None
    rollout = replace(record.rollout, plan=plan)
    assert [approval_rule.is_missing(rollout, number) for number in range(3)] == [False, True, True]
