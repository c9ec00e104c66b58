"""The platform in a real cluster, as users install it: two controllers, of which one leads."""

from pathlib import Path

import pytest

from tests.kubernetes.cluster.harness import Cluster
from tests.kubernetes.installed import installed
from tests.scene import canary
from tidegate.host.platform import wait_until

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]


def test_other_controller_finishes_a_rollout_when_the_leader_dies(
    cluster: Cluster, postgres_folder: Path, postgres_url: str
) -> None:
    with installed(cluster, postgres_folder, postgres_url) as running:
        wait_until(running.standing_by, "the second controller stands by", 300, 1.0)
        scene = running.scene
        scene.create("led", scene.config(running.models[0], instances=2))
        with running.load("led", 50) as load:
            config = scene.config(running.models[1], instances=2)
            scene.update("led", config, canary(20, 30))
            wait_until(lambda: load.snapshot().by_config.get(config), "the canary's share", 300, 0.2)
            leader, gateways = running.leader(), running.gateways()
            assert leader is not None
            shown, changes = running.led_by()
            assert shown == leader
            running.kill(leader)
            other = running.await_leader(300)
            wait_until(lambda: running.led_by()[0] == other, "the Lease object shows it", 30, 0.5)
            settled = scene.settled("led")
            report = load.stop()
        assert other != leader
        assert running.led_by() == (other, changes + 1)
        assert running.gateways() == gateways, "the change of leader touched the gateways"
        assert settled["EndpointConfigName"] == config and "FailureReason" not in settled
        assert report.failed == 0, report.failures[:3]
        scene.sagemaker.delete_endpoint(EndpointName="led")
