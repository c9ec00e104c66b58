"""A changed value of any key of a spec is applied or refused, at rest and in mid-rollout: never ignored."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.memory_store import MemoryTx
from tests.spec_changes import CHANGES, JOBS, REFUSED, keys, pair
from tests.unit.service.test_deploy import ANN, LATER, START, TARGETS, endpoint, settle
from tidegate import spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Conflict, InProgress, TidegateError
from tidegate.domain.rollout import MixedVersions, Phase
from tidegate.service import record_kinds
from tidegate.service.deploy import DeployOptions, DeployOutcome, DeployResult, deploy
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.rollout_settings import settings


def put(tx: MemoryTx, data: dict[str, Any], how: DeployOptions = ANN) -> DeployResult:
    wish = spec.parse(data, START)
    names = [f"{number}" for number in range(1000)]
    return deploy(
        tx, wish, how, runnable=lambda _: None, rollout_id=names[len(tx.lines)], targets=TARGETS, now=LATER
    )


def earlier(data: dict[str, Any]) -> dict[str, Any]:
    """Another version of the same: it serves when the file's own is on its way."""
    found = copy.deepcopy(data)
    for model in _models(found):
        model["fingerprint"] = "earlier"
    return found


def _models(data: dict[str, Any]) -> list[dict[str, Any]]:
    found = [data["model"]] if "model" in data else []
    found += data.get("pipeline", []) + data.get("containers", [])
    return found + [model for variant in data.get("variants", []) for model in _models(variant)]


def records(tx: MemoryTx) -> dict[tuple[str, str], object]:
    """All that is on record, without versions and times."""
    found: dict[tuple[str, str], object] = {}
    for line in tx.lines:
        saved = tx.get(_kind(line.kind), line.name)
        found[line.kind, line.name] = None if saved is None else saved.body
    return found


def _kind(name: str) -> Any:
    return next(kind for kind in record_kinds.all_kinds() if kind.name == name)


def test_every_key_is_looked_at() -> None:
    assert set(CHANGES) == keys()


@pytest.mark.parametrize("key", sorted(CHANGES))
def test_no_key_of_a_file_says_nothing(key: str) -> None:
    before, after = pair(key)
    try:
        changed = spec.parse(after, START)
    except TidegateError:
        assert key in REFUSED
        return
    assert changed != spec.parse(before, START)


FIXED = ("SpecFile.target",)
"""An endpoint stays where it was created."""
KEYS = sorted(set(CHANGES) - set(REFUSED) - set(FIXED) - JOBS)


@pytest.mark.parametrize("key", FIXED)
def test_a_value_that_is_fixed_at_the_creation_is_refused_later_and_nothing_is_saved(key: str) -> None:
    before, after = pair(key)
    tx = MemoryTx()
    put(tx, before)
    settle(tx)
    on_record = records(tx)
    with pytest.raises(Conflict, match="cannot move"):
        put(tx, after)
    assert records(tx) == on_record


@pytest.mark.parametrize("key", KEYS)
def test_at_rest_a_changed_value_is_applied(key: str) -> None:
    before, after = pair(key)
    tx = MemoryTx()
    put(tx, before)
    settle(tx)
    on_record = records(tx)
    assert put(tx, before).change is DeployOutcome.UNCHANGED
    assert records(tx) == on_record
    try:
        put(tx, after)
    except TidegateError as error:
        pytest.fail(f"an endpoint at rest takes any change of {key}: {error}")
    assert records(tx) != on_record
    settle(tx)
    _is_in_force(tx, spec.parse(after, START))
    on_record = records(tx)
    assert put(tx, after).change is DeployOutcome.UNCHANGED
    assert records(tx) == on_record


@pytest.mark.parametrize("key", KEYS)
def test_in_mid_rollout_a_changed_value_is_applied_or_refused(key: str) -> None:
    before, after = pair(key)
    tx = MemoryTx()
    put(tx, earlier(before))
    settle(tx)
    assert put(tx, before).change is DeployOutcome.UPDATED
    settle(tx, Phase.ACTIVATING_TRAFFIC)
    on_record, rollout = records(tx), endpoint(tx).rollout
    try:
        done = put(tx, after)
    except Conflict as error:
        assert records(tx) == on_record, "refused as a whole"
        assert "supersede" in error.message
        assert "\n" not in error.message
        done = put(tx, after, DeployOptions("ann", supersede=True))
        assert done.change is DeployOutcome.SUPERSEDED
        assert put(tx, after).change is DeployOutcome.UNCHANGED
        settle(tx)
        _is_in_force(tx, spec.parse(after, START))
        return
    assert records(tx) != on_record, f"{done.message}, and {key} is ignored"
    assert endpoint(tx).rollout == rollout
    settle(tx)
    _is_in_force(tx, spec.parse(after, START))


def _is_in_force(tx: MemoryTx, wish: DesiredDeployment) -> None:
    """What was asked for is what there is."""
    body = endpoint(tx)
    assert body.rollout is None and body.serving is not None
    assert body.serving.config_name == wish.config.name
    assert body.deployment is not None and settings(body.deployment) == settings(wish.deployment)
    for alarm in wish.alarms:
        saved = tx.get(_kind("alarm"), alarm.name)
        assert saved is not None
        assert (saved.body.threshold, saved.body.dimensions) == (alarm.threshold, alarm.dimensions)


def test_what_differs_is_named_in_one_line() -> None:
    before, after = pair("RolloutSpec.wait")
    tx = MemoryTx()
    put(tx, earlier(before))
    settle(tx)
    put(tx, before)
    with pytest.raises(Conflict) as refused:
        put(tx, after)
    assert not isinstance(refused.value, InProgress)
    name = spec.parse(before, START).config.name
    assert refused.value.message == (
        f'endpoint "fraud" is being updated to {name} with other settings (rollout.wait 3600s -> 25s): '
        "let the rollout end, abort it, or supersede it to start over with these"
    )


def test_an_alarm_that_guards_a_rollout_is_not_redefined_under_it() -> None:
    before, after = pair("AlarmSpec.above")
    tx = MemoryTx()
    put(tx, earlier(before))
    settle(tx)
    put(tx, before)
    with pytest.raises(Conflict, match=r"the definition of alarm .*-slow"):
        put(tx, after)
    assert put(tx, after, DeployOptions("ann", supersede=True)).change is DeployOutcome.SUPERSEDED
    rollout = endpoint(tx).rollout
    assert rollout is not None and rollout.successor is not None
    assert {0.2e6, 1.0} == {guard.threshold for guard in rollout.successor.wanted.guards}


def test_a_successor_that_waits_is_compared_too() -> None:
    before, after = pair("RolloutSpec.wait")
    tx = MemoryTx()
    put(tx, earlier(before))
    settle(tx)
    other = {**before, "instances": 5}
    put(tx, other)
    put(tx, before, DeployOptions("ann", supersede=True))
    assert put(tx, before).change is DeployOutcome.UNCHANGED
    with pytest.raises(Conflict, match="3600s -> 25s"):
        put(tx, after)


def test_a_first_creation_is_waited_for() -> None:
    before, after = pair("RolloutSpec.wait")
    tx = MemoryTx()
    put(tx, before)
    for how in (DeployOptions("ann"), DeployOptions("ann", supersede=True)):
        with pytest.raises(Conflict, match="3600s -> 25s"):
            put(tx, after, how)
    settle(tx)
    assert "count from the next update on" in put(tx, after).message


def test_a_version_that_serves_beside_another_is_rolled_out_again() -> None:
    """After a rollback that failed, asking for the old version is no empty wish."""
    before, _ = pair("RolloutSpec.wait")
    tx = MemoryTx()
    put(tx, before)
    settle(tx)
    body = endpoint(tx)
    assert body.serving is not None
    mixed = replace(
        body, rollback_failed=True, mixed=MixedVersions(replace(body.serving, generation=0), 2_000, 10_000, 10_000)
    )
    tx.put(ENDPOINT, "fraud", mixed, expect=None, now=LATER + timedelta(seconds=1))
    assert put(tx, before).change is DeployOutcome.UPDATED
