"""An endpoint whose old fleets have not ended, such as on a node that is down, is locked for nobody."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.memory_store import MemoryTx
from tests.unit.service.test_deploy import ANN, CAN, LATER, endpoint, run, settle, wish
from tests.unit.service.test_undo import know
from tidegate.domain.history import VersionOutcome
from tidegate.domain.rollout import Phase
from tidegate.domain.traffic import WHOLE
from tidegate.rollout import desired_state
from tidegate.rollout.commands import VariantChange
from tidegate.service import endpoints, history, rollouts
from tidegate.service.deploy import DeployOptions, DeployOutcome
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.rollouts import UndoRequest

LATEST = LATER + timedelta(hours=1)


@pytest.fixture
def tx() -> MemoryTx:
    """Version 2 has all of the traffic, and a fleet of version 1 is still ending."""
    tx = MemoryTx()
    run(tx, wish("1"))
    settle(tx)
    run(tx, wish("2"), now=LATER)
    settle(tx, Phase.BAKING)
    body = endpoint(tx)
    assert body.rollout is not None
    last = len(body.rollout.plan.stages) - 1
    ending = replace(body, rollout=replace(body.rollout, phase=Phase.TERMINATING, stage=last))
    tx.put(ENDPOINT, "fraud", desired_state.route(ending, WHOLE), expect=None, now=LATER)
    return tx


@pytest.mark.parametrize("how", [ANN, replace(ANN, supersede=True)])
def test_deployment_is_accepted(tx: MemoryTx, how: DeployOptions) -> None:
    assert run(tx, wish("3"), how, now=LATEST) is DeployOutcome.UPDATED
    body = endpoint(tx)
    assert body.serving is not None and body.serving.config_name == "fraud-2"
    assert body.rollout is not None and body.rollout.new.config_name == "fraud-3"
    outcomes = [entry.outcome for entry in history.read(tx, "fraud").entries]
    assert outcomes[:2] == [VersionOutcome.REPLACED, VersionOutcome.SERVING]


def test_same_version_again_changes_nothing(tx: MemoryTx) -> None:
    assert run(tx, wish("2"), now=LATER) is DeployOutcome.UNCHANGED
    assert endpoint(tx).rollout is not None


def test_undo_goes_back(tx: MemoryTx) -> None:
    know(tx, 1, "d1")
    kept = {"d1": True}
    rollouts.undo(tx, "fraud", UndoRequest(), "bob", kept=kept, rollout_id="u", can=CAN, now=LATER)
    body = endpoint(tx)
    assert body.rollout is not None and body.rollout.new.config_name == "fraud-1"


def test_counts_can_be_changed(tx: MemoryTx) -> None:
    endpoints.update_weights_and_capacities(tx, "fraud", {"main": VariantChange(count=3)}, CAN, LATER)
    assert endpoint(tx).scaling is not None and endpoint(tx).rollout is None


def test_endpoint_can_be_deleted(tx: MemoryTx) -> None:
    endpoints.delete_endpoint(tx, "fraud", LATER)
    assert endpoint(tx).deleting
