"""Rollouts on a real cluster: real pods, real gateways, load through the gateways' Service."""

from collections.abc import Iterator

import pytest

from tests.kubernetes.cluster.harness import Cluster
from tests.kubernetes.on_cluster import GATEWAY, WORKER, OnCluster, on_cluster
from tests.scene import KINDS, canary, linear
from tidegate.host.platform import wait_until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> Iterator[OnCluster]:
    with on_cluster(cluster) as made:
        yield made


def test_deployed_endpoint_answers_through_the_gateways(running: OnCluster) -> None:
    config = running.create("first")
    assert len(running.pod_names(GATEWAY)) == 2
    with running.load("first") as load:
        wait_until(lambda: load.snapshot().by_config, "answers")
        report = load.stop()
    assert report.failed == 0, report.failures[:3]
    assert set(report.by_config) == {config}
    running.delete("first")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_update_moves_all_traffic_without_losing_a_request(running: OnCluster, kind: str) -> None:
    endpoint = f"update-{kind.replace(' ', '-')}"
    running.create(endpoint)
    with running.load(endpoint) as load:
        config = running.scene.config(running.models[1], instances=2)
        running.scene.update(endpoint, config, KINDS[kind]())
        settled = running.scene.settled(endpoint)
        report = load.stop()
    assert settled["EndpointConfigName"] == config and "FailureReason" not in settled
    assert report.failed == 0, report.failures[:3]
    assert report.by_config[config].count > 0
    running.delete(endpoint)


@pytest.mark.long
def test_version_that_fails_requests_is_rolled_back_by_its_alarm(running: OnCluster) -> None:
    good = running.create("errors", instances=1)
    bad = running.scene.config(running.other_columns)
    dimensions = {"EndpointName": "errors", "VariantName": "AllTraffic", "EndpointConfigName": bad}
    given = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    running.scene.alarm("errors-high", "Invocation4XXErrors", 0.1, Dimensions=given)
    with running.load("errors") as load:
        running.scene.update("errors", bad, canary(20, 60, alarms=["errors-high"]))
        settled = running.scene.settled("errors")
        report = load.stop()
    assert settled["EndpointConfigName"] == good
    assert "errors-high" in settled["FailureReason"]
    assert report.failures and {one.config for one in report.failures} == {bad}
    running.delete("errors")


def test_version_that_does_not_start_leaves_the_old_one_serving(running: OnCluster) -> None:
    good = running.create("broken", instances=1)
    with running.load("broken") as load:
        running.scene.update("broken", running.scene.config(running.damaged), linear())
        settled = running.scene.settled("broken")
        report = load.stop()
    assert settled["EndpointConfigName"] == good
    assert "damaged.tar.gz" in settled["FailureReason"]
    assert report.failed == 0, report.failures[:3]
    running.delete("broken")


@pytest.mark.long
def test_killed_pod_is_replaced_and_costs_only_what_it_held(running: OnCluster) -> None:
    running.create("killed")
    with running.load("killed") as load:
        wait_until(lambda: load.snapshot().by_config, "answers")
        victim = running.pod_names(f"{WORKER},tidegate.io/endpoint=killed")[0]
        running.kubectl("delete", victim, "--grace-period=0", "--force")
        wait_until(
            lambda: running.scene.describe("killed")["ProductionVariants"][0]["CurrentInstanceCount"] == 2,
            "both",
            120,
        )
        report = load.stop()
    assert report.failed <= 1, report.failures[:3]
    running.delete("killed")


@pytest.mark.long
def test_rollout_keeps_its_weights_while_the_api_server_is_away(running: OnCluster) -> None:
    running.create("away", instances=1)
    with running.load("away") as load:
        config = running.scene.config(running.models[1])
        running.scene.update("away", config, canary(20, 30))
        wait_until(lambda: load.snapshot().by_config.get(config), "the canary's share", 120)
        running.cluster.stop_api_server()
        try:
            before = load.snapshot()
            wait_until(
                lambda: load.snapshot().sent - before.sent > 120 * 50 or None, "two minutes of requests", 200
            )
            after = load.snapshot()
        finally:
            running.cluster.start_api_server()
        new = after.by_config[config].count - before.by_config[config].count
        whole = sum(one.count for one in after.by_config.values()) - sum(
            one.count for one in before.by_config.values()
        )
        assert abs(new / whole - 0.2) < 0.03  # six standard deviations of chance
        settled = running.scene.settled("away")
        report = load.stop()
    assert settled["EndpointConfigName"] == config
    assert report.failed == 0, report.failures[:3]
    running.delete("away")


@pytest.mark.long
def test_restarted_controller_goes_on_with_a_rollout(running: OnCluster) -> None:
    running.create("restart", instances=1)
    with running.load("restart") as load:
        config = running.scene.config(running.models[1])
        running.scene.update("restart", config, canary(20, 10))
        wait_until(lambda: load.snapshot().by_config.get(config), "the canary's share", 120)
        running.platform.kill_controller()
        running.platform.start()
        settled = running.scene.settled("restart")
        report = load.stop()
    assert settled["EndpointConfigName"] == config
    assert report.failed == 0, report.failures[:3]
    running.delete("restart")


@pytest.mark.long
def test_drained_node_costs_no_request(running: OnCluster) -> None:
    running.create("drain")
    with running.load("drain") as load:
        wait_until(lambda: load.snapshot().by_config, "answers")
        running.cluster.kubectl("drain", "n2", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
        running.cluster.kubectl("uncordon", "n2")
        wait_until(
            lambda: running.scene.describe("drain")["ProductionVariants"][0]["CurrentInstanceCount"] == 2,
            "both",
            120,
        )
        report = load.stop()
    assert report.failed == 0, report.failures[:3]
    running.delete("drain")
