"""Objects of the kind Endpoint in a real API server, with the real controller and rollout machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.features.endpoint_resources.resource_world import ResourceWorld, make_spec
from tests.kubernetes.cluster.harness import Cluster, why_not
from tidegate.domain.errors import Transient
from tidegate.targets.kubernetes.api import connect
from tidegate.targets.kubernetes.endpoint_objects import EndpointObjects
from tidegate.targets.kubernetes.options import KubernetesOptions

pytestmark = [pytest.mark.timeout(600), pytest.mark.anyio]
DEFINITION = Path(__file__).parents[2] / "deploy" / "helm" / "tidegate" / "crds" / "endpoints.yaml"
NAMESPACE = "tidegate"
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


def kubectl(cluster: Cluster, *words: str, stdin: object = None) -> str:
    return cluster.kubectl("-n", NAMESPACE, *words, stdin="" if stdin is None else json.dumps(stdin))


def resource(name: str, spec: Any) -> dict[str, Any]:
    return {"apiVersion": "tidegate.io/v1alpha1", "kind": "Endpoint", "metadata": {"name": name}, "spec": spec}


def read(cluster: Cluster) -> Any:
    return json.loads(kubectl(cluster, "get", FRAUD, "-o", "json"))


async def test_an_endpoint_lives_by_kubectl_alone(empty: Cluster) -> None:
    world = ResourceWorld()
    api = connect(KubernetesOptions(image="x", namespace=NAMESPACE, kubeconfig=str(empty.kubeconfig)))
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
