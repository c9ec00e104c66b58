"""The target's objects in a real API server, with the real controllers; its pods run nothing."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml

from tests.kubernetes.cluster.harness import Cluster, why_not
from tests.memory_metrics import MemoryMetrics
from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.target_harness import table
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.fleet import FleetSpec, Serverless
from tidegate.domain.traffic import RouteTable
from tidegate.host.installation import Installation
from tidegate.ports.router import DataPlane
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.context import TargetContext
from tidegate.targets.kubernetes.api import KubeApi, connect
from tidegate.targets.kubernetes.api_errors import ForeignChange, MissingRight
from tidegate.targets.kubernetes.api_versions import ApiVersions, choose
from tidegate.targets.kubernetes.doctor import check
from tidegate.targets.kubernetes.fleet_manifests import fleet_manifests, scale_manifest
from tidegate.targets.kubernetes.foreign_changes import scaled_by_others
from tidegate.targets.kubernetes.gateway_manifests import gateway_manifests, token_secret
from tidegate.targets.kubernetes.names import PROVEN, SCALER, Manifest, endpoint_name, fleet_labels, fleet_name
from tidegate.targets.kubernetes.options import AutoscalingOptions, HttpRoute, KubernetesOptions
from tidegate.targets.kubernetes.provider import join
from tidegate.targets.kubernetes.route_objects import RouteObjects
from tidegate.targets.kubernetes.start_data import start_data
from tidegate.targets.kubernetes.target import KubernetesTarget

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
DEPLOY = Path(__file__).parents[2] / "deploy"
NAMESPACE = "tidegate"
SETTINGS = Settings(access_keys={"AKIA": "secret"})


@pytest.fixture(scope="module")
def empty() -> Iterator[Cluster]:
    """A cluster with fake nodes."""
    if (reason := why_not(real_nodes=False)) is not None:
        pytest.skip(reason)
    with Cluster(fake_nodes=2) as running:
        running.kubectl("create", "namespace", NAMESPACE)
        yield running


def options(cluster: Cluster, **more: object) -> KubernetesOptions:
    kubeconfig = str(cluster.kubeconfig)
    return KubernetesOptions(image="tidegate:test", namespace=NAMESPACE, kubeconfig=kubeconfig, **more)  # type: ignore[arg-type]


def manifests(fleet: FleetSpec, chosen: KubernetesOptions, versions: ApiVersions) -> list[Manifest]:
    start = start_data(fleet, SETTINGS, ImageTable(), chosen)
    return fleet_manifests(fleet, 1, start, SETTINGS, chosen, versions)


def joined(api: KubeApi, chosen: KubernetesOptions, versions: ApiVersions) -> KubernetesTarget:
    nowhere = Path("/nonexistent")
    context = TargetContext(
        settings=SETTINGS,
        state=nowhere,
        sockets=nowhere,
        former_sockets=(),
        installation=Installation(nowhere, "id"),
        data_plane=cast(DataPlane, None),
        history=MemoryMetrics(),
        images=ImageTable(),
        environment={},
        new_id=str,
        changed=lambda endpoint: None,
    )
    target = join(context, chosen, api).target
    assert isinstance(target, KubernetesTarget)
    target.versions = versions
    return target


def test_real_api_server_takes_every_object_and_changes_nothing_the_second_time(empty: Cluster) -> None:
    async def scenario() -> None:
        chosen = options(empty, autoscaling={"scaled": AutoscalingOptions("hpa", 1, 3)})
        api = connect(chosen)
        versions = choose(await api.groups())
        assert versions == ApiVersions("policy/v1beta1", "autoscaling/v2beta2")
        await api.create(token_secret(chosen, "t"))
        whole = [
            *gateway_manifests(SETTINGS, chosen, versions, NAMESPACE),
            *manifests(fleet_spec(), chosen, versions),
            *manifests(fleet_spec("scaled"), chosen, versions),
        ]
        for manifest in whole:
            await api.apply(manifest)
        generations = [(await api.apply(manifest))["metadata"].get("generation") for manifest in whole]
        assert set(generations) <= {None, 1}
        assert not await api.create(token_secret(chosen, "other"))
        await api.close()

    asyncio.run(scenario())


def test_pods_follow_and_foreign_change_is_named(empty: Cluster) -> None:
    async def scenario() -> None:
        chosen = options(empty)
        api = connect(chosen)
        fleet = fleet_spec("foreign")
        target = joined(api, chosen, choose(await api.groups()))
        await target.ensure_fleet(fleet, 1)
        labels = ",".join(f"{key}={value}" for key, value in fleet_labels("tidegate", fleet.id).items())
        async with asyncio.timeout(120):
            while len(await api.find("Pod", labels)) < 2:
                await asyncio.sleep(0.2)
        empty.kubectl("-n", NAMESPACE, "scale", "deployment", fleet_name(fleet.id), "--replicas=3")
        with pytest.raises(ForeignChange, match="replicas is 3, tidegate had set 2"):
            await target.ensure_fleet(fleet, 1)
        empty.kubectl("-n", NAMESPACE, "scale", "deployment", fleet_name(fleet.id), "--replicas=2")
        await target.ensure_fleet(fleet, 1)
        change = '{"spec": {"revisionHistoryLimit": 7}}'
        empty.kubectl("-n", NAMESPACE, "patch", "deployment", fleet_name(fleet.id), "-p", change)
        with pytest.raises(ForeignChange, match=r"kubectl-patch.*revisionHistoryLimit"):
            await target.ensure_fleet(fleet, 1)
        await api.close()

    asyncio.run(scenario())


def test_controllers_role_suffices_and_a_missing_verb_is_named(empty: Cluster, tmp_path: Path) -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "tidegate.yaml").read_text()))
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        one = next(document for document in documents if document["kind"] == kind)
        empty.kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=json.dumps(one))
    chosen = options(empty)
    chosen = KubernetesOptions(
        image=chosen.image, namespace=NAMESPACE, kubeconfig=str(_kubeconfig_of_controller(empty, tmp_path))
    )

    async def life(api: KubeApi) -> None:
        versions = choose(await api.groups())
        fleet = fleet_spec("least")
        for manifest in [
            *gateway_manifests(SETTINGS, chosen, versions, NAMESPACE),
            *manifests(fleet, chosen, versions),
        ]:
            await api.apply(manifest)
        target = joined(api, chosen, versions)
        await target.delete_fleet(fleet.id, 1)
        assert await api.get("Deployment", fleet_name(fleet.id)) is None

    async def scenario() -> None:
        api = connect(chosen)
        await life(api)
        found = {one.what: one.level.value for one in await check(connect(chosen), chosen, {"image": "i"}, None)}
        assert found["permissions"] == "ok"
        empty.kubectl("-n", NAMESPACE, "delete", "rolebinding", "tidegate-controller")
        with pytest.raises(MissingRight, match="add verb get on deployments"):
            async with asyncio.timeout(60):
                while True:  # the API server's authorizer learns of it a moment later
                    await api.get("Deployment", "none")
        await api.close()

    asyncio.run(scenario())


def _kubeconfig_of_controller(cluster: Cluster, folder: Path) -> Path:
    secret = next(
        one
        for one in json.loads(cluster.kubectl("-n", NAMESPACE, "get", "secrets", "-o", "json"))["items"]
        if one["metadata"].get("annotations", {}).get("kubernetes.io/service-account.name")
        == "tidegate-controller"
    )
    whole = yaml.safe_load(cluster.kubeconfig.read_text())
    token = cluster.kubectl(
        "-n",
        NAMESPACE,
        "get",
        "secret",
        secret["metadata"]["name"],
        "-o",
        "go-template={{.data.token | base64decode}}",
    )
    whole["users"] = [{"name": one["name"], "user": {"token": token}} for one in whole["users"]]
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(whole))
    return path


ROUTES = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: httproutes.gateway.networking.k8s.io
  annotations: {api-approved.kubernetes.io: "unapproved, of a test"}
spec:
  group: gateway.networking.k8s.io
  names: {kind: HTTPRoute, plural: httproutes, singular: httproute}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              parentRefs: &list
                type: array
                x-kubernetes-list-type: atomic
                items: {type: object, x-kubernetes-preserve-unknown-fields: true}
              rules: *list
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
"""Fields of the Gateway API's HTTPRoute that tidegate uses: a definition of this test's own."""


def test_weights_of_a_route_are_in_force_once_its_gateway_says_so(empty: Cluster) -> None:
    """No gateway runs here: the test answers in the place of its controller."""
    empty.kubectl("apply", "-f", "-", stdin=ROUTES)
    empty.kubectl("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io")
    chosen = options(empty, http_route=HttpRoute("public", "edge"))
    name = endpoint_name("routed")

    def accept() -> None:
        route = json.loads(empty.kubectl("-n", NAMESPACE, "get", "httproute", name, "-o", "json"))
        conditions = [
            {"type": kind, "status": "True", "observedGeneration": route["metadata"]["generation"]}
            for kind in ("Accepted", "ResolvedRefs")
        ]
        told = {"parents": [{"parentRef": route["spec"]["parentRefs"][0], "conditions": conditions}]}
        change = json.dumps({"status": told})
        empty.kubectl(
            *(
                "-n",
                NAMESPACE,
                "patch",
                "httproute",
                name,
                "--subresource",
                "status",
                "--type",
                "merge",
                "-p",
                change,
            )
        )

    async def scenario() -> None:
        api = connect(chosen)
        routes = RouteObjects(api, chosen)

        async def put(wanted: RouteTable) -> None:
            await routes.put(wanted, await routes.find(wanted.endpoint))

        for shares in ({1: 10_000}, {1: 9_000, 2: 1_000}):
            wanted = table("routed", len(shares), shares)
            with pytest.raises(Transient, match="public"):
                await put(wanted)
            accept()
            assert await routes.table("routed") == wanted
            await put(wanted)
        change = json.dumps({"spec": {"rules": []}})
        empty.kubectl("-n", NAMESPACE, "patch", "httproute", name, "--type", "merge", "-p", change)
        with pytest.raises(ForeignChange, match="kubectl-patch"):
            await put(table("routed", 3, {2: 10_000}))
        await put(RouteTable("routed", 3))
        assert await routes.table("routed") == RouteTable("routed", 0)
        await api.close()

    asyncio.run(scenario())


def test_scaler_sets_the_pods_of_a_serverless_fleet_and_nothing_else(empty: Cluster) -> None:
    async def scenario() -> None:
        chosen = options(empty)
        api = connect(chosen)
        versions = choose(await api.groups())
        fleet = fleet_spec("sleepy", count=1, serverless=Serverless(2**30, 10))
        whole = manifests(fleet, chosen, versions)
        for manifest in whole:
            await api.apply(manifest)
        for pods in (3, 0):
            await api.apply(scale_manifest(fleet.id, pods, proven=True), manager=SCALER)
            for manifest in whole:
                await api.apply(manifest)
            found = await api.get("Deployment", fleet_name(fleet.id))
            assert found is not None and found["spec"]["replicas"] == pods
            assert found["metadata"]["annotations"][PROVEN] == "true"
        empty.kubectl("-n", NAMESPACE, "scale", "deployment", fleet_name(fleet.id), "--replicas=2")
        found = await api.get("Deployment", fleet_name(fleet.id))
        assert found is not None and "replicas is 2, tidegate had set 0" in (scaled_by_others(found) or "")
        await api.delete("Deployment", fleet_name(fleet.id))
        with pytest.raises(TargetRefused):
            await api.apply(scale_manifest(fleet.id, 1, proven=True), manager=SCALER)
        await api.close()

    asyncio.run(scenario())
