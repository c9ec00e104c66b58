"""Containers of the user's in pods, with the worker as their front: valid manifests, and who gets what."""

import base64
from dataclasses import replace
from typing import Any

import kubernetes_validate
import msgspec
import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import ContainerDefinition, Upstream
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api_versions import ApiVersions
from tidegate.targets.kubernetes.endpoint_plans import servers
from tidegate.targets.kubernetes.fleet_manifests import fleet_manifests
from tidegate.targets.kubernetes.gateway_manifests import network_policies
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.pods import worker_pod
from tidegate.targets.kubernetes.start_data import START_FILE, start_data

IMAGE = "ghcr.example/team/fraud@sha256:" + "a" * 64
SECRET = "not-for-manifests"
TABLE = ImageTable(containers=("ghcr.example/*",))
OPTIONS = KubernetesOptions(image="registry.example/tidegate:1", service_account="models")
Manifest = dict[str, Any]


def fleet(*containers: ContainerDefinition, memory: int | None = None) -> FleetSpec:
    made = fleet_spec(memory=memory)
    model = replace(made.variant.model, containers=containers, single=len(containers) == 1)
    return replace(made, variant=replace(made.variant, model=model))


def of_user(data: str | None = None, **keys: Any) -> ContainerDefinition:
    return ContainerDefinition(IMAGE, data, {"TOKEN": SECRET}, hostname=None, upstream=Upstream(**keys))


def compiled(spec: FleetSpec, options: KubernetesOptions = OPTIONS) -> list[Manifest]:
    data = start_data(spec, Settings(), TABLE, options)
    return fleet_manifests(spec, 7, data, Settings(), options, ApiVersions())


def pod(spec: FleetSpec, options: KubernetesOptions = OPTIONS) -> Manifest:
    (deployment,) = [one for one in compiled(spec, options) if one["kind"] == "Deployment"]
    found: Manifest = deployment["spec"]["template"]["spec"]
    return found


def named(containers: list[Manifest], name: str) -> Manifest:
    (found,) = [one for one in containers if one["name"] == name]
    return found


@pytest.mark.parametrize("version", ["1.25", "1.29", "1.37"])
@pytest.mark.parametrize("data", [None, "s3://models/fraud.tar.gz"])
def test_manifests_with_a_container_of_the_users_are_valid(version: str, data: str | None) -> None:
    for manifest in compiled(fleet(of_user(data))):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_worker_is_the_front_of_the_container_and_leaves_it_its_port() -> None:
    containers = pod(fleet(of_user(port=8080), memory=2**30))["containers"]
    worker, model = named(containers, "worker"), named(containers, "model-1")
    assert {one["name"]: one["containerPort"] for one in worker["ports"]} == {"http": 18_080, "stats": 18_081}
    assert worker["readinessProbe"]["httpGet"]["port"] == 18_081
    assert model["image"] == IMAGE
    assert model["ports"][0]["containerPort"] == 8080
    assert model["lifecycle"] == {"preStop": {"httpGet": {"path": "/drained", "port": 18_081}}}, (
        "it outlives the front"
    )
    assert model["resources"]["limits"]["memory"] == "1280Mi"
    assert worker["resources"]["limits"]["memory"] == "512Mi"
    (secret,) = [one for one in compiled(fleet(of_user())) if START_FILE in one.get("data", {})]
    start = msgspec.json.decode(base64.b64decode(secret["data"][START_FILE]))
    assert start["listen"]["port"] == 18_080
    assert start["containers"][0]["runtime"]["upstream"]["url"] == "http://127.0.0.1:8080"


def test_gateways_and_the_collector_use_the_ports_of_each_pod() -> None:
    template = {"spec": pod(fleet(of_user())), "metadata": {"name": "p"}, "status": {"podIP": "10.0.0.1"}}
    assert worker_pod(template, OPTIONS).ports == (18_080, 18_081)
    view: Any = type("View", (), {"pods": {"p": (replace(worker_pod(template, OPTIONS), ready=True), template)}})
    assert servers(view, (), ()) == {"p": "ipv4@10.0.0.1:18080"}
    plain = {**template, "spec": pod(fleet_spec())}
    assert worker_pod(plain, OPTIONS).ports == (8080, 8081)


def test_policies_admit_gateways_to_the_front_alone() -> None:
    (policy,) = [one for one in network_policies(OPTIONS) if one["metadata"]["name"].endswith("worker")]
    admitted = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert admitted == {8080, 8081, 18_080, 18_081}


def test_the_image_runs_as_its_own_user_without_privileges_or_the_servers_secrets() -> None:
    options = replace(OPTIONS, environment_secret="aws-keys")
    spec = pod(fleet(of_user()), options)
    model, worker = named(spec["containers"], "model-1"), named(spec["containers"], "worker")
    assert "runAsUser" not in spec["securityContext"]
    assert worker["securityContext"]["runAsUser"] == options.run_as
    assert model["securityContext"]["allowPrivilegeEscalation"] is False
    assert model["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert "envFrom" not in model
    assert spec["serviceAccountName"] == "models"
    restricted = named(pod(fleet(of_user()), replace(OPTIONS, model_user=1000))["containers"], "model-1")
    assert restricted["securityContext"]["runAsUser"] == 1000
    assert "add" not in restricted["securityContext"]["capabilities"]


def test_values_of_variables_are_in_the_secret_and_not_in_the_pod() -> None:
    manifests = compiled(fleet(of_user()))
    assert SECRET not in str([one for one in manifests if one["kind"] != "Secret"])
    variables = named(pod(fleet(of_user()))["containers"], "model-1")["env"]
    (token,) = [one for one in variables if one["name"] == "TOKEN"]
    reference = token["valueFrom"]["secretKeyRef"]
    (secret,) = [one for one in manifests if one["metadata"]["name"] == reference["name"]]
    assert base64.b64decode(secret["data"][reference["key"]]).decode() == SECRET


def test_model_data_are_fetched_before_the_container_starts() -> None:
    spec = pod(fleet(of_user("s3://models/fraud.tar.gz")))
    (fetching,) = spec["initContainers"]
    assert fetching["command"][:3] == ["serve", "--fetch", "1"]
    model = named(spec["containers"], "model-1")
    assert {"name": "data-1", "mountPath": "/opt/ml/model", "subPath": "model", "readOnly": True} in model[
        "volumeMounts"
    ]
    assert "initContainers" not in pod(fleet(of_user()))


@pytest.mark.parametrize(
    ("keys", "arguments"),
    [({}, ["serve"]), ({"arguments": ("--x",)}, ["--x"]), ({"port": 8000, "predict": "/predict"}, None)],
)
def test_an_image_with_sagemakers_contract_is_started_with_serve(
    keys: dict[str, Any], arguments: list[str] | None
) -> None:
    assert named(pod(fleet(of_user(**keys)))["containers"], "model-1").get("args") == arguments


def test_containers_that_share_a_port_are_refused() -> None:
    two = [replace(of_user(), hostname="a"), replace(of_user(), hostname="b")]
    with pytest.raises(TargetRefused, match="both listen on port 8080"):
        compiled(fleet(*two))
    with pytest.raises(TargetRefused, match="port 18080 is tidegate's own"):
        compiled(fleet(of_user(port=18_080)))
    assert len(pod(fleet(two[0], replace(of_user(port=9000), hostname="b")))["containers"]) == 3


def test_an_image_that_the_server_does_not_allow_is_refused() -> None:
    other = replace(of_user(), image="docker.example/other")
    with pytest.raises(TargetRefused, match="does not run the container image"):
        compiled(fleet(other))
