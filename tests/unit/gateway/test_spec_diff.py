"""What deploying a spec would change, against what was deployed."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from tests.memory_store import MemoryTx
from tests.spec_changes import BASES, CHANGES, JOBS, PLAIN, REFUSED, pair
from tests.unit.service.test_deploy import ANN, LATER, START, TARGETS, endpoint, settle
from tidegate import spec
from tidegate.cli.spec_folder import is_unchanged
from tidegate.domain.observation import Capabilities
from tidegate.features.autoscaling import service as scalables
from tidegate.features.autoscaling.service import BoundsUpdate, ScalableKey
from tidegate.gateway.native import compare_deployed
from tidegate.ports.store import Kind
from tidegate.service import history, rollouts
from tidegate.service import tags as labels
from tidegate.service.deploy import deploy
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.spec.changes import flatten

KEYS = sorted(set(CHANGES) - {*REFUSED, "SpecFile.target"} - JOBS)
"""All but the two that no file may have, and the one that cannot change."""
ALIASES = {"model.gpus": "devices"}
"""Keys that say what another key says, which is the one that is shown."""


def put(tx: MemoryTx, data: dict[str, Any]) -> None:
    name = f"rollout-{len(tx.lines)}"
    deploy(tx, spec.parse(data, START), ANN, runnable=lambda _: None, rollout_id=name, targets=TARGETS, now=LATER)


def deployed(data: dict[str, Any]) -> MemoryTx:
    tx = MemoryTx()
    put(tx, data)
    settle(tx)
    return tx


def diff(tx: MemoryTx, data: dict[str, Any]) -> dict[str, Any]:
    """With the check that it wrote nothing."""
    before = dict(tx.records)
    found = compare_deployed(tx, spec.parse(data, START))
    assert tx.records == before
    return found


def changed(tx: MemoryTx, data: dict[str, Any]) -> set[str]:
    return {one["what"] for one in diff(tx, data)["changes"]}


@pytest.mark.parametrize("base", sorted(set(BASES) - {"job"}))
def test_the_spec_that_was_deployed_differs_in_nothing(base: str) -> None:
    tx = deployed(BASES[base])
    found = diff(tx, BASES[base])
    assert (found["changes"], found["kept"], found["exists"]) == ([], [], True)
    assert found["serving"] == found["config"]


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_key_is_shown_and_no_other(key: str) -> None:
    before, after = pair(key)
    old, new = flatten(before), flatten(after)
    expected = {ALIASES.get(name, name) for name in {*old, *new} if old.get(name) != new.get(name)}
    gone = {name for name in expected if name.startswith("alarms.own.") and name not in new}
    tx = deployed(before)
    assert changed(tx, after) == expected
    put(tx, after)
    settle(tx)
    assert changed(tx, after) == set()
    kept = [name for name in diff(tx, after)["kept"] if not name.startswith("alarm ")]
    assert kept == [] and (gone == set() or key == "SpecFile.alarms")


def test_another_target_is_shown_although_a_deploy_would_refuse_it() -> None:
    before, after = pair("SpecFile.target")
    [change] = diff(deployed(before), after)["changes"]
    assert (change["what"], change["before"], change["after"]) == ("target", "local", "elsewhere")


def test_all_of_a_new_endpoint_would_be_created() -> None:
    found = diff(MemoryTx(), PLAIN)
    assert (found["exists"], found["serving"]) == (False, None)
    assert {one["what"] for one in found["changes"]} == set(flatten(PLAIN)) - {"endpoint"}
    tx = MemoryTx()
    put(tx, PLAIN)
    assert changed(tx, PLAIN) == set(), "one that is being created"


def test_what_others_changed_is_shown_where_a_deploy_would_change_it_back() -> None:
    data = {**BASES["scaled"], "alarms": PLAIN["alarms"]}
    tx = deployed(data)
    name = f"{endpoint(tx).serving.config_name}-slow"  # type: ignore[union-attr]
    saved = tx.get(ALARM, name)
    assert saved is not None
    tx.put(ALARM, name, replace(saved.body, threshold=5e6), expect=None, now=LATER)
    scalable = scalables.list_for_endpoint(tx, "fraud")[0].body
    key = ScalableKey("fraud", scalable.target.variant, scalable.target.dimension)
    scalables.register(tx, key, BoundsUpdate(2, 9), {}, id="x", now=LATER)
    found = {one["what"]: (one["before"], one["after"]) for one in diff(tx, data)["changes"]}
    assert found == {
        "alarms.slow.above": ("5s", "100ms"),
        "autoscaling.min": ("2", "1"),
        "autoscaling.max": ("9", "3"),
    }


def test_what_a_deploy_leaves_alone_is_named_and_no_change() -> None:
    tx = deployed(PLAIN)
    labels.add(tx, ENDPOINT, "fraud", {"by-hand": "1"}, LATER)
    less = {**copy.deepcopy(PLAIN), "alarms": {"own": PLAIN["alarms"]["own"]}, "tags": {}}
    put(tx, less)
    found = diff(tx, less)
    config = found["config"]
    assert found["changes"] == []
    assert found["kept"] == ["tag team", "tag by-hand", f"alarm {config}-slow"]


def test_an_alarm_whose_scope_was_changed_back_and_forth_is_one() -> None:
    before, after = pair("AlarmSpec.scope")
    tx = deployed(before)
    for data, other in ((after, before), (before, after)):
        put(tx, data)
        assert changed(tx, data) == set()
        assert changed(tx, other) == {"alarms.slow.scope"}


@pytest.mark.parametrize("base", ["plain", "variants", "shadow", "async", "serverless", "pipeline", "many"])
def test_deleted_records_of_what_serves_make_no_difference(base: str) -> None:
    """Clients may delete config and models of an endpoint that runs: it has a copy."""
    data = BASES[base]
    tx = deployed(data)
    kinds: tuple[Kind[Any], ...] = (CONFIG, MODEL)
    for kind in kinds:
        for saved in list(tx.find(kind).items):
            tx.delete(kind, saved.name, expect=None, now=LATER)
    assert changed(tx, data) == set()


def test_after_an_undo_the_earlier_spec_differs_in_nothing() -> None:
    first = {"endpoint": "fraud", "model": PLAIN["model"]}
    second = {"endpoint": "fraud", "model": {**PLAIN["model"], "fingerprint": "other"}, "instances": 2}
    tx = deployed(first)
    put(tx, second)
    settle(tx)
    for number, entry in enumerate(history.read(tx, "fraud").entries, 1):
        history.record_artifacts(tx, "fraud", {(number, entry.rollout): {"AllTraffic": (f"d{number}",)}}, LATER)
    kept = {"d1": True}
    rollouts.undo(
        tx, "fraud", rollouts.UndoRequest(), "ann", kept=kept, rollout_id="back", can=Capabilities(), now=LATER
    )
    settle(tx)
    assert changed(tx, first) == set()
    assert changed(tx, second) == {"model.fingerprint", "instances"}


def test_a_version_that_serves_while_another_is_rolled_out_is_not_where_the_endpoint_ends() -> None:
    first = {"endpoint": "fraud", "model": PLAIN["model"]}
    second = {"endpoint": "fraud", "model": {**PLAIN["model"], "fingerprint": "other"}}
    tx = deployed(first)
    assert is_unchanged(diff(tx, first))
    put(tx, second)
    found = diff(tx, first)
    assert found["rolling_out"] == diff(tx, second)["config"] != found["serving"] == found["config"]
    assert not is_unchanged(found)
