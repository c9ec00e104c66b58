"""Shadow fleets of the target, over an API server and gateways in memory."""

import base64
import json
from dataclasses import replace

import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.target_harness import OPTIONS, Cluster, run
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec, Mirroring
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.kubernetes.gateway_manifests import network_policies
from tidegate.targets.kubernetes.names import COPIES, fleet_name
from tidegate.targets.kubernetes.options import HttpRoute
from tidegate.targets.kubernetes.start_data import start_data


def shadow() -> FleetSpec:
    fleet = fleet_spec(variant="shadow", count=1)
    return replace(fleet, variant=replace(fleet.variant, shadow=True))


def copied(share: int = 2_000) -> FleetSpec:
    return replace(fleet_spec(), mirror=Mirroring(shadow().id, share))


def share_in(cluster: Cluster) -> str:
    secret = cluster.server.objects["secrets", f"{fleet_name(copied().id)}-share"]
    return base64.b64decode(secret["data"]["share"]).decode()


def test_share_changes_without_another_pod_and_is_told() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(copied())
        await cluster.target.ensure_fleet(shadow(), 1)
        await cluster.turn(3)
        pods = {pod["metadata"]["name"] for pod in cluster.server.pods("worker")}
        assert share_in(cluster) == "2000"
        status = await cluster.status(copied().id)
        assert status is not None and status.mirror == Mirroring(shadow().id, 2_000)
        await cluster.target.ensure_fleet(copied(5_000), 2)
        await cluster.turn()
        status = await cluster.status(copied().id)
        assert share_in(cluster) == "5000" and status is not None and status.mirror == copied(5_000).mirror
        assert {pod["metadata"]["name"] for pod in cluster.server.pods("worker")} == pods
        assert all(len(agent.servers(shadow().id)) == 1 for agent in cluster.agents.values())
        await cluster.target.delete_fleet(shadow().id, 3)
        await cluster.turn()
        cluster.server.remove_leaving()
        await cluster.turn()
        assert ("secrets", f"{fleet_name(shadow().id)}-fleet") not in cluster.server.objects

    run(scenario())


def test_later_controller_knows_what_is_copied() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(copied())
        cluster.restart(controller=2)
        await cluster.turn(2)
        status = await cluster.status(copied().id)
        assert status is not None and status.mirror == copied().mirror

    run(scenario())


def test_copies_go_back_to_the_gateway_and_only_workers_may_send_them() -> None:
    started = json.loads(start_data(copied(), Settings(), ImageTable(), OPTIONS))
    assert started["mirror"]["port"] == COPIES and started["mirror"]["socket"] == ""
    assert started["mirror"]["fleet"] == str(shadow().id)
    gateway = network_policies(OPTIONS)[1]["spec"]["ingress"]
    [rule] = [one for one in gateway if one["ports"][0]["port"] == COPIES]
    labels = [source["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for source in rule["from"]]
    assert labels == ["worker"]


@pytest.mark.parametrize("fleet", [copied(), shadow()])
def test_shadow_needs_tidegates_own_gateways(fleet: FleetSpec) -> None:
    with pytest.raises(TargetRefused, match="http_route"):
        start_data(fleet, Settings(), ImageTable(), replace(OPTIONS, http_route=HttpRoute("public")))
