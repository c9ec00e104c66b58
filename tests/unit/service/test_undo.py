"""Undo as a use case: back to a version of the history, from the model data that was kept."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.memory_store import MemoryTx
from tests.unit.service.test_deploy import CAN, CANARY, ERRORS, LATER, START, endpoint, look, run, settle, wish
from tidegate.domain.alarm import AlarmState
from tidegate.domain.errors import Conflict, NotFound
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.fleet import FleetId
from tidegate.domain.history import History, VersionOutcome
from tidegate.domain.observation import FleetStatus
from tidegate.domain.rollout import RolloutStage
from tidegate.domain.traffic import WHOLE
from tidegate.reconcile.engine import save
from tidegate.reconcile.unsaved_rollbacks import LoadedEndpoint
from tidegate.rollout import desired_state
from tidegate.rollout.commands import VariantChange
from tidegate.rollout.step import RolloutDecision, step
from tidegate.service import alarms, endpoints, history, rollouts
from tidegate.service.record_kinds import ENDPOINT, HISTORY
from tidegate.service.rollouts import UndoRequest

THEN = LATER + timedelta(hours=1)


def versions(tx: MemoryTx) -> History:
    return history.read(tx, "fraud")


def know(tx: MemoryTx, number: int, digest: str) -> None:
    entry = versions(tx).entries[number - 1]
    history.record_artifacts(tx, "fraud", {(number, entry.rollout): {"main": (digest,)}}, START)


def undo(
    tx: MemoryTx,
    to: str | None = None,
    kept: Mapping[str, bool] | None = None,
    override: bool = False,
    guarded: bool = False,
    rollout_id: str = "undo",
) -> None:
    intact = {"d1": True, "d2": True, "d3": True} if kept is None else kept
    asked = UndoRequest(to, override, guarded)
    rollouts.undo(tx, "fraud", asked, "bob", kept=intact, rollout_id=rollout_id, can=CAN, now=LATER)


@pytest.fixture
def tx() -> MemoryTx:
    """Version 2 serves, and version 1 did before."""
    tx = MemoryTx()
    run(tx, wish("1"), now=START)
    settle(tx)
    run(tx, wish("2"), now=LATER)
    settle(tx)
    know(tx, 1, "d1")
    know(tx, 2, "d2")
    return tx


COMPARED = replace(CANARY, evidence=EvidenceConfig(compare=(Comparison.ERRORS,)))


def test_undo_goes_back_at_once_without_alarms_evidence_or_bakes(tx: MemoryTx) -> None:
    """The alarm rings because of the version that is left, which of course differs from the one before."""
    run(tx, wish("3", COMPARED), now=THEN)
    settle(tx)
    know(tx, 3, "d3")
    alarms.set_state(tx, "errors", AlarmState.ALARM, "the new version fails", None, LATER)
    undo(tx)
    rollout = endpoint(tx).rollout
    assert rollout is not None and rollout.plan.stages == (RolloutStage(WHOLE, 0),)
    assert (rollout.plan.alarms, rollout.guards, rollout.plan.evidence) == ((), (), None)
    assert rollout.new.config_name == "fraud-2" and rollout.asked_by == "bob"
    event = [line for line in tx.lines if line.events][-1].events[0]
    assert (event.kind, event.message) == ("undo", "undo to version 2, fraud-2, asked for by bob")
    settle(tx, alarm=AlarmState.ALARM)
    assert endpoint(tx).serving.config_name == "fraud-2"  # type: ignore[union-attr]
    assert [entry.outcome for entry in versions(tx).entries] == [
        VersionOutcome.REPLACED,
        VersionOutcome.REPLACED,
        VersionOutcome.UNDONE,
        VersionOutcome.SERVING,
    ]
    assert versions(tx).entries[-1].artifacts == {"main": ("d2",)}, (
        "known at once, so never removed in mid-rollout"
    )
    assert endpoint(tx).deployment == CANARY, "its own settings are those of the next update"


def test_an_undone_version_is_ready_with_the_capacity_of_now_before_it_gets_traffic(tx: MemoryTx) -> None:
    changes = {"main": VariantChange(count=7)}
    endpoints.update_weights_and_capacities(tx, "fraud", changes, CAN, LATER)
    settle_scaling(tx)
    undo(tx)
    body = endpoint(tx)
    assert body.rollout is not None and body.rollout.new.variants[0].instance_count == 7
    seen = look(tx, now=LATER)
    new = FleetId("fraud", body.rollout.new.generation, "main")
    short = {**(seen.fleets or {}), new: FleetStatus(new, 7, 6, 1)}
    waits = step(body, replace(seen, fleets=short), LATER).endpoint
    assert waits is not None and desired_state.new_share(waits) == 0, "six of seven are not enough"
    moves = step(body, seen, LATER).endpoint
    assert moves is not None and desired_state.new_share(moves) == WHOLE


def settle_scaling(tx: MemoryTx) -> None:
    saved = tx.get(ENDPOINT, "fraud")
    assert saved is not None
    save(tx, LoadedEndpoint(saved.body, saved.version, {}, saved.body), step(saved.body, look(tx), LATER), LATER)
    assert endpoint(tx).scaling is None


def test_a_guarded_undo_has_the_guards_of_the_version_that_it_goes_to(tx: MemoryTx) -> None:
    """Not those of the version that is left, and it is compared with nothing."""
    late = replace(ERRORS, name="latency")
    run(tx, wish("3", COMPARED), now=THEN)
    settle(tx)
    know(tx, 3, "d3")
    run(tx, wish("4", replace(CANARY, alarms=("latency",)), (late,)), now=THEN + timedelta(hours=1))
    settle(tx)
    undo(tx, guarded=True)
    rollout = endpoint(tx).rollout
    assert rollout is not None and rollout.new.config_name == "fraud-3"
    assert (rollout.plan.alarms, [alarm.name for alarm in rollout.guards]) == (("errors",), ["errors"])
    assert len(rollout.plan.stages) == 2 and rollout.plan.evidence is None
    settle(tx, alarm=AlarmState.ALARM)
    assert endpoint(tx).serving.config_name == "fraud-4"  # type: ignore[union-attr]
    assert versions(tx).entries[-2].outcome is VersionOutcome.SERVING, (
        "an undo that was rolled back has undone nothing"
    )


def test_a_guarded_undo_that_would_be_rolled_back_at_once_is_refused(tx: MemoryTx) -> None:
    alarms.set_state(tx, "errors", AlarmState.ALARM, "the new version fails", None, LATER)
    with pytest.raises(Conflict, match=r"alarm\(s\) errors are in ALARM .* undo without --guarded"):
        undo(tx, guarded=True)
    undo(tx)
    assert endpoint(tx).rollout is not None


def test_undo_never_goes_to_a_version_that_was_undone_rolled_back_or_serves(tx: MemoryTx) -> None:
    run(tx, wish("3"), now=THEN)
    settle(tx)
    know(tx, 3, "d3")
    undo(tx)
    settle(tx)
    assert endpoint(tx).serving.config_name == "fraud-2"  # type: ignore[union-attr]
    undo(tx, rollout_id="again")
    assert endpoint(tx).rollout.new.config_name == "fraud-1"  # type: ignore[union-attr]
    settle(tx)
    with pytest.raises(Conflict, match="no earlier version has served this endpoint well"):
        undo(tx, rollout_id="once more")
    undo(tx, "2", rollout_id="by name")
    settle(tx)
    assert endpoint(tx).serving.config_name == "fraud-2"  # type: ignore[union-attr]


def test_a_version_that_was_good_and_then_rejected_is_not_gone_back_to_unasked(tx: MemoryTx) -> None:
    run(tx, wish("3"), now=THEN)
    settle(tx)
    saved = tx.get(ENDPOINT, "fraud")
    assert saved is not None
    rejected = (versions(tx).entries[1].digest,)
    tx.put(ENDPOINT, "fraud", replace(saved.body, rejected=rejected), expect=saved.version, now=LATER)
    undo(tx)
    assert endpoint(tx).rollout.new.config_name == "fraud-1"  # type: ignore[union-attr]


def test_a_version_that_never_finished_a_rollout_is_named_and_guarded_or_overridden(tx: MemoryTx) -> None:
    run(tx, wish("3"), now=THEN)
    know(tx, 3, "d3")
    rollouts.abort(tx, "fraud", "bob", LATER)
    settle(tx)
    with pytest.raises(
        Conflict, match=r"version 3, fraud-3, never finished a rollout \(RolledBack\): add --guarded"
    ):
        undo(tx, "3")
    undo(tx, "3", guarded=True)
    assert len(endpoint(tx).rollout.plan.stages) == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("kept", [{}, {"d1": False}], ids=["removed", "damaged"])
def test_without_its_model_data_nothing_is_undone(tx: MemoryTx, kept: dict[str, bool]) -> None:
    before = endpoint(tx)
    with pytest.raises(Conflict, match="the model data of version 1, fraud-1, is not kept"):
        undo(tx, "1", kept)
    assert endpoint(tx) == before


def test_a_target_that_keeps_no_model_data_says_what_to_deploy_again(tx: MemoryTx) -> None:
    before, can = endpoint(tx), replace(CAN, keeps_models=False)
    with pytest.raises(
        Conflict, match=r"target local keeps no model data.*version 1, fraud-1, may.*\S+://\S+ is as it was"
    ) as told:
        rollouts.undo(tx, "fraud", UndoRequest("1"), "bob", kept={}, rollout_id="undo", can=can, now=LATER)
    assert "add --override, or deploy that version's spec again" in str(told.value)
    assert endpoint(tx) == before
    rollouts.undo(tx, "fraud", UndoRequest("1", True), "bob", kept={}, rollout_id="undo", can=can, now=LATER)
    rollout = endpoint(tx).rollout
    assert rollout is not None and rollout.new.variants[0].model.containers[0].data_url == "file:///1.ubj"


def test_a_rollout_in_progress_is_aborted_rather_than_undone(tx: MemoryTx) -> None:
    run(tx, wish("3"), now=THEN)
    with pytest.raises(Conflict, match="abort the rollout"):
        undo(tx, "1")


def test_a_version_that_alarms_rejected_needs_an_override(tx: MemoryTx) -> None:
    body = endpoint(tx)
    entry = versions(tx).entries[0]
    saved = tx.get(ENDPOINT, "fraud")
    assert saved is not None
    tx.put(ENDPOINT, "fraud", replace(body, rejected=(entry.digest,)), expect=saved.version, now=LATER)
    with pytest.raises(Conflict, match="override"):
        undo(tx, "1")
    undo(tx, "1", override=True)
    assert endpoint(tx).rollout is not None


def test_no_endpoint_no_history(tx: MemoryTx) -> None:
    with pytest.raises(NotFound):
        history.read(tx, "churn")
    with pytest.raises(NotFound):
        undo(tx, "99")


def test_digests_of_a_deleted_endpoint_are_not_given_to_the_next_of_its_name(tx: MemoryTx) -> None:
    history.record_artifacts(tx, "fraud", {(1, "another rollout"): {"main": ("d9",)}}, LATER)
    assert versions(tx).entries[0].artifacts == {"main": ("d1",)}


def test_the_history_goes_with_the_endpoint(tx: MemoryTx) -> None:
    endpoints.delete_endpoint(tx, "fraud", LATER)
    saved = tx.get(ENDPOINT, "fraud")
    assert saved is not None and tx.get(HISTORY, "fraud") is not None
    loaded = LoadedEndpoint(saved.body, saved.version, {}, saved.body)
    save(tx, loaded, RolloutDecision(None, (), None, ()), LATER)
    assert tx.get(HISTORY, "fraud") is None
    run(tx, wish("1"), now=LATER)
    assert [entry.number for entry in versions(tx).entries] == [1]


def test_the_view_says_what_can_be_undone(tx: MemoryTx) -> None:
    second, first = history.history_view(versions(tx), {"d2": True})
    assert (first["version"], first["config"], first["state"], first["by"]) == (1, "fraud-1", "Replaced", "ann")
    assert (first["artifacts_kept"], second["artifacts_kept"]) == (False, True)
    assert first["artifact_digests"] == {"main": ["d1"]}
    assert first["ended_at"] == second["served_at"] and second["ended_at"] is None
