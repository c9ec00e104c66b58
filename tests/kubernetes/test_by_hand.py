"""What somebody does by hand to an installation in a real cluster: it goes on, and restores what is missing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kubernetes import image
from tests.kubernetes.cluster.harness import Cluster
from tests.kubernetes.installed import CONTROLLER, NAMESPACE, Installed, installed
from tests.scene import canary
from tidegate.host.platform import wait_until
from tidegate.targets.kubernetes.control_plane import NAME
from tidegate.targets.kubernetes.uninstall import uninstall_kubernetes

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

WORKER = "app.kubernetes.io/component=worker"


def until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    wait_until(condition, what, seconds, 0.5)


def names(running: Installed, kind: str, *more: str) -> set[str]:
    found = json.loads(running.kubectl("get", kind, *more, "-o", "json"))["items"]
    return {one["metadata"]["name"] for one in found}


def replace_leader(running: Installed) -> None:
    leader = running.leader()
    assert leader is not None
    running.kill(leader)
    until(lambda: running.leader() not in (None, leader), "another controller leads", 300)
    until(running.answers, "it answers")


def test_installation_that_is_operated_by_hand(
    cluster: Cluster, postgres_folder: Path, postgres_url: str, tmp_path: Path
) -> None:
    with installed(cluster, postgres_folder, postgres_url) as running:
        scene = running.scene
        until(lambda: len(running.ready()) == 2, "the standby is ready, too", 300)
        scene.create("hand", scene.config(running.models[0], instances=1))
        keep_controllers_through_a_wrong_image(running)
        [fleet] = names(running, "deployments", "-l", WORKER)
        with running.load("hand", 10) as load:
            show_the_fleet(running, fleet)
            restore_secrets(running, fleet)
            restore_the_token(running)
            config = scene.config(running.models[1], instances=1)
            scene.update("hand", config, canary(50, 5))
            settled = scene.settled("hand")
            report = load.stop()
        assert settled["EndpointConfigName"] == config and "FailureReason" not in settled
        assert report.failed == 0, report.failures[:3]
        remove_everything(cluster, running)


def keep_controllers_through_a_wrong_image(running: Installed) -> None:
    before = running.ready()
    running.kubectl("set", "image", f"deployment/{NAME}", "controller=localhost/none:wrong")
    until(lambda: len(running.controllers()) > len(before), "a pod with the wrong image")
    assert running.ready() == before and running.answers()
    running.kubectl("set", "image", f"deployment/{NAME}", f"controller={image.NAME}")
    running.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=120s")
    until(running.answers, "it answers")


def show_the_fleet(running: Installed, name: str) -> None:
    def shown() -> bool:
        found = json.loads(running.kubectl("get", "deployment", name, "-o", "json"))
        conditions = {one["type"]: one["status"] for one in found["status"].get("conditions", ())}
        share = found["metadata"]["annotations"].get("tidegate.io/traffic-share")
        return (share, conditions.get("TidegateHealthy")) == ("100%", "True")

    until(shown, "the share and the condition of the fleet")
    assert "TrafficShifted" in running.kubectl("get", "events")


def restore_secrets(running: Installed, name: str) -> None:
    """All of the fleet's, and its Service; then another controller leads, which never knew them."""
    secrets = names(running, "secrets", "-l", WORKER)
    assert f"{name}-fleet" in secrets
    running.kubectl("delete", "secrets", "-l", WORKER)
    running.kubectl("delete", "service", name)
    replace_leader(running)
    until(lambda: names(running, "secrets", "-l", WORKER) >= secrets, "the Secrets of the fleet")
    until(lambda: name in names(running, "services"), "its Service")


def restore_the_token(running: Installed) -> None:
    before = running.gateways()
    running.kubectl("delete", "secret", "tidegate-gateway-token")
    replace_leader(running)
    until(lambda: "tidegate-gateway-token" in names(running, "secrets"), "the token")

    def replaced() -> bool:
        return len(running.gateways()) == 2 and not running.gateways().keys() & before.keys()

    until(replaced, "both gateways are others, with the new token", 300)


def remove_everything(cluster: Cluster, running: Installed) -> None:
    running.kubectl("delete", "deployment", NAME)
    until(lambda: not names(running, "pods", "-l", CONTROLLER), "the controllers have ended", 180)
    options = {"image": image.NAME, "namespace": NAMESPACE, "kubeconfig": str(cluster.kubeconfig)}
    listed = uninstall_kubernetes(options, True)
    assert {one.split(" ")[0] for one in listed} >= {"Deployment", "Secret", "Service", "Lease"}
    until(lambda: not names(running, "pods", "-l", "app.kubernetes.io/managed-by=tidegate"), "all pods", 300)
    assert uninstall_kubernetes(options, True) == []
