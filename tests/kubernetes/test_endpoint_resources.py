"""Objects of the kind Endpoint in a real API server, with the real controller and rollout machine."""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.features.endpoint_resources.resource_world import ResourceWorld, make_spec
from tests.kubernetes.cluster.harness import Cluster, why_not
from tidegate.domain.errors import Transient
from tidegate.host.platform import wait_until
from tidegate.targets.kubernetes.api import connect
from tidegate.targets.kubernetes.control_plane import rules
from tidegate.targets.kubernetes.endpoint_objects import EndpointObjects
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.rights import OPTIONAL_RIGHTS

pytestmark = [pytest.mark.timeout(600), pytest.mark.anyio]
DEFINITION = Path(__file__).parents[2] / "deploy" / "helm" / "tidegate" / "crds" / "endpoints.yaml"
NAMESPACE = "tidegate"
MANIFESTS, ACCOUNT = Path(__file__).parents[2] / "deploy" / "kubernetes" / "tidegate.yaml", "tidegate-controller"
FRAUD = "endpoints.tidegate.io/fraud"


@pytest.fixture(scope="module")
def empty() -> Iterator[Cluster]:
    """A cluster with the definition, whose nodes run nothing."""
    if (reason := why_not(real_nodes=False)) is not None:
        pytest.skip(reason)
    with Cluster(fake_nodes=1) as running:
        running.kubectl("create", "namespace", NAMESPACE)
        running.kubectl("apply", "--validate=false", "-f", str(DEFINITION))  # 1.20 knows no rules of CEL
        running.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/endpoints.tidegate.io")
        yield running


@pytest.fixture(scope="module")
def controller(empty: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the controller's ServiceAccount, which has the rights of the shipped Role and those that
    the chart adds for this option, and no others."""
    kinds = ("ServiceAccount", "Role", "RoleBinding")
    for one in yaml.safe_load_all(MANIFESTS.read_text()):
        if one["kind"] in kinds and one["metadata"]["name"] == ACCOUNT:
            more = rules(OPTIONAL_RIGHTS["endpoint_resources"]) if one["kind"] == "Role" else []
            kubectl(empty, "apply", "-f", "-", stdin={**one, "rules": [*one["rules"], *more]} if more else one)
    path = "jsonpath={.secrets[0].name}"
    secret = wait_until(lambda: kubectl(empty, "get", "serviceaccount", ACCOUNT, "-o", path), "a token", 60)
    token = kubectl(empty, "get", "secret", secret, "-o", "jsonpath={.data.token}")
    config = json.loads(empty.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": b64decode(token).decode()}
    made = tmp_path_factory.mktemp("controller") / "kubeconfig"
    made.write_text(json.dumps(config))
    return made


def kubectl(cluster: Cluster, *words: str, stdin: object = None) -> str:
    return cluster.kubectl("-n", NAMESPACE, *words, stdin="" if stdin is None else json.dumps(stdin))


def resource(name: str, spec: Any) -> dict[str, Any]:
    return {"apiVersion": "tidegate.io/v1alpha1", "kind": "Endpoint", "metadata": {"name": name}, "spec": spec}


def read(cluster: Cluster) -> Any:
    return json.loads(kubectl(cluster, "get", FRAUD, "-o", "json"))


async def test_an_endpoint_lives_by_kubectl_and_the_rights_of_the_controller_alone(
    empty: Cluster, controller: Path
) -> None:
    world = ResourceWorld()
    api = connect(KubernetesOptions(image="x", namespace=NAMESPACE, kubeconfig=str(controller)))
    world.loops[0].resources = EndpointObjects(api, "local")
    with pytest.raises(AssertionError, match=r"spec\.instances in body should be greater than or equal to 1"):
        kubectl(empty, "apply", "-f", "-", stdin=resource("fraud", {**make_spec(1), "instances": 0}))
    deep = json.dumps(resource("deep", {"model": {"url": 0}})).replace(
        '"url": 0', f'"url": {"[" * 3000}{"]" * 3000}'
    )
    empty.kubectl("-n", NAMESPACE, "create", "-f", "-", stdin=deep)

    kubectl(empty, "apply", "-f", "-", stdin=resource("fraud", make_spec(1)))
    await world.turns()
    assert read(empty)["metadata"]["finalizers"] == ["tidegate.io/endpoint"]
    await world.end_rollout()
    await world.turn()
    kubectl(empty, "wait", "--for=condition=Ready", "--timeout=10s", FRAUD)
    assert kubectl(empty, "diff", "-f", "-", stdin=resource("fraud", make_spec(1))) == ""
    head, _, row = kubectl(empty, "get", "tge", "fraud").strip().partition("\n")
    assert head.split() == ["NAME", "READY", "VERSION", "SHARE", "STATUS", "AGE"]
    assert row.split()[:2] + row.split()[3:5] == ["fraud", "True", "100%", "InService"]
    refused = json.loads(kubectl(empty, "get", "endpoints.tidegate.io/deep", "-o", "jsonpath={.status}"))
    assert refused["reason"] == "Refused"

    kubectl(empty, "apply", "-f", "-", stdin=resource("fraud", make_spec(2)))
    kubectl(empty, "annotate", FRAUD, "tidegate.io/pause=")
    await world.turns()
    assert read(empty)["status"]["reason"] == "Paused"
    kubectl(empty, "annotate", FRAUD, "tidegate.io/pause-", "tidegate.io/abort=")
    await world.turns()
    assert "tidegate.io/abort" not in read(empty)["metadata"]["annotations"]
    await world.end_rollout()
    await world.turn()
    found = read(empty)
    assert (found["status"]["reason"], found["status"]["observedGeneration"]) == ("RolledBack", 2)

    (seen,) = [one for one in await world.loops[0].resources.find() if one.name == "fraud"]
    kubectl(empty, "annotate", FRAUD, "seen=")
    with pytest.raises(Transient, match="changed by somebody else"):
        await world.loops[0].resources.release(seen)
    with pytest.raises(Transient, match="changed by somebody else"):
        await world.loops[0].resources.put_status(seen, {"message": "x"})
    assert read(empty)["metadata"]["finalizers"] and read(empty)["status"]["message"] != "x"

    kubectl(empty, "delete", "--wait=false", FRAUD)
    await world.turns()
    await world.end_deletion()
    await world.turns()
    with pytest.raises(AssertionError, match="NotFound"):
        read(empty)
    assert await world.endpoint() is None
    await api.close()
