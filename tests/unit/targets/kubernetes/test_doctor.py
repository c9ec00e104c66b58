"""What doctor finds in a cluster, and what render prints."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.samples import canary, percent
from tests.unit.targets.kubernetes.memory_api_server import GROUPS, Fault, MemoryApiServer
from tests.unit.targets.kubernetes.target_harness import OPTIONS, memory_api, run
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import EndpointConfig, ProductionVariant
from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.evidence import OF_TRAFFIC
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.ports.target import CheckFinding, Level
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api import connect
from tidegate.targets.kubernetes.doctor import check, check_kubernetes
from tidegate.targets.kubernetes.options import AutoscalingOptions, HttpRoute, KubernetesOptions, read_options
from tidegate.targets.kubernetes.provider import capabilities
from tidegate.targets.kubernetes.render import render_kubernetes

START = datetime(2026, 1, 1, tzinfo=UTC)
GIVEN = {"image": "tidegate:test"}


def desired(data: str = "s3://models/fraud.ubj") -> DesiredDeployment:
    model = Model("fraud-1", (ContainerDefinition("tidegate/xgboost", data_url=data),), START)
    config = EndpointConfig("fraud-1", (ProductionVariant("AllTraffic", "fraud-1", 2, "local"),), START)
    return DesiredDeployment("fraud", (model,), config, canary(percent(10), wait=1, bake=1, alarms=()))


def findings(server: MemoryApiServer) -> dict[str, CheckFinding]:
    return {one.what: one for one in run(check(memory_api(server), OPTIONS, GIVEN, desired()))}


def test_cluster_that_can_be_used_has_nothing_wrong() -> None:
    found = findings(MemoryApiServer())
    assert {what: one.level for what, one in found.items()} == {
        "cluster": Level.WARNING,  # the fake is a 1.20
        "API versions": Level.OK,
        "permissions": Level.OK,
        "quotas": Level.OK,
        "endpoint fraud": Level.OK,
    }


def test_missing_rights_are_named() -> None:
    server = MemoryApiServer(forbidden={("patch", "deployments"), ("list", "secrets")})
    found = findings(server)["permissions"]
    assert found.level is Level.ERROR
    assert found.message == "missing: patch Deployment, list Secret"
    assert "Role of the controller in namespace ml" in found.remedy


def of_the_account(server: MemoryApiServer) -> CheckFinding:
    server.objects["serviceaccounts", "tidegate-controller"] = {"metadata": {"name": "tidegate-controller"}}
    return findings(server)["permissions"]


def test_rights_are_those_of_the_controllers_account_not_of_whoever_asks() -> None:
    """Here somebody asks who may do everything."""
    server = MemoryApiServer(lacking={("patch", "deployments"), ("patch", "deployments/status")})
    found = of_the_account(server)
    assert found.level is Level.ERROR
    assert (
        "ServiceAccount tidegate-controller: missing: patch Deployment, patch deployments/status" in found.message
    )
    assert {user for user, _, _ in server.reviewed} == {"system:serviceaccount:ml:tidegate-controller"}
    # A subresource is in the group of its resource.
    assert ("system:serviceaccount:ml:tidegate-controller", "apps", "deployments/status") in server.reviewed
    server = MemoryApiServer(forbidden={("delete", "secrets")})
    assert of_the_account(server).level is Level.OK


def test_rights_of_the_account_are_unknown_to_whoever_may_not_ask() -> None:
    server = MemoryApiServer(forbidden={("create", "subjectaccessreviews")})
    found = of_the_account(server)
    assert found.level is Level.UNKNOWN and "subjectaccessreviews" in found.message + found.remedy


def test_rights_that_options_need_are_checked() -> None:
    def missing(options: KubernetesOptions) -> str:
        plurals = ("horizontalpodautoscalers", "scaledobjects", "httproutes")
        server = MemoryApiServer(
            forbidden={
                (verb, plural) for plural in plurals for verb in ("get", "list", "create", "patch", "delete")
            },
            groups=(*GROUPS, "gateway.networking.k8s.io/v1", "keda.sh/v1alpha1"),
        )
        found = run(check(memory_api(server), options, GIVEN, None))
        return next(one.message for one in found if one.what == "permissions")

    assert "missing" not in missing(OPTIONS)
    assert "patch HorizontalPodAutoscaler" in missing(
        replace(OPTIONS, autoscaling={"fraud": AutoscalingOptions("hpa", 1, 2)})
    )
    assert "patch ScaledObject" in missing(
        replace(OPTIONS, autoscaling={"fraud": AutoscalingOptions("keda", 1, 2)})
    )
    assert "patch HTTPRoute" in missing(replace(OPTIONS, http_route=HttpRoute("public")))


def test_definition_of_endpoint_resources_is_looked_for() -> None:
    def look(*groups: str) -> CheckFinding:
        server, options = MemoryApiServer(groups=(*GROUPS, *groups)), replace(OPTIONS, endpoint_resources=True)
        found = run(check(memory_api(server), options, GIVEN, None))
        return next(one for one in found if one.what == "API versions")

    assert (look().level, look().message) == (Level.ERROR, "no tidegate.io/v1alpha1 in the cluster")
    assert "crds/endpoints.yaml" in look().remedy
    assert look("tidegate.io/v1alpha1").level is Level.OK


def test_quota_that_is_used_up_is_named() -> None:
    server = MemoryApiServer()
    status = {"hard": {"pods": "4", "cpu": "8"}, "used": {"pods": "4", "cpu": "2"}}
    server.objects["resourcequotas", "compute"] = {"metadata": {"name": "compute"}, "status": status}
    found = findings(server)["quotas"]
    assert (found.level, found.message) == (Level.WARNING, "used up: compute: pods 4 of 4")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("", 401, {"message": "Unauthorized"}, times=1_000), "refuses the credentials (401)"),
        (Fault("", 0, times=1_000), "kubernetes cannot be reached"),
    ],
)
def test_cluster_that_cannot_be_asked_is_unknown(fault: Fault, words: str) -> None:
    found = findings(MemoryApiServer(faults=[fault]))
    assert found["cluster"].level is Level.UNKNOWN and words in found["cluster"].message


def test_settings_that_cannot_be_used_are_a_finding() -> None:
    (found,) = check_kubernetes({"image": "i", "replicas": 3}, None)
    assert found.level is Level.ERROR and "unknown option 'replicas'" in found.message
    (found,) = check_kubernetes({"image": "i", "kubeconfig": "/nonexistent"}, None)
    assert found.level is Level.ERROR and "no usable credentials" in found.message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "image"),
        ({"image": 1}, "Expected `str`"),
        ({"image": "i", "gateway": {"replicas": 0}}, "at least 1"),
        ({"image": "i", "instance_types": {"a": {"gpus": "x"}}}, "Expected `int`"),
    ],
)
def test_wrong_options_are_said(given: dict[str, object], words: str) -> None:
    with pytest.raises(StartupError, match=words):
        read_options(given)


def test_credentials_that_are_not_there_are_said() -> None:
    with pytest.raises(StartupError, match="set kubeconfig or KUBECONFIG"):
        connect(KubernetesOptions(image="i", kubeconfig="/nonexistent"))


def test_deployment_is_printed_in_the_order_of_its_application() -> None:
    kinds = [one.name.split(" ")[0] for one in render_kubernetes(desired(), GIVEN).documents]
    assert kinds == [
        *("NetworkPolicy", "NetworkPolicy", "ConfigMap", "Service", "PodDisruptionBudget", "Deployment"),
        *("Secret", "Secret", "Deployment", "Service", "PodDisruptionBudget"),
    ]


def test_deployment_that_cannot_run_there_is_not_printed() -> None:
    with pytest.raises(Invalid, match="put it into S3, or on a volume"):
        render_kubernetes(desired("file:///home/me/model.ubj"), GIVEN)


def test_route_is_printed_where_the_cluster_has_a_gateway() -> None:
    documents = render_kubernetes(desired(), {**GIVEN, "http_route": {"gateway": "public"}}).documents
    assert documents[-1].name.startswith("HTTPRoute tg-fraud-")
    assert not any(one.name == "Deployment tidegate-gateway" for one in documents)


# What a cluster can do.


@pytest.mark.parametrize(("fidelity", "compares"), [("aws", set()), ("", set(OF_TRAFFIC))])
def test_no_pairs_are_compared_and_nothing_where_the_platform_does_no_more_than_aws(
    fidelity: str, compares: set[str]
) -> None:
    settings = Settings.from_environment({"TIDEGATE_FIDELITY": fidelity} if fidelity else {})
    assert capabilities(settings, KubernetesOptions("i")).compares == compares
