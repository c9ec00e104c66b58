"""Resources that declare endpoints, with the real service and rollout machine over an API server in memory."""

from typing import Any

import pytest

from tests.features.endpoint_resources.resource_world import ResourceWorld, begin
from tests.unit.targets.kubernetes.memory_api_server import Fault
from tidegate.domain.rollout import Phase
from tidegate.service import endpoints, rollouts
from tidegate.store import open_store

pytestmark = pytest.mark.anyio
SERVES = {"Ready": "True", "Synced": "True"}


async def test_a_resource_is_held_before_its_endpoint_is_made() -> None:
    world = ResourceWorld()
    world.apply(1)
    await world.turn()
    assert world.object and world.object["metadata"]["finalizers"] == ["tidegate.io/endpoint"]
    assert (await world.endpoint(), world.status["reason"]) == (None, "Pending")
    await world.turn()
    assert world.conditions == {"Ready": "False", "Synced": "True", "Reconciling": "True"}
    await world.end_rollout()
    await world.turn()
    assert world.conditions == SERVES
    assert (world.status["share"], world.status["phase"], world.status["observedGeneration"]) == (
        "100%",
        "InService",
        1,
    )


@pytest.mark.parametrize("address", ["sqlite://"])
async def test_an_edit_is_rolled_out_with_its_own_guards(address: str) -> None:
    store = open_store(address)
    world = await begin(store=store)
    world.apply(2)
    await world.turn()
    found = await world.endpoint()
    assert found and found.rollout and len(found.rollout.guards) == 1
    assert world.conditions["Ready"] == "False"
    await world.end_rollout()
    await world.turn()
    assert (world.conditions, len(await world.entries())) == (SERVES, 2)
    await store.close()


async def test_status_is_written_only_when_it_changes() -> None:
    world = await begin()
    patches = [one for one in world.server.requests if one.startswith("PATCH")]
    await world.turns()
    assert [one for one in world.server.requests if one.startswith("PATCH")] == patches
    since = world.status["conditions"]
    world.apply(2)
    await world.turn()
    times = {one["type"]: one["lastTransitionTime"] for one in world.status["conditions"]}
    before = {one["type"]: one["lastTransitionTime"] for one in since}
    assert times["Synced"] == before["Synced"] and times["Ready"] > before["Ready"]


async def test_a_version_that_is_rolled_back_is_not_deployed_again() -> None:
    world = await begin()
    world.apply(2)
    await world.turn()
    await world.end_rollout(alarm=True)
    await world.turns()
    assert (world.status["reason"], world.conditions["Stalled"]) == ("RolledBack", "True")
    assert len(await world.entries()) == 2
    world.apply(2, instances=3)
    await world.turns()
    assert (world.status["observedGeneration"], world.conditions["Ready"]) == (3, "False")
    world.apply(3)
    await world.turn()
    await world.end_rollout()
    await world.turn()
    assert world.conditions == SERVES


async def test_a_refused_spec_is_not_tried_again_until_it_changes() -> None:
    world = await begin()
    world.apply(2, endpoint="other")
    await world.turns()
    assert (world.status["reason"], world.conditions["Stalled"]) == ("Refused", "True")
    assert "must be fraud" in world.status["message"]
    world.apply(1)
    await world.turns()
    assert world.conditions == SERVES


async def test_an_endpoint_of_somebody_else_is_taken_over_only_when_asked() -> None:
    world = ResourceWorld()
    await world.ask(1)
    await world.end_rollout()
    world.apply(2)
    await world.turns()
    assert (world.status["reason"], world.conditions["Synced"]) == ("NotAdopted", "False")
    world.delete()
    await world.turns()
    assert world.object is None and await world.endpoint() is not None
    world.apply(2)
    world.annotate("adopt")
    await world.turns()
    await world.end_rollout()
    await world.turn()
    assert world.conditions == SERVES


async def test_what_a_person_deploys_is_reported_and_left() -> None:
    world = await begin()
    await world.ask(5)
    await world.turns()
    assert (world.status["reason"], world.conditions["Synced"]) == ("ChangedByHand", "False")
    await world.end_rollout()
    await world.turns()
    assert len(await world.entries()) == 1
    now = world.present
    await world.store.run(lambda tx: endpoints.delete_endpoint(tx, "fraud", now, "ann"))
    await world.end_deletion()
    await world.turns()
    assert await world.endpoint() is None and world.status["reason"] == "ChangedByHand"


async def test_a_deleted_resource_goes_after_its_endpoint() -> None:
    world = await begin()
    world.delete()
    await world.turns()
    found = await world.endpoint()
    assert found and found.deleting and world.object is not None
    await world.end_deletion()
    await world.turns()
    assert world.object is None and await world.record() is None
    world.apply(1)
    await world.turns()
    await world.end_rollout()
    await world.turn()
    assert world.conditions == SERVES


async def test_an_annotation_is_carried_out_once_and_removed() -> None:
    world = await begin()
    world.apply(2)
    await world.turn()
    await world.end_rollout(phase=Phase.BAKING)
    world.annotate("abort")
    await world.turns()
    assert world.object and world.object["metadata"]["annotations"] == {}
    found, record = await world.endpoint(), await world.record()
    assert found and found.rollout and found.rollout.phase is Phase.ROLLING_BACK
    assert record and (record.done, record.note) == ((), "")
    world.annotate("promote")
    await world.turns()
    assert "tidegate.io/promote was not carried out" in world.status["message"]


async def test_a_rollout_is_paused_while_the_annotation_is_there() -> None:
    world = await begin()
    world.annotate("pause")
    world.apply(2)
    await world.turn()
    found = await world.endpoint()
    assert found and found.rollout and found.rollout.pause and world.status["reason"] == "Paused"
    now = world.present
    await world.store.run(lambda tx: rollouts.resume(tx, "fraud", "ann", now))
    await world.turns()
    found = await world.endpoint()
    assert found and found.rollout and not found.rollout.pause, "a person's command is not fought"
    world.annotate("pause", None)
    await world.turns()
    world.annotate("pause")
    await world.turns()
    world.annotate("pause", None)
    await world.turns()
    found = await world.endpoint()
    assert found and found.rollout and not found.rollout.pause


async def test_a_cluster_without_the_definition_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    world = ResourceWorld()
    answer: dict[str, Any] = {"reason": "NotFound"}
    world.server.faults.append(Fault("GET .*/endpoints$", 404, answer, times=2))
    await world.turn()
    await world.turn()
    assert caplog.text.count("install its definition") == 1
