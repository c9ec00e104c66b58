"""While nothing compares versions, since the feature is off, a rollout that rests on a comparison goes no further."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.samples import canary, complete_evidence, percent, version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.evidence import EvidenceAction, EvidenceConfig, NoDataAction
from tidegate.domain.observation import FleetStatus, GuardCheck, Observation
from tidegate.domain.replay import ReplayConfig
from tidegate.domain.rollout import Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands, desired_state
from tidegate.rollout.step import step

OFF = "the feature evidence is switched off (TIDEGATE_FEATURES)"
DAY = timedelta(days=1)


def begun(config: EvidenceConfig) -> tuple[Endpoint, datetime]:
    deployment = replace(canary(percent(10), 60, 60), evidence=config)
    world = make_updating_world(version("v1", 2), version("v2", 2), deployment)
    if config.replay is None:
        world.run(1000, lambda w: w.record is not None and rollout_of(w.record).phase is Phase.BAKING)
    assert world.record is not None
    return world.record, world.instant()


def rollout_of(endpoint: Endpoint | None) -> Rollout:
    assert endpoint is not None and endpoint.rollout is not None
    return endpoint.rollout


def look(endpoint: Endpoint, evidence: GuardCheck, unobserved: str) -> Observation:
    """Everything is there as wanted, and nothing is compared."""
    fleets = {id: FleetStatus(id, spec.count, spec.count) for id, spec in desired_state.fleets(endpoint).items()}
    states = {"alarm": AlarmState.OK}
    return Observation(fleets, desired_state.traffic(endpoint), states, evidence, unobserved=unobserved)


@pytest.mark.parametrize(("unobserved", "stage"), [("", 1), (OFF, 0)])
def test_a_stage_that_may_advance_without_data_holds_while_nobody_looks(unobserved: str, stage: int) -> None:
    endpoint, began = begun(EvidenceConfig(on_no_data=NoDataAction.ADVANCE, deadline=60))
    now = began + timedelta(seconds=200)
    after = step(endpoint, look(endpoint, GuardCheck(now, began, now), unobserved), now).endpoint
    assert rollout_of(after).stage == stage
    if unobserved:
        assert [one.message for one in rollout_of(after).conditions] == ["waiting for evidence"]
        promoted = commands.promote(endpoint, "ann", now)
        after = step(promoted, look(promoted, GuardCheck(now, began, now), unobserved), now).endpoint
        assert rollout_of(after).stage == 1, "a person may let it pass"


@pytest.mark.parametrize("action", [EvidenceAction.ROLLBACK, EvidenceAction.GATE])
@pytest.mark.parametrize("without", NoDataAction)
def test_no_stage_passes_without_a_verdict_however_long_it_takes(
    action: EvidenceAction, without: NoDataAction
) -> None:
    endpoint, began = begun(EvidenceConfig(action=action, on_no_data=without, deadline=60))
    now = began + DAY
    after = step(endpoint, look(endpoint, GuardCheck(now, began, now), OFF), now).endpoint
    assert rollout_of(after).stage == 0
    assert (rollout_of(after).phase is Phase.ROLLING_BACK) is (without is NoDataAction.ROLLBACK)


@pytest.mark.parametrize("without", NoDataAction)
def test_nothing_is_shifted_before_a_replay_that_nobody_makes(without: NoDataAction) -> None:
    replay = ReplayConfig("file:///rows.csv", "fraud")
    endpoint, began = begun(EvidenceConfig(on_no_data=without, replay=replay))
    now = began + timedelta(seconds=1)
    decision = step(endpoint, look(endpoint, complete_evidence(now), OFF), now)
    assert rollout_of(decision.endpoint).phase is Phase.PROVISIONING
    [said] = [event.message for event in decision.events]
    assert said == f"waiting for the replay: {OFF}, so that no version answers labelled rows"
    later = now + DAY
    decision = step(decision.endpoint, look(endpoint, complete_evidence(later), OFF), later)  # type: ignore[arg-type]
    assert rollout_of(decision.endpoint).phase is Phase.PROVISIONING
