"""Nothing is shifted before the replay of labelled rows has passed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.samples import canary, complete_evidence, percent, version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, Pause, Rollout
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import EvidenceAction, EvidenceConfig, NoDataAction
from tidegate.domain.finding import Finding
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.domain.replay import ReplayConfig, ReplayResult
from tidegate.domain.rollout import Cause, Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands, desired_state
from tidegate.rollout.digest import digest
from tidegate.rollout.plan import compile_plan
from tidegate.rollout.step import step

REPLAY = ReplayConfig("file:///rows.csv", "fraud")


def begun(action: EvidenceAction, without: NoDataAction) -> tuple[Endpoint, datetime]:
    """A rollout that has just begun, with a replay."""
    config = EvidenceConfig(action=action, on_no_data=without, replay=REPLAY)
    deployment = replace(canary(percent(10), 60, 60), evidence=config)
    world = make_updating_world(version("v1", 2), version("v2", 2), deployment)
    assert world.record is not None
    return world.record, world.instant()


def rollout_of(endpoint: Endpoint | None) -> Rollout:
    assert endpoint is not None and endpoint.rollout is not None
    return endpoint.rollout


def look(
    endpoint: Endpoint, now: datetime, found: Mapping[str, Finding] | None, ready: bool = True
) -> Observation:
    fleets = {
        id: FleetStatus(id, spec.count, spec.count if ready or id.generation == 1 else 0)
        for id, spec in desired_state.fleets(endpoint).items()
    }
    replay = None if found is None else {name: ReplayResult(one, f"it is {one}") for name, one in found.items()}
    states = {"alarm": AlarmState.OK}
    return Observation(fleets, desired_state.traffic(endpoint), states, complete_evidence(now), replay=replay)


ROLLBACK, GATE, REPORT = EvidenceAction.ROLLBACK, EvidenceAction.GATE, EvidenceAction.REPORT
BACK, SHIFTS, WAITS = Phase.ROLLING_BACK, Phase.ACTIVATING_TRAFFIC, Phase.PROVISIONING


@pytest.mark.parametrize(("action", "without", "found", "promoted", "phase"), [
    (ROLLBACK, NoDataAction.ROLLBACK, None, False, WAITS),
    (ROLLBACK, NoDataAction.ROLLBACK, None, True, SHIFTS),
    (ROLLBACK, NoDataAction.ROLLBACK, Finding.PASS, False, SHIFTS),
    (ROLLBACK, NoDataAction.ROLLBACK, Finding.FAIL, False, BACK),
    (ROLLBACK, NoDataAction.ROLLBACK, Finding.FAIL, True, BACK),
    (ROLLBACK, NoDataAction.ROLLBACK, Finding.NO_DATA, False, BACK),
    (ROLLBACK, NoDataAction.ROLLBACK, Finding.NO_DATA, True, SHIFTS),
    (ROLLBACK, NoDataAction.GATE, Finding.NO_DATA, False, WAITS),
    (ROLLBACK, NoDataAction.ADVANCE, Finding.NO_DATA, False, SHIFTS),
    (ROLLBACK, NoDataAction.ADVANCE, Finding.FAIL, False, BACK),
    (GATE, NoDataAction.ROLLBACK, Finding.FAIL, False, WAITS),
    (GATE, NoDataAction.ROLLBACK, Finding.FAIL, True, SHIFTS),
    (REPORT, NoDataAction.ROLLBACK, Finding.FAIL, False, SHIFTS),
    (REPORT, NoDataAction.ROLLBACK, None, False, SHIFTS),
])  # fmt: skip
def test_the_table_of_replays(
    action: EvidenceAction, without: NoDataAction, found: Finding | None, promoted: bool, phase: Phase
) -> None:
    endpoint, now = begun(action, without)
    if promoted:
        endpoint = commands.promote(endpoint, "ann", now)
    seen = look(endpoint, now, None if found is None else {"AllTraffic": found})
    after = rollout_of(step(endpoint, seen, now).endpoint)
    assert after.phase is phase
    assert phase is not BACK or (after.cause == Cause.EVIDENCE and f"it is {found}" in str(after.reason))


def test_a_replay_of_nothing_has_not_ended() -> None:
    endpoint, now = begun(ROLLBACK, NoDataAction.ROLLBACK)
    assert rollout_of(step(endpoint, look(endpoint, now, {}), now).endpoint).phase is WAITS


def test_the_worst_variant_decides_and_is_named() -> None:
    endpoint, now = begun(ROLLBACK, NoDataAction.ROLLBACK)
    seen = look(endpoint, now, {"blue": Finding.PASS, "green": Finding.FAIL, "red": Finding.NO_DATA})
    after = rollout_of(step(endpoint, seen, now).endpoint)
    assert after.reason == "Deployment rolled back: v2 is worse on labelled rows: variant green: it is fail."


def test_waiting_for_a_replay_is_shown_and_costs_no_deadline() -> None:
    endpoint, now = begun(ROLLBACK, NoDataAction.ROLLBACK)
    after = step(endpoint, look(endpoint, now, None), now).endpoint
    assert [one.message for one in rollout_of(after).conditions if one.status] == ["waiting for the replay"]
    assert after is not None
    later = now + timedelta(days=1)
    again = step(after, look(after, later, None), later).endpoint
    assert rollout_of(again).phase is WAITS, "the deadline of a version that is ready does not run"
    assert again is not None
    shifted = step(again, look(again, later, {"AllTraffic": Finding.PASS}), later).endpoint
    assert rollout_of(shifted).phase is SHIFTS
    assert not [one for one in rollout_of(shifted).conditions if one.status]


def test_a_version_that_is_lost_while_it_waits_has_a_deadline_again() -> None:
    endpoint, now = begun(ROLLBACK, NoDataAction.ROLLBACK)
    ready = step(endpoint, look(endpoint, now, None), now).endpoint
    assert ready is not None
    lost = step(ready, look(ready, now, None, ready=False), now).endpoint
    assert rollout_of(lost).phase_deadline is not None
    assert lost is not None
    later = now + timedelta(days=1)
    assert rollout_of(step(lost, look(lost, later, None, ready=False), later).endpoint).phase is BACK


def test_a_pause_stops_the_wait_but_not_a_failure() -> None:
    endpoint, now = begun(ROLLBACK, NoDataAction.ROLLBACK)
    paused = replace(endpoint, rollout=replace(rollout_of(endpoint), pause=Pause(now, "ann")))
    for found, phase in ((Finding.NO_DATA, WAITS), (Finding.PASS, WAITS), (Finding.FAIL, BACK)):
        seen = look(paused, now, {"AllTraffic": found})
        assert rollout_of(step(paused, seen, now).endpoint).phase is phase


@pytest.mark.parametrize(("found", "remembered"), [(Finding.FAIL, True), (Finding.NO_DATA, False)])
def test_a_version_that_a_replay_found_worse_is_not_tried_again_without_an_override(
    found: Finding, remembered: bool
) -> None:
    endpoint, now = begun(ROLLBACK, NoDataAction.ROLLBACK)
    turned = step(endpoint, look(endpoint, now, {"AllTraffic": found}), now).endpoint
    assert rollout_of(turned).phase is BACK
    assert turned is not None
    assert (digest(rollout_of(turned).new) in turned.rejected) == remembered


def test_a_target_that_keeps_no_model_data_refuses_a_replay() -> None:
    deployment = replace(canary(percent(10), 60), evidence=EvidenceConfig(replay=REPLAY))
    with pytest.raises(Invalid, match="this target keeps no model data"):
        compile_plan(version("v1"), version("v2"), deployment, Capabilities(keeps_models=False))
    compile_plan(version("v1"), version("v2"), deployment, Capabilities())
