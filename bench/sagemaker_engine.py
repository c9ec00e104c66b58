"""Engine mode of the SageMaker target: a tidegate drives a second one as its SageMaker, whose API is slow.

    python -m bench.sagemaker_engine [--updates 20] [--rollbacks 20] [--rate 100] [--latency 0.02 0.2] [--keep]

Updates of each strategy under steady load at the second one's door; then rollbacks of a canary that has half the
traffic: the clock starts when SetAlarmState has been answered, and stops when the second one has all its weight on
the old version. A call of its API takes ``latency`` seconds more than it needs.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench import tables
from bench.throttling_proxy import Weather, weather
from tests.scene import KINDS, Scene, canary
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

KEY, SECRET, REGION = "AKIDEXAMPLE", "a-long-enough-secret", "eu-central-1"
IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/shaky@sha256:" + "0" * 64
BODY = b"bench 0"
"""For ``shaky_model``: never fail."""
ENDPOINT = "bench"
PATIENCE = 300.0
"""Seconds of one update."""


@dataclass
class Stage:
    """``platform`` drives, ``cloud`` stands for SageMaker, the proxy between them is ``weather``'s."""

    platform: Platform
    cloud: Platform
    weather: Weather
    scene: Scene
    folder: Path

    def config(self, number: int) -> str:
        """Of a version; odd and even ones differ."""
        variables = {"COUNTS": str(self.folder), "VERSION": str(number % 2)}
        return self.scene.config(None, image=IMAGE, environment=variables)

    def sign(self, body: bytes) -> dict[str, str]:
        url = f"{self.cloud.url}/endpoints/{ENDPOINT}/invocations"
        request = AWSRequest("POST", url, data=body, headers={"Content-Type": "text/csv"})
        SigV4Auth(Credentials(KEY, SECRET), "sagemaker", REGION).add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}

    def load(self, rate: float) -> LoadGenerator:
        path = f"/endpoints/{ENDPOINT}/invocations"
        return LoadGenerator(self.cloud.url, path, BODY, {}, rate, sign=self.sign)

    def weights(self) -> list[float]:
        """Of the cloud's variants, in the order of their versions, as it says; empty while it replaces them."""
        found = self.sagemaker.describe_endpoint(EndpointName=ENDPOINT).get("ProductionVariants", [])
        ordered = sorted(found, key=lambda one: int(one["VariantName"].partition("-")[0][1:]))
        whole = sum(one["CurrentWeight"] for one in ordered)
        return [one["CurrentWeight"] / whole for one in ordered] if whole else []

    @property
    def sagemaker(self) -> Any:
        return Scene(self.cloud, (KEY, SECRET)).sagemaker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=20, help="of each strategy")
    parser.add_argument("--rollbacks", type=int, default=20, help="at each latency")
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--latency", type=float, nargs="+", default=[0.02, 0.2], help="seconds")
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    with open_stage() as stage:
        stage.weather.latency = given.latency[0]
        updates = measure_updates(stage, given.updates, given.rate)
        rollbacks = [measure_rollbacks(stage, given.rollbacks, given.rate, one) for one in given.latency]
    busy = f"load of the machine at the end: {os.getloadavg()[0]:.1f}"
    header = ["kind", "updates", "finished", "seconds an update, median", "requests", "failed"]
    title = f"Engine mode on SageMaker, updates at {given.latency[0] * 1000:g} ms a call ({busy})"
    command = "sagemaker_engine"
    tables.show("sagemaker_engine_updates", title, header, updates, keep=given.keep, command=command)
    header = ["ms a call", "rollbacks", "p50 ms", "p99 ms", "p50 in calls", "requests", "failed"]
    title = "Engine mode on SageMaker, alarm to all weight back"
    tables.show("sagemaker_engine_rollbacks", title, header, rollbacks, keep=given.keep, command=command)


@contextlib.contextmanager
def open_stage() -> Iterator[Stage]:
    """Both platforms, and an endpoint that serves."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tg-")))
        images, targets = folder / "images.yaml", folder / "targets.yaml"
        program = Path(__file__).with_name("shaky_model.py")
        images.write_text(yaml.safe_dump({"images": {IMAGE: {"command": [sys.executable, str(program)]}}}))
        environment = {
            "TIDEGATE_ACCESS_KEYS": f"{KEY}:{SECRET}",
            "TIDEGATE_DRAIN_TIMEOUT": "2",
            "TIDEGATE_IMAGES": str(images),
            "TIDEGATE_REGION": REGION,
        }
        cloud = stack.enter_context(Platform(environment=environment))
        url, state = stack.enter_context(weather(cloud.url))
        targets.write_text(yaml.safe_dump({"default": "sagemaker", "sagemaker": settings(url)}))
        own = {
            "TIDEGATE_TARGETS": str(targets),
            "TIDEGATE_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        platform = stack.enter_context(Platform(environment=own))
        stage = Stage(platform, cloud, state, Scene(platform), folder)
        stage.scene.create(ENDPOINT, stage.config(1))
        yield stage


def settings(url: str) -> dict[str, object]:
    return {
        "region": REGION,
        "role_arn": "arn:aws:iam::123456789012:role/run",
        "mode": "engine",
        "keep_versions": 1,
        "endpoint_url": url,
        "metric_period": 1,
        "metric_delay": 2,
        "poll": 0.5,
    }


def measure_updates(stage: Stage, updates: int, rate: float) -> list[list[object]]:
    rows: list[list[object]] = []
    with stage.load(rate) as load:
        sent = failed = number = 0
        for kind, deployment in KINDS.items():
            times, finished = [], 0
            for _ in range(updates):
                number += 1
                config = stage.config(number)
                began = time.monotonic()
                stage.scene.update(ENDPOINT, config, deployment())
                settled = stage.scene.settled(ENDPOINT, PATIENCE)
                times.append(time.monotonic() - began)
                finished += settled["EndpointConfigName"] == config and "FailureReason" not in settled
                print(f"{kind} {number}: {times[-1]:.1f} s, {load.snapshot().failed} failed", flush=True)
            report = load.snapshot()
            took = f"{statistics.median(times):.1f}"
            rows.append([kind, updates, f"{finished}/{updates}", took, report.sent - sent, report.failed - failed])
            sent, failed = report.sent, report.failed
        load.stop()
    return rows


def measure_rollbacks(stage: Stage, rollbacks: int, rate: float, latency: float) -> list[object]:
    stage.weather.latency = latency
    scene = stage.scene
    scene.alarm("by-hand", "Invocation5XXErrors", 0.5, TreatMissingData="ignore", Period=60)
    times: list[float] = []
    with stage.load(rate) as load:
        for number in range(rollbacks):
            scene.cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="OK", StateReason="begin")
            config = stage.config(number)
            scene.update(ENDPOINT, config, canary(50, 600, alarms=["by-hand"]))
            half = [0.5, 0.5]
            wait_until(lambda: stage.weights() == half, "the canary has half the weight", PATIENCE)  # noqa: B023
            scene.cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="ALARM", StateReason="measure")
            rung = time.monotonic()
            wait_until(lambda: stage.weights()[:1] == [1.0], "all weight is back", PATIENCE, every=0.01)
            times.append(time.monotonic() - rung)
            settled = scene.settled(ENDPOINT, PATIENCE)
            assert settled["EndpointConfigName"] != config, "it was not rolled back"
            print(f"{latency * 1000:g} ms a call, {number + 1}/{rollbacks}: {times[-1]:.2f} s", flush=True)
        report = load.stop()
    middle, late = (tables.percentile(times, part) for part in (50, 99))
    calls = f"{middle / latency:.1f}"
    shown = [f"{latency * 1000:g}", rollbacks, f"{middle * 1000:.0f}", f"{late * 1000:.0f}", calls]
    return [*shown, report.sent, report.failed]


if __name__ == "__main__":
    main()
