"""What somebody deletes by hand is restored or reported, and stops nothing."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.memory_api_server import Fault, Object
from tests.unit.targets.kubernetes.target_harness import OPTIONS, Cluster, run, table
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.targets.kubernetes.names import fleet_name
from tidegate.targets.kubernetes.options import AutoscalingOptions

NAME = fleet_name(fleet_spec().id)
SCALED = replace(OPTIONS, autoscaling={"fraud": AutoscalingOptions("hpa", 1, 3)})


def owned(cluster: Cluster) -> dict[tuple[str, str], Object]:
    return {
        key: one for key, one in cluster.server.objects.items() if key[0] != "pods" and key[1].startswith("tg-")
    }


@pytest.mark.parametrize("options", [OPTIONS, SCALED])
def test_every_object_that_somebody_deletes_is_reported_and_restored(options: object) -> None:
    async def scenario() -> None:
        cluster = Cluster(options=SCALED if options is SCALED else OPTIONS)
        await cluster.deploy(fleet_spec())
        there = owned(cluster)
        assert len(there) == (6 if options is SCALED else 5)
        for key in sorted(there):
            if key[0] == "deployments":
                continue
            del cluster.server.objects[key]
            await cluster.lifecycle.repair()
            status = await cluster.status(fleet_spec().id)
            assert status is not None and status.ready == 2
            [missing] = status.missing
            assert missing.endswith(f" {key[1]}")
            assert "fraud" in cluster.changed
            await cluster.target.ensure_fleet(fleet_spec(), 1)
            await cluster.lifecycle.repair()
            status = await cluster.status(fleet_spec().id)
            assert status is not None and status.missing == ()
            assert owned(cluster).keys() == there.keys()

    run(scenario())


def test_deleted_deployment_is_created_again() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        del cluster.server.objects["deployments", NAME]
        cluster.server.settle()
        cluster.server.remove_leaving()
        await cluster.turn()
        assert await cluster.status(fleet_spec().id) is None
        await cluster.target.ensure_fleet(fleet_spec(), 1)
        await cluster.turn(2)
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.ready == 2

    run(scenario())


def test_next_controller_restores_a_fleet_whose_secret_is_gone_and_counts_its_requests_at_once() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        old, new = fleet_spec(), fleet_spec(generation=2, config="v2")
        await cluster.target.ensure_fleet(new, 2)
        await cluster.turn(3)
        await cluster.target.set_traffic(table("fraud", 2, {1: 5_000, 2: 5_000}))
        del cluster.server.objects["secrets", f"{fleet_name(new.id)}-fleet"]
        cluster.restart(controller=2)
        await cluster.turn(2)
        look = await cluster.target.observe("fraud")
        assert look.fleets is not None and look.fleets[old.id].missing == ()
        assert [what for what in look.fleets[new.id].missing if "Secret" in what]
        assert (look.fleets[new.id].desired, look.fleets[new.id].ready, look.fleets[old.id].ready) == (2, 2, 2)
        assert all(len(agent.servers(new.id)) == 2 for agent in cluster.agents.values())
        # What follows may fail: metrics and routes need the specification alone.
        cluster.server.faults.append(Fault("PATCH .*secrets", 403, {"message": "exceeded quota"}, times=99))
        with pytest.raises(TargetRefused, match="quota"):
            await cluster.target.ensure_fleet(new, 2)
        await cluster.turn()
        assert {one.fleet.id for one in cluster.target.serving()} == {old.id, new.id}
        assert all(len(agent.servers(new.id)) == 2 for agent in cluster.agents.values())
        cluster.server.faults.clear()
        await cluster.target.set_traffic(table("fraud", 3, {1: 10_000}))
        await cluster.target.ensure_fleet(new, 3)
        status = await cluster.status(new.id)
        assert status is not None and status.missing == () and cluster.target.spec(new.id) == new
        assert ("secrets", f"{fleet_name(new.id)}-fleet") in cluster.server.objects

    run(scenario())


@pytest.mark.parametrize("damage", [{"data": {}}, {"data": {"fleet.json": "e30="}}])
def test_secret_without_a_fleet_is_written_again(damage: Object) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        secret = cluster.server.objects["secrets", f"{NAME}-fleet"]
        secret["data"] = dict(damage["data"])
        cluster.restart(controller=2)
        await cluster.turn(2)
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.missing and status.ready == 2
        await cluster.lifecycle.repair()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.missing
        await cluster.target.ensure_fleet(fleet_spec(), 2)
        cluster.restart(controller=3)
        await cluster.turn(2)
        assert cluster.target.spec(fleet_spec().id) == fleet_spec()

    run(scenario())


def test_restored_fleet_keeps_the_data_that_its_pods_were_started_with(tmp_path: Path) -> None:
    """The file of the controller's machine has gone since."""
    local = fleet_spec(data=f"file://{tmp_path}/model.json")
    placed = fleet_spec(data="s3://models/digest/model.json")

    async def scenario() -> None:
        cluster = Cluster(options=replace(OPTIONS, model_store="s3://models"))

        async def place(fleet: FleetSpec, before: FleetSpec | None) -> FleetSpec:
            assert before is None
            return placed

        cluster.target.model_store.place = place  # type: ignore[method-assign]
        await cluster.deploy(local)
        del cluster.server.objects["secrets", f"{NAME}-fleet"]
        cluster.restart(controller=2)
        await cluster.turn(2)
        await cluster.target.ensure_fleet(local, 2)
        assert cluster.target.spec(local.id) == placed
        secret = cluster.server.objects["secrets", f"{NAME}-fleet"]
        kept = json.loads(base64.b64decode(secret["data"]["fleet.json"]))
        assert kept["variant"]["model"]["containers"][0]["data_url"] == "s3://models/digest/model.json"

    run(scenario())


def test_secrets_stay_until_the_last_pod_of_a_deleted_fleet_has_ended() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        await cluster.target.set_traffic(table("fraud", 2, {}))
        await cluster.target.delete_fleet(fleet_spec().id, 2)
        secrets = {key for key in owned(cluster) if key[0] == "secrets"}
        assert len(secrets) == 2
        await cluster.target.delete_fleet(fleet_spec().id, 2)
        await cluster.turn()
        await cluster.lifecycle.repair()
        assert owned(cluster).keys() == secrets
        # The controller ends in between: the next one removes what is left.
        cluster.restart(controller=2)
        cluster.server.remove_leaving()
        await cluster.turn()
        await cluster.lifecycle.repair()
        assert owned(cluster) == {}

    run(scenario())


def test_role_of_an_earlier_version_looks_for_nothing_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        cluster.server.forbidden = {("list", "services"), ("list", "poddisruptionbudgets")}
        for _ in range(3):
            await cluster.lifecycle.repair()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.missing == ()
        del cluster.server.objects["secrets", f"{NAME}-fleet"]
        await cluster.lifecycle.repair()
        status = await cluster.status(fleet_spec().id)
        assert status is not None and status.missing == (f"Secret {NAME}-fleet",)

    run(scenario())
    assert [record.message.count("list services") for record in caplog.records].count(1) == 1
