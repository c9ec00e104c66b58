"""The harness: pods are real containers on a real network, and servers can be broken one by one."""

import json

import httpx

from tests.kubernetes.cluster import pause_image
from tests.kubernetes.cluster.control_plane import wait_for
from tests.kubernetes.cluster.harness import Cluster


def deployment(name: str, replicas: int) -> str:
    labels = {"app": name}
    pod = {"containers": [{"name": "pause", "image": pause_image.NAME, "imagePullPolicy": "Never"}]}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
    )


def ready(cluster: Cluster, name: str) -> int:
    return int(cluster.kubectl("get", "deployment", name, "-o", "jsonpath={.status.readyReplicas}") or 0)


def test_nodes_have_addresses_that_this_machine_reaches(cluster: Cluster) -> None:
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]

    assert {node["metadata"]["name"]: node["status"]["addresses"][0]["address"] for node in nodes} == {
        node.name: node.address for node in cluster.nodes
    }
    for node in cluster.nodes:
        assert httpx.get(f"https://{node.address}:10250/healthz", verify=False).text == "ok"


def test_pods_are_containers_with_processes(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=deployment("real", 2))
    wait_for(lambda: ready(cluster, "real") == 2, "the deployment", lambda: cluster.log("kubelet", "n1"))

    pod = cluster.kubectl("get", "pods", "-l", "app=real", "-o", "name").split()[0]
    assert "catatonit" in cluster.kubectl("exec", pod, "--", "/pause", "--version")


def test_api_server_comes_back_with_what_it_knew(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "kept")
    cluster.stop_api_server()
    cluster.start_api_server()

    assert "kept" in cluster.kubectl("get", "namespaces")
