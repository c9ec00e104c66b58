"""What is compiled for a fleet and for the gateways is valid in every maintained Kubernetes, and safe."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import kubernetes_validate
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tidegate.domain.errors import StartupError, TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.traffic import build_route_table
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.front.access_keys import is_private
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api_versions import ApiVersions, choose
from tidegate.targets.kubernetes.fleet_manifests import fleet_manifests
from tidegate.targets.kubernetes.gateway_manifests import gateway_manifests, token_secret
from tidegate.targets.kubernetes.http_route import http_route
from tidegate.targets.kubernetes.names import fleet_name
from tidegate.targets.kubernetes.options import (
    AutoscalingOptions,
    HttpRoute,
    KubernetesOptions,
    Resources,
    Toleration,
    Volume,
    read_options,
)
from tidegate.targets.kubernetes.start_data import FLEET_FILE, START_FILE, start_data

VERSIONS = [f"1.{minor}" for minor in range(25, 38)]
NEW = ApiVersions()
SETTINGS = Settings(access_keys={"AKIA": "secret"})
OPTIONS = KubernetesOptions(image="registry.example/tidegate:1")
Manifest = dict[str, Any]


def compiled(
    fleet: FleetSpec, options: KubernetesOptions = OPTIONS, versions: ApiVersions = NEW
) -> list[Manifest]:
    data = start_data(fleet, SETTINGS, ImageTable(), options)
    return fleet_manifests(fleet, 7, data, SETTINGS, options, versions)


def one(manifests: list[Manifest], kind: str) -> Manifest:
    return next(manifest for manifest in manifests if manifest["kind"] == kind)


def pod(fleet: FleetSpec, options: KubernetesOptions = OPTIONS) -> Manifest:
    found: Manifest = one(compiled(fleet, options), "Deployment")["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid_in_every_maintained_version(version: str) -> None:
    scaled = replace(OPTIONS, autoscaling={"fraud": AutoscalingOptions("hpa", 1, 5)})
    gateways = gateway_manifests(SETTINGS, OPTIONS, ApiVersions(), "ml")
    for manifest in [*compiled(fleet_spec(), scaled), *gateways, token_secret(OPTIONS, "t")]:
        kubernetes_validate.validate(manifest, version, strict=True)


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]", fullmatch=True)
quantities = st.sampled_from(["100m", "1", "4"])
resources = st.builds(
    Resources,
    cpu=quantities,
    memory=st.sampled_from(["512Mi", "64Gi"]),
    gpus=st.integers(0, 8),
    neurons=st.integers(0, 2),
    node_selector=st.dictionaries(st.sampled_from(["pool", "example.com/kind"]), st.just("ml"), max_size=2),
    tolerations=st.lists(
        st.builds(
            Toleration,
            key=st.just("ml"),
            operator=st.sampled_from(["Exists", "Equal"]),
            value=st.just("yes"),
            effect=st.sampled_from(["", "NoSchedule", "NoExecute"]),
        ),
        max_size=2,
    ).map(tuple),
)
volumes = st.sampled_from(
    [
        (),
        (Volume("models", "/models", claim="models"),),
        (Volume("models", "/models", host_path="/srv/models"), Volume("more", "/more", claim="more")),
    ]
)
all_options = st.builds(
    KubernetesOptions,
    image=st.just("registry.example/tidegate:1"),
    installation=st.sampled_from(["tidegate", "blue"]),
    image_pull_policy=st.sampled_from(["", "Always", "IfNotPresent", "Never"]),
    image_pull_secrets=st.sampled_from([(), ("registry",)]),
    instance_types=st.dictionaries(st.sampled_from(["default", "ml.g5.xlarge"]), resources, max_size=2),
    volumes=volumes,
    environment_secret=st.sampled_from(["", "aws"]),
    spot=st.booleans(),
    autoscaling=st.sampled_from([{}, {"fraud": AutoscalingOptions("hpa", 2, 9)}]),
    controller_cidr=st.sampled_from(["", "10.0.0.0/8"]),
)
specs = st.builds(
    fleet_spec,
    endpoint=st.one_of(st.just("fraud"), names),
    variant=names,
    generation=st.integers(1, 10**10),
    count=st.integers(0, 100),
    instance_type=st.sampled_from(["local", "ml.g5.xlarge"]),
    memory=st.one_of(st.none(), st.integers(1, 2**40)),
)


@given(fleet=specs, options=all_options, version=st.sampled_from(VERSIONS), signed=st.booleans())
@settings(max_examples=25, deadline=None)
def test_any_fleet_compiles_to_valid_manifests(
    fleet: FleetSpec, options: KubernetesOptions, version: str, signed: bool
) -> None:
    server = SETTINGS if signed else Settings()
    data = start_data(fleet, server, ImageTable(), options)
    manifests = fleet_manifests(fleet, 1, data, server, options, ApiVersions())
    for manifest in [*manifests, *gateway_manifests(server, options, ApiVersions(), "ml")]:
        kubernetes_validate.validate(manifest, version, strict=True)
        _check_labels(manifest)
        assert len(manifest["metadata"]["name"]) <= 63
    deployment = one(manifests, "Deployment")
    selected = deployment["spec"]["selector"]["matchLabels"]
    assert selected.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert len(deployment["metadata"]["name"]) <= 52  # a pod's name has 11 more characters
    assert all("protocol" in port for port in _ports(manifests))


def _check_labels(manifest: Manifest) -> None:
    labels = manifest["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "tidegate"
    assert all(len(value) <= 63 for value in labels.values())


def _ports(node: object) -> Iterator[Manifest]:
    """Every port of a container or a Service: server-side apply in 1.20 refuses those without a protocol."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "ports":
                yield from value
            yield from _ports(value)
    elif isinstance(node, list):
        for value in node:
            yield from _ports(value)


def test_validation_would_find_a_misspelt_field() -> None:
    deployment = one(compiled(fleet_spec()), "Deployment")
    deployment["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.37", strict=True)


def test_old_clusters_get_old_versions_of_apis() -> None:
    scaled = replace(OPTIONS, autoscaling={"fraud": AutoscalingOptions("hpa", 1, 5)})
    found = compiled(fleet_spec(), scaled, choose({"apps/v1", "policy/v1beta1", "autoscaling/v2beta2"}))
    assert one(found, "PodDisruptionBudget")["apiVersion"] == "policy/v1beta1"
    assert one(found, "HorizontalPodAutoscaler")["apiVersion"] == "autoscaling/v2beta2"
    assert choose({"policy/v1", "autoscaling/v2"}) == ApiVersions()


def test_worker_has_no_rights_and_no_root() -> None:
    spec = pod(fleet_spec())
    container = spec["containers"][0]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_production_never_runs_on_spot_nodes_unless_allowed() -> None:
    terms = pod(fleet_spec())["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    refused = {one["key"]: one["values"] for one in terms["nodeSelectorTerms"][0]["matchExpressions"]}
    assert refused["karpenter.sh/capacity-type"] == ["spot"]
    assert refused["eks.amazonaws.com/capacityType"] == ["SPOT"]
    assert "affinity" not in pod(fleet_spec(), replace(OPTIONS, spot=True))


def test_accelerators_are_requested_and_their_taints_tolerated() -> None:
    types = {"ml.g5.xlarge": Resources(gpus=1), "ml.inf2.xlarge": Resources(neurons=2)}
    options = replace(OPTIONS, instance_types=types)
    spec = pod(fleet_spec(instance_type="ml.g5.xlarge"), options)
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    spec = pod(fleet_spec(instance_type="ml.inf2.xlarge"), options)
    assert spec["containers"][0]["resources"]["requests"]["aws.amazon.com/neuron"] == "2"
    assert "tolerations" not in pod(fleet_spec(), options)


def test_measured_memory_replaces_the_options() -> None:
    found = pod(fleet_spec(memory=800 * 2**20))["containers"][0]["resources"]
    assert found["requests"]["memory"] == found["limits"]["memory"] == "1000Mi"


def test_start_probe_allows_for_download_and_load() -> None:
    fleet = fleet_spec()
    fleet = replace(fleet, variant=replace(fleet.variant, download_timeout=100.0, startup_timeout=21.0))
    probe = pod(fleet)["containers"][0]["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] >= 121


def test_scaling_and_weighing_keep_the_pods() -> None:
    fleet = fleet_spec(count=2)
    two, five = compiled(fleet), compiled(replace(fleet, count=5, variant=replace(fleet.variant, weight=2.0)))
    assert one(two, "Secret") == one(five, "Secret")
    assert one(two, "Deployment")["spec"]["template"] == one(five, "Deployment")["spec"]["template"]


def test_secrets_hold_the_start_file_and_the_fleet() -> None:
    fleet = fleet_spec(count=3)
    start, whole = (found for found in compiled(fleet) if found["kind"] == "Secret")
    assert msgspec.json.decode(base64.b64decode(whole["data"][FLEET_FILE]), type=FleetSpec) == fleet
    assert b"s3://models/fraud.json" in base64.b64decode(start["data"][START_FILE])
    assert start["immutable"] is True


def test_names_differ_for_fleets_that_look_alike() -> None:
    long = "a" * 62
    fleets = [FleetId(long + end, 1, "v") for end in "xy"] + [FleetId("Fraud", 1, "v"), FleetId("fraud", 1, "v")]
    assert len({fleet_name(fleet) for fleet in fleets}) == 4


@pytest.mark.parametrize(
    ("data", "allowed"),
    [
        ("file:///models/a.json", True),
        ("file:///models/", True),
        ("file:///modelsx/a.json", False),
        ("file:///home/me/a.json", False),
        ("s3://b/a.json", True),
    ],
)
def test_model_data_must_be_where_pods_can_read_it(data: str, allowed: bool) -> None:
    options = replace(OPTIONS, volumes=(Volume("models", "/models", claim="models"),))
    if allowed:
        compiled(fleet_spec(data=data), options)
    else:
        with pytest.raises(TargetRefused, match="put it into S3, or on a volume"):
            compiled(fleet_spec(data=data), options)


def test_route_has_the_tables_weights() -> None:
    options = replace(OPTIONS, http_route=HttpRoute("public", hostnames=("ml.example.com",)))
    table = build_route_table("fraud", 5, [(1, 9_000, {"AllTraffic": 1.0}), (2, 1_000, {"AllTraffic": 1.0})])
    route = http_route(table, options)
    backends = route["spec"]["rules"][-1]["backendRefs"]
    assert [one["weight"] for one in backends] == [9_000, 1_000]
    assert backends[0]["name"] == fleet_name(FleetId("fraud", 1, "AllTraffic"))
    assert route["metadata"]["annotations"]["tidegate.io/fence"] == "5"
    assert route["spec"]["parentRefs"] == [{"name": "public"}]
    header = route["spec"]["rules"][0]["matches"][0]["headers"][0]
    assert header["value"] == "AllTraffic"


def test_route_refuses_more_backends_than_the_gateway_api_allows() -> None:
    options = replace(OPTIONS, http_route=HttpRoute("public"))
    variants = {f"v{number}": 1.0 for number in range(17)}
    with pytest.raises(TargetRefused, match="at most 16 backends"):
        http_route(build_route_table("fraud", 5, [(1, 10_000, variants)]), options)


def test_keys_are_mounted_so_that_a_worker_takes_them() -> None:
    """Kubernetes makes the file root's, and lets the pod's group read it besides what its mode says."""
    deployment = next(one for one in compiled(fleet_spec()) if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    mode = next(one["secret"]["defaultMode"] for one in pod["volumes"] if one["name"] == "keys")
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    assert is_private(mode | 0o440, 0, pod["securityContext"]["runAsUser"])


CHOSEN = replace(
    OPTIONS,
    service_account="models",
    priority_class="serving",
    labels={"team": "risk"},
    instance_types={"default": Resources(cpu="1", memory="2Gi", cpu_limit="2", ephemeral_storage="20Gi")},
)


def test_account_priority_labels_and_limits_reach_the_pods() -> None:
    fleet = fleet_spec()
    start = start_data(fleet, SETTINGS, ImageTable(), CHOSEN)
    found = fleet_manifests(fleet, 1, start, SETTINGS, CHOSEN, ApiVersions())
    worker = next(one for one in found if one["kind"] == "Deployment")["spec"]
    gateway = next(
        one for one in gateway_manifests(SETTINGS, CHOSEN, ApiVersions(), "ml") if one["kind"] == "Deployment"
    )["spec"]
    for spec in (worker, gateway):
        assert spec["template"]["spec"]["priorityClassName"] == "serving"
        assert spec["template"]["metadata"]["labels"]["team"] == "risk"
        assert "team" not in spec["selector"]["matchLabels"]
    made = worker["template"]["spec"]
    assert made["serviceAccountName"] == "models" and made["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in gateway["template"]["spec"], "gateways read no model data"
    assert made["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "20Gi"},
        "limits": {"cpu": "2", "memory": "2Gi", "ephemeral-storage": "20Gi"},
    }
    for version in ("1.25", "1.37"):
        for manifest in found:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("name", ["app.kubernetes.io/component", "tidegate.io/endpoint"])
def test_labels_of_tidegate_cannot_be_overridden(name: str) -> None:
    with pytest.raises(StartupError, match=f"label {name} is tidegate's own"):
        read_options({"image": "i", "labels": {name: "x"}})
