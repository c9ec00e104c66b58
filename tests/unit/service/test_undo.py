"""Undo as a use case: a guarded rollout back to a version of the history, from the model data that was kept."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.unit.service.test_deploy import CAN, CANARY, LATER, START, endpoint, run, settle, wish
from tidegate.domain.errors import Conflict, NotFound
from tidegate.domain.history import History, Outcome
from tidegate.reconcile.engine import save
from tidegate.reconcile.unsaved_rollbacks import Loaded
from tidegate.rollout.step import RolloutDecision
from tidegate.service import endpoints, history, rollouts
from tidegate.service.record_kinds import ENDPOINT, HISTORY
from tidegate.testing.memory_store import MemoryTx


def versions(tx: MemoryTx) -> History:
    return history.read(tx, "fraud")


def know(tx: MemoryTx, number: int, digest: str) -> None:
    entry = versions(tx).entries[number - 1]
    history.record_artifacts(tx, "fraud", {(number, entry.rollout): {"main": (digest,)}}, START)


def undo(
    tx: MemoryTx, to: str | None = None, kept: Mapping[str, bool] | None = None, override: bool = False
) -> None:
    intact = {"d1": True, "d2": True} if kept is None else kept
    rollouts.undo(tx, "fraud", to, "bob", override=override, kept=intact, rollout_id="undo", can=CAN, now=LATER)


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


def test_undo_is_a_rollout_with_the_endpoints_own_strategy_and_alarms(tx: MemoryTx) -> None:
    undo(tx)
    rollout = endpoint(tx).rollout
    assert rollout is not None and rollout.deployment == CANARY and rollout.plan.alarms == ("errors",)
    assert [alarm.name for alarm in rollout.guards] == ["errors"]
    assert len(rollout.plan.stages) == 2, "a canary, not all at once"
    assert rollout.new.config_name == "fraud-1" and rollout.asked_by == "bob"
    assert [each.artifact for each in rollout.new.variants[0].model.containers] == ["d1"]
    event = [line for line in tx.lines if line.events][-1].events[0]
    assert (event.kind, event.message) == ("undo", "undo to version 1, fraud-1, asked for by bob")
    settle(tx)
    assert [entry.outcome for entry in versions(tx).entries] == [
        Outcome.REPLACED,
        Outcome.REPLACED,
        Outcome.SERVING,
    ]
    assert versions(tx).entries[-1].artifacts == {"main": ("d1",)}, (
        "known at once, so never removed in mid-rollout"
    )


def test_undo_twice_goes_there_and_back(tx: MemoryTx) -> None:
    undo(tx)
    settle(tx)
    rollouts.undo(
        tx, "fraud", None, "bob", override=False, kept={"d2": True}, rollout_id="again", can=CAN, now=LATER
    )
    rollout = endpoint(tx).rollout
    assert rollout is not None and rollout.new.config_name == "fraud-2"


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
        rollouts.undo(tx, "fraud", "1", "bob", override=False, kept={}, rollout_id="undo", can=can, now=LATER)
    assert "deploy that version's spec again" in str(told.value)
    assert endpoint(tx) == before


def test_a_rollout_in_progress_is_aborted_rather_than_undone(tx: MemoryTx) -> None:
    run(tx, wish("3"), now=LATER)
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
    loaded = Loaded(saved.body, saved.version, {}, saved.body)
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
