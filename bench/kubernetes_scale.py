"""How many endpoints one controller carries on Kubernetes: ``python -m bench.kubernetes_scale [--keep]``.

    python -m bench.kubernetes_scale [--endpoints 100,250,500,1000] [--seconds 30] [--keep]

The controller is a real one with its database, in a network namespace of its own. The API server is in memory
(``bench/memory_cluster.py``), and one process answers for all pods, gateways too (``bench/fake_pods.py``).
Each endpoint has two instances with 100 requests a second each, which are counted and judged by an alarm of its own.
Shown are the controller's processor time while all are at rest, and how long an update and a rollback of one take.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psutil
import yaml

from bench import tables
from tests.scene import Scene, all_at_once, canary
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until

INSIDE = "TIDEGATE_BENCH_INSIDE"
"""Set in the network namespace."""
TOGETHER = 20
"""Endpoints that are created at a time."""
SAMPLES = 5
"""Updates and rollbacks at each size."""
PORT = 6443
"""Of the API server."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", type=_numbers, default=[100, 250, 500, 1000])
    parser.add_argument("--seconds", type=float, default=30, help="of rest that are measured at each size")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    if INSIDE not in os.environ:
        _go_inside()
    rows: list[list[object]] = []
    with _running("bench.fake_pods"), _running("bench.memory_cluster", str(PORT)), _platform() as sized:
        for wanted in given.endpoints:
            sized.grow(wanted)
            rows.append(sized.measure(given.seconds))
            print(rows[-1], flush=True)
    header = [
        "endpoints",
        "pods",
        "processor at rest",
        "memory",
        "an update of one, s",
        "alarm to traffic back, s",
    ]
    title = "Endpoints of one controller on Kubernetes (medians)"
    tables.show("kubernetes-scale", title, header, rows, keep=given.keep, command="kubernetes_scale")


def _numbers(text: str) -> list[int]:
    return sorted(int(part) for part in text.split(",") if part)


def _go_inside() -> NoReturn:
    """Start again where every address of the loopback network is ours alone. Never returns."""
    rights = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    again = [sys.executable, "-m", "bench.kubernetes_scale", *sys.argv[1:]]
    command = ["unshare", *rights, "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *again]
    os.execvpe("unshare", command, {**os.environ, INSIDE: "1"})


@contextlib.contextmanager
def _running(module: str, *arguments: str) -> Iterator[None]:
    """Until the end of the block, from when it says that it is ready."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        with process.stdout as said:
            assert said.readline() == b"ready\n", f"{module} did not start"
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _platform() -> Iterator["Sized"]:
    options = {"image": "tidegate:none", "allow_unsigned": True, "network_policies": False}
    with tempfile.TemporaryDirectory(prefix="tg-scale-") as folder:
        context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}
        kubeconfig = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{PORT}"}}],
            "contexts": [context],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "current-context": "c",
        }
        (Path(folder) / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        options["kubeconfig"] = f"{folder}/kubeconfig"
        volumes = [{"name": "models", "path": folder, "host_path": folder}]
        (Path(folder) / "model.tar.gz").touch()
        targets = Path(folder) / "targets.yaml"
        targets.write_text(
            yaml.safe_dump({"default": "kubernetes", "kubernetes": {**options, "volumes": volumes}})
        )
        with Platform(environment={"TIDEGATE_TARGETS": str(targets)}) as platform:
            yield Sized(platform, f"file://{folder}/model.tar.gz")


@dataclass
class Sized:
    """A platform that grows. ``data``: model data that nobody reads."""

    platform: Platform
    data: str
    count: int = 0
    scene: Scene = field(init=False)

    def __post_init__(self) -> None:
        self.scene = Scene(self.platform)

    def grow(self, wanted: int) -> None:
        """So many endpoints, each with an alarm."""
        config = self.scene.config(self.data, instances=2)
        while self.count < wanted:
            some = [f"e{number}" for number in range(self.count, min(self.count + TOGETHER, wanted))]
            for name in some:
                given = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}]
                self.scene.alarm(f"{name}-errors", "Invocation5XXErrors", 0.05, Period=10, Dimensions=given)
                self.scene.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
            for name in some:
                settled = self.scene.settled(name, 300)
                assert settled["EndpointStatus"] == "InService", settled
            self.count += len(some)
            print(f"{self.count} endpoints", flush=True)

    def measure(self, seconds: float) -> list[object]:
        process = psutil.Process(self.platform.controller_pid)
        spent, begun = process.cpu_times(), time.monotonic()
        time.sleep(seconds)
        now = process.cpu_times()
        share = (now.user + now.system - spent.user - spent.system) / (time.monotonic() - begun)
        updates = [self.update() for _ in range(SAMPLES)]
        rollbacks = [self.roll_back() for _ in range(SAMPLES)]
        held = process.memory_info().rss / 2**20
        middles = [f"{tables.percentile(times, 50):.1f}" for times in (updates, rollbacks)]
        return [self.count, 2 * self.count, f"{share:.1%}", f"{held:.0f} MB", *middles]

    def update(self) -> float:
        """Of the first endpoint to a new version, all at once; the old one's pods go away meanwhile."""
        config = self.scene.config(self.data, instances=2)
        begun = time.monotonic()
        self.scene.update("e0", config, all_at_once())
        settled = self.scene.settled("e0", 300)
        assert settled["EndpointConfigName"] == config, settled
        return time.monotonic() - begun

    def roll_back(self) -> float:
        """From ALARM until the new version has no share of the traffic in any gateway."""
        scene = self.scene
        scene.alarm("by-hand", "Invocation5XXErrors", 0.5, TreatMissingData="ignore", Period=60)
        scene.cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="OK", StateReason="begin")
        config = scene.config(self.data, instances=1)
        scene.update("e0", config, canary(50, 600, alarms=["by-hand"]))
        wait_until(lambda: self.share(config) > 0, "the canary's share", 300)
        scene.cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="ALARM", StateReason="measure")
        begun = time.monotonic()
        wait_until(lambda: self.share(config) == 0, "all traffic back", 300, 0.02)
        took = time.monotonic() - begun
        scene.settled("e0", 300)
        return took

    def share(self, config: str) -> float:
        """Of the first endpoint's traffic, in percent."""
        fleets = ApiClient({"TIDEGATE_URL": self.platform.url}).endpoint("e0")["fleets"]
        return sum(float(fleet["share"]) for fleet in fleets if fleet["config"] == config)


if __name__ == "__main__":
    main()
