"""The harness itself: pods are real containers, and nothing of a cluster is left behind."""

import json

from tests.kubernetes.cluster.control_plane import wait_for
from tests.kubernetes.cluster.harness import Cluster


def test_nodes_are_ready_and_kubectl_speaks_to_the_api(cluster: Cluster) -> None:
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]

    assert {node["metadata"]["name"]: node["status"]["addresses"][0]["address"] for node in nodes} == {
        node.name: node.address for node in cluster.nodes
    }


def test_api_server_comes_back_with_what_it_knew(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "kept")
    cluster.stop_api_server()
    cluster.start_api_server()

    wait_for(lambda: "kept" in cluster.kubectl("get", "namespaces"), "the namespace", lambda: "")
