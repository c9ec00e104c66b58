"""What fleets cost the controller at rest: more and more serverless fleets at zero, and more and more replicas of one
fleet. With real processes, since most of it is looks at processes and at the proxy."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import httpx
import psutil

from bench.guarded import guarded_platform
from bench.many_serverless import deploy, in_service, spent
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

SECONDS = 15.0
"""Of rest that are measured: one round of comparing all endpoints."""
SETTLE = 3.0
PATIENCE = 600.0

Shares = tuple[float, float]
"""Of a core: the controller's and the proxy's."""


def measure_fleets(counts: Sequence[int]) -> list[Shares]:
    """With so many serverless endpoints, one fleet each, on one platform that grows."""
    with guarded_platform() as platform, httpx.Client(timeout=60) as client:
        scene, url, found = Scene(platform), train(platform.state / "models", 0), []
        there = 0
        for count in counts:
            for number in range(there, count):
                deploy(platform, client, f"s{number}", url)
            there = count
            wait_until(partial(_sleeps, platform, scene, count), f"{count} fleets are asleep", PATIENCE, every=0.5)
            found.append(_rest(platform))
        return found


def _sleeps(platform: Platform, scene: Scene, count: int) -> bool:
    return in_service(scene, count) == count and not platform.workers()


def measure_replicas(counts: Sequence[int]) -> list[Shares]:
    """With so many replicas of one fleet."""
    with guarded_platform() as platform:
        scene, found = Scene(platform), []
        scene.create("e", scene.config(train(platform.state / "models", 0)))
        for count in counts:
            wanted = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
            scene.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName="e", DesiredWeightsAndCapacities=wanted
            )
            wait_until(_has(scene, count), f"{count} replicas are ready", PATIENCE, every=0.5)
            found.append(_rest(platform))
        return found


def _has(scene: Scene, count: int) -> Callable[[], bool]:
    def ready() -> bool:
        shown = scene.describe("e")
        return bool(
            shown["EndpointStatus"] == "InService"
            and shown["ProductionVariants"][0]["CurrentInstanceCount"] == count
        )

    return ready


def _rest(platform: Platform) -> Shares:
    time.sleep(SETTLE)
    sides = [
        [psutil.Process(platform.controller_pid)],
        [one for one in platform.processes() if one.name().startswith("haproxy")],
    ]
    before, begun = [spent(side) for side in sides], time.monotonic()
    time.sleep(SECONDS)
    passed = time.monotonic() - begun
    controller, proxy = ((spent(side) - was) / passed for side, was in zip(sides, before, strict=True))
    return controller, proxy
