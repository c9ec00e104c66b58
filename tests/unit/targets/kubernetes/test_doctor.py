"""What doctor finds in a cluster, and what render prints."""

from datetime import UTC, datetime

import pytest

from tests.unit.targets.kubernetes.memory_api_server import Fault, MemoryApiServer
from tests.unit.targets.kubernetes.target_harness import OPTIONS, memory_api, run
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import EndpointConfig, ProductionVariant
from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.ports.target import Finding, Level
from tidegate.targets.kubernetes.api import connect
from tidegate.targets.kubernetes.doctor import check, check_kubernetes
from tidegate.targets.kubernetes.options import KubernetesOptions, read_options
from tidegate.targets.kubernetes.render import render_kubernetes
from tidegate.testing.samples import canary, percent

START = datetime(2026, 1, 1, tzinfo=UTC)
GIVEN = {"image": "tidegate:test"}


def desired(data: str = "s3://models/fraud.ubj") -> DesiredDeployment:
    model = Model("fraud-1", (ContainerDefinition("tidegate/xgboost", data_url=data),), START)
    config = EndpointConfig("fraud-1", (ProductionVariant("AllTraffic", "fraud-1", 2, "local"),), START)
    return DesiredDeployment("fraud", (model,), config, canary(percent(10), wait=1, bake=1, alarms=()))


def findings(server: MemoryApiServer) -> dict[str, Finding]:
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
