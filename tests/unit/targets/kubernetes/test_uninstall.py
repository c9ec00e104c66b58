"""What a tidegate leaves in a cluster is listed and removed, and nothing else."""

import asyncio
import copy
from dataclasses import replace

import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.memory_api_server import Object
from tests.unit.targets.kubernetes.target_harness import OPTIONS, Cluster, memory_api, run
from tidegate.domain.errors import Conflict
from tidegate.targets.kubernetes.control_plane import ControlPlane, control_plane
from tidegate.targets.kubernetes.uninstall import uninstall

POLICIES = replace(OPTIONS, network_policies=True)
CONTROLLER = {
    "metadata": {
        "name": "tidegate-controller-abc",
        "labels": {
            "app.kubernetes.io/managed-by": "tidegate",
            "tidegate.io/installation": "tidegate",
            "app.kubernetes.io/component": "controller",
        },
    }
}


def installed() -> Cluster:
    return Cluster(options=POLICIES)


async def fill(cluster: Cluster) -> dict[tuple[str, str], Object]:
    """The objects of others, and those of the chart."""
    await cluster.deploy(fleet_spec())
    await cluster.lifecycle.show_leader()
    others = {("secrets", "tidegate"): {"metadata": {"name": "tidegate", "labels": {}}}}
    cluster.server.objects |= others
    kinds = {
        "ServiceAccount": "serviceaccounts",
        "Role": "roles",
        "Service": "services",
        "ConfigMap": "configmaps",
    }
    for manifest in control_plane(ControlPlane("i", "tidegate", "ml")):
        if plural := kinds.get(manifest["kind"]):
            others[plural, manifest["metadata"]["name"]] = copy.deepcopy(manifest)
    cluster.server.objects |= others
    return others


def test_all_of_it_is_listed_and_then_removed_and_nothing_else() -> None:
    async def scenario() -> None:
        cluster = installed()
        others = await fill(cluster)
        before = dict(cluster.server.objects)
        listed = await uninstall(memory_api(cluster.server), POLICIES, False)
        assert cluster.server.objects == before
        kinds = {name.split(" ")[0] for name in listed}
        assert kinds == {
            *("Deployment", "PodDisruptionBudget", "Service", "NetworkPolicy", "Lease", "Secret", "ConfigMap")
        }
        assert await uninstall(memory_api(cluster.server), POLICIES, True) == listed
        cluster.server.remove_leaving()
        assert cluster.server.objects == others
        assert await uninstall(memory_api(cluster.server), POLICIES, True) == []

    run(scenario())


def test_nothing_is_removed_while_a_controller_runs() -> None:
    async def scenario() -> None:
        cluster = installed()
        await fill(cluster)
        cluster.server.objects["pods", "tidegate-controller-abc"] = CONTROLLER
        before = dict(cluster.server.objects)
        for options in (POLICIES, replace(POLICIES, installation="blue")):
            with pytest.raises(Conflict, match="helm uninstall it first"):
                await uninstall(memory_api(cluster.server), options, True)
        assert cluster.server.objects == before

    run(scenario())


def test_recreated_service_of_the_gateways_keeps_its_address() -> None:
    key = ("services", "tidegate-gateway")

    async def scenario() -> None:
        cluster = installed()
        await cluster.deploy(fleet_spec())
        cluster.server.objects[key]["spec"]["clusterIP"] = "10.96.7.7"
        await cluster.lifecycle.repair()
        del cluster.server.objects[key]
        await cluster.lifecycle.repair()
        assert cluster.server.objects[key]["spec"]["clusterIP"] == "10.96.7.7"
        # Another controller, which never had the address, finds it noted beside the gateways.
        del cluster.server.objects[key]
        cluster.restart(controller=2)
        await cluster.turn()
        assert cluster.server.objects[key]["spec"]["clusterIP"] == "10.96.7.7"

    run(scenario())


def test_service_whose_address_is_taken_gets_another_one() -> None:
    key = ("services", "tidegate-gateway")

    async def scenario() -> None:
        cluster = installed()
        await cluster.deploy(fleet_spec())
        cluster.server.objects[key]["spec"]["clusterIP"] = "10.96.7.7"
        await cluster.lifecycle.repair()
        del cluster.server.objects[key]
        real = cluster.server._write

        def refuse(request: object, method: str, plural: str, name: str) -> object:
            if b"10.96.7.7" in request.content and plural == "services":  # type: ignore[attr-defined]
                return cluster.server._refuse(request, 422, "Invalid", "provided IP is already allocated")  # type: ignore[arg-type]
            return real(request, method, plural, name)  # type: ignore[arg-type]

        cluster.server._write = refuse  # type: ignore[method-assign, assignment]
        await cluster.lifecycle.repair()
        assert "clusterIP" not in cluster.server.objects[key]["spec"]
        await asyncio.sleep(0)

    run(scenario())
