"""Resources that declare endpoints, with the real service and rollout machine over an API server in memory."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from tests.features.endpoint_resources.resource_world import KillableServer, ResourceWorld, begin, make_spec
from tests.unit.targets.kubernetes.memory_api_server import Fault
from tidegate.domain.access import Role
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Conflict, Invalid, Transient, Unavailable
from tidegate.domain.rollout import Approval, Phase
from tidegate.features.endpoint_resources.loop import LOOK_AT_ALL, Deploy, ResourceLoop, check_approval
from tidegate.gateway.deployments import deploy_spec
from tidegate.rollout import commands
from tidegate.rollout.commands import VariantChange
from tidegate.service import endpoints, rollouts
from tidegate.service.deploy import DeployOptions, DeployResult
from tidegate.spec import parse
from tidegate.store import open_store
from tidegate.targets.kubernetes.api import METADATA_ONLY

pytestmark = pytest.mark.anyio
SERVES = {"Ready": "True", "Synced": "True"}
DEEP = b"[" * 5_000 + b"]" * 5_000


def fail_with(error: Exception) -> Deploy:
    async def fail(*_: Any, **__: Any) -> DeployResult:
        raise error

    return fail


async def test_a_resource_is_held_before_its_endpoint_is_made() -> None:
    world = ResourceWorld()
    world.apply(1)
    await world.turn()
    assert world.object and world.object["metadata"]["finalizers"] == ["tidegate.io/endpoint"]
    assert await world.endpoint() is None
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
    assert {"phase", "version", "share"}.isdisjoint(world.status)


@pytest.mark.parametrize(("autoscaled", "synced"), [(False, "False"), (True, "True")])
async def test_a_count_that_a_person_changes_is_reported_and_left(autoscaled: bool, synced: str) -> None:
    world = await begin()
    assert world.object
    world.object["spec"] |= {"autoscaling": {}} if autoscaled else {}
    await world.edit(lambda found: commands.scale(found, {"AllTraffic": VariantChange(count=3)}, world.present))
    await world.edit(lambda found: replace(found, scaling=None))
    await world.turn()
    assert world.conditions == {"Ready": "True", "Synced": synced}
    found = await world.endpoint()
    assert found and found.serving and found.serving.variants[0].instance_count == 3


async def test_rollout_settings_that_a_person_changes_alone_are_reported_and_left() -> None:
    world = await begin()
    data = {"endpoint": "fraud", **make_spec(1)}
    data["rollout"] = {**data["rollout"], "wait": "1s"}
    await deploy_spec(world.context, data, DeployOptions("ann"), world.present)
    await world.turns()
    assert world.conditions == {"Ready": "True", "Synced": "False"}
    assert "somebody else changed rollout.wait 600s -> 1s" in world.status["message"]
    world.apply(1, rollout=data["rollout"])
    await world.turns()
    assert world.conditions == SERVES


async def test_a_supersession_that_is_aborted_is_no_change_by_hand() -> None:
    world = await begin()
    world.apply(2)
    await world.turn()
    world.apply(3)
    await world.turn()
    assert world.status["reason"] == "Superseding"
    world.annotate("abort")
    await world.turns()
    assert (world.status["reason"], world.conditions["Synced"]) == ("RollingBack", "True")
    await world.end_rollout()
    await world.turns()
    assert (world.status["reason"], world.conditions["Synced"]) == ("RolledBack", "True")
    assert "was given up: aborted by" in world.status["message"]


async def test_an_override_by_a_person_of_what_the_spec_says_is_no_change_by_hand() -> None:
    world = await begin()
    world.apply(2)
    await world.turn()
    await world.end_rollout(alarm=True)
    world.apply(1)
    await world.turns()
    world.apply(2)
    await world.turns()
    assert world.status["reason"] == "Refused"
    await world.ask(2, override=True)
    await world.turns()
    assert (world.status["reason"], world.conditions["Synced"]) == ("RollingOut", "True")
    await world.end_rollout()
    await world.turns()
    assert (world.conditions, world.status["reason"]) == (SERVES, "Serving")


async def test_records_are_read_again_only_of_resources_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    world, looked = await begin(), list[int]()
    await world.turn()
    look = ResourceLoop._look

    def count(loop: ResourceLoop, *given: Any) -> Any:
        looked.append(len(looked))
        return look(loop, *given)

    monkeypatch.setattr(ResourceLoop, "_look", count)
    await world.turns()
    assert looked == []
    await world.ask(2)
    await world.turn()
    assert world.status["reason"] == "ChangedByHand"
    await world.turns()
    assert len(looked) == 2, "the second by its own status"
    await world.turns(LOOK_AT_ALL)
    assert len(looked) == 3


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


async def test_a_creation_paused_before_an_edit_goes_on_once_the_annotation_is_gone() -> None:
    world = ResourceWorld()
    world.apply(1)
    world.annotate("pause")
    await world.turns()
    world.apply(2)
    await world.turn()
    world.annotate("pause", None)
    await world.turn()
    found = await world.endpoint()
    assert found and found.rollout and not found.rollout.pause
    assert "once the creation under way has ended" in world.status["message"]
    await world.end_rollout()
    await world.turn()
    assert len(world.deployed) == 2, "it does not wait for a later attempt"


async def test_a_creation_can_be_aborted_while_an_edit_waits_for_its_end() -> None:
    world = ResourceWorld()
    world.apply(1)
    await world.turns()
    world.apply(2)
    world.annotate("abort")
    await world.turn()
    assert len(world.deployed) == 2, "nothing was created yet: what waited is created in its place"
    await world.end_rollout()
    await world.turn()
    assert world.conditions == SERVES


async def test_a_rollout_can_be_aborted_while_the_next_spec_cannot_be_deployed() -> None:
    world = await begin()
    world.apply(2)
    await world.turn()
    world.loops[0].deploy = fail_with(Unavailable("the registry is away"))
    world.apply(3)
    await world.turn()
    assert world.status["message"] == "the registry is away"
    world.annotate("abort")
    world.present -= timedelta(minutes=11)  # the next attempt is not due
    await world.turn()
    found = await world.endpoint()
    assert found and found.rollout and found.rollout.phase is Phase.ROLLING_BACK


async def test_an_edit_is_not_given_up_when_the_change_in_its_way_ends_as_it_is_refused() -> None:
    world = await begin()

    async def deploy(*what: Any, **how: Any) -> DeployResult:
        try:
            return await world._deploy(*what, **how)
        except Conflict:
            await world.edit(lambda found: replace(found, scaling=None))
            raise

    await world.edit(lambda found: commands.scale(found, {"AllTraffic": VariantChange(count=3)}, world.present))
    world.loops[0].deploy = deploy
    world.apply(2)
    await world.turns()
    await world.end_rollout()
    await world.turn()
    assert world.conditions == SERVES


async def test_an_annotation_does_nothing_to_an_endpoint_that_somebody_made_in_place_of_the_declared_one() -> None:
    world = await begin()
    now = world.present
    await world.store.run(lambda tx: endpoints.delete_endpoint(tx, "fraud", now, "ann"))
    await world.end_deletion()
    await world.ask(5)
    world.annotate("abort")
    await world.turns()
    found = await world.endpoint()
    assert found and found.rollout and found.rollout.phase is not Phase.ROLLING_BACK
    assert "abort was not carried out: the endpoint that was deployed" in world.status["message"]
    world.delete()
    await world.turns()
    assert world.object is None and await world.endpoint() == found


async def test_a_pause_by_a_person_outlives_the_annotation() -> None:
    world = await begin()
    world.apply(2)
    await world.turn()
    now = world.present
    await world.store.run(lambda tx: rollouts.pause(tx, "fraud", "ann", now))
    world.annotate("pause")
    await world.turn()
    world.annotate("pause", None)
    await world.turns()
    found = await world.endpoint()
    assert found and found.rollout and found.rollout.pause and found.rollout.pause.by == "ann"


async def test_an_annotation_that_comes_again_at_once_is_carried_out_again() -> None:
    world = await begin()
    for version in (2, 3):
        await world.ask(version)
        world.annotate("abort")
        await world.turn()
        found = await world.endpoint()
        assert found and (found.rollout is None or found.rollout.phase is Phase.ROLLING_BACK), version
        await world.end_rollout()


class DeepServer(KillableServer):
    """Answers with objects whose spec is nested as deeply as an API server takes it."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().handle_async_request(request)
        if request.headers["accept"] == METADATA_ONLY:
            items = [{"metadata": one["metadata"]} for one in answer.json()["items"]]
            return httpx2.Response(200, json={"items": items}, request=request)
        return httpx2.Response(
            answer.status_code, content=answer.content.replace(b'"deep"', DEEP), request=request
        )


async def test_one_resource_that_cannot_be_read_keeps_no_other_from_being_followed() -> None:
    """Fields whose type the cluster does not check may be nested to any depth."""
    world = ResourceWorld(server=DeepServer())
    world.apply(1)
    about = {"name": "other", "uid": "other", "generation": 1, "resourceVersion": "1"}
    world.server.objects["endpoints", "other"] = {"metadata": about, "spec": {"model": {"url": "deep"}}}
    await world.turns()
    await world.end_rollout()
    await world.turn()
    assert world.conditions == SERVES
    assert world.server.objects["endpoints", "other"]["status"]["reason"] == "Refused"


@pytest.mark.parametrize("spec", [None, "spec", {"model": 3}, {"target": ["local"]}])
async def test_a_spec_of_the_wrong_type_is_refused(spec: Any) -> None:
    world = ResourceWorld()
    world.apply(1)
    assert world.object
    world.object["spec"] = spec
    await world.turns()
    assert world.status["reason"] == "Refused"


async def test_a_status_quotes_no_more_of_a_huge_spec_than_the_cluster_takes() -> None:
    world = ResourceWorld()
    world.apply(1, routing="x" * 1_000_000)
    await world.turns()
    assert world.status["reason"] == "Refused"
    assert len(json.dumps(world.status)) < 100_000


async def test_a_spec_that_breaks_the_server_is_tried_later_and_says_so() -> None:
    world = ResourceWorld()
    world.apply(1)
    world.loops[0].deploy = fail_with(RecursionError("too deep"))
    await world.turns()
    assert (world.status["reason"], world.status["message"]) == ("Retrying", "too deep")


async def test_a_resource_cannot_deploy_to_another_target() -> None:
    world = ResourceWorld()
    world.apply(1, target="elsewhere")
    await world.turns()
    assert (world.status["reason"], world.status["message"]) == (
        "Refused",
        "target must be local here, or be left out",
    )


def test_an_approval_by_anybody_but_the_author_is_refused() -> None:
    wish = parse({"endpoint": "fraud", **make_spec(1)}, ResourceWorld().present)

    def wish_for(author_may: bool) -> DesiredDeployment:
        return replace(wish, deployment=replace(wish.deployment, approval=Approval(Role.ADMIN, author_may)))

    check_approval(wish_for(True))
    with pytest.raises(Invalid, match="no second person"):
        check_approval(wish_for(False))


async def test_a_change_by_somebody_else_is_read_again_at_once() -> None:
    world = ResourceWorld()
    world.apply(1)
    conflict = {"reason": "Conflict", "message": "the object has been modified"}
    world.server.faults.append(Fault("PATCH .*/fraud$", 409, conflict))
    await world.turn()
    assert len([one for one in world.server.requests if re.match("PATCH .*/fraud$", one)]) == 1
    await world.turns()
    assert (await world.endpoint()) is not None


async def test_a_status_is_not_shown_by_a_resource_that_took_the_place_of_the_one_that_was_read() -> None:
    world = await begin()
    objects = world.loops[0].resources
    assert objects is not None
    (seen,) = await objects.find()
    del world.server.objects["endpoints", "fraud"]
    world.apply(1)
    with pytest.raises(Transient, match="changed by somebody else"):
        await objects.put_status(seen, dict(seen.status))
    assert world.status == {}


async def test_a_version_of_the_registry_that_the_spec_follows_is_no_change_by_hand() -> None:
    world = await begin()
    address = "models:/fraud@champion"
    world.object["spec"]["model"] |= {"data": address, "follow": True}  # type: ignore[index]
    data = {"endpoint": "fraud", **make_spec(5)}
    await deploy_spec(world.context, data, DeployOptions(address), world.present)
    await world.turn()
    assert (world.status["reason"], world.conditions["Synced"]) == ("RollingOut", "True")
    await world.end_rollout()
    await world.turn()
    assert world.conditions == SERVES


async def test_trouble_with_a_resource_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    world = ResourceWorld()
    world.apply(1)
    world.server.forbidden.add(("patch", "endpoints"))
    await world.turns()
    assert caplog.text.count("missing right") == 1
