"""The target at SageMaker in engine mode. Its SageMaker is a second tidegate on this machine: signed requests, and a
proxy between the two that throttles, is slow, and answers some reads with what was true a moment ago."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import yaml

from bench.throttling_proxy import Weather, weather
from tests.conformance.aws_credentials import ENVIRONMENT, KEY, REGION, SECRET, sign
from tests.conformance.front_door import Forwarder, Reply, Request, front_door
from tests.conformance.lab import Load
from tests.conformance.local_lab import ENVIRONMENTS, http_load
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform

IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/stand-in@sha256:" + "0" * 64
LATENCY, STALE, THROTTLE_EVERY = 0.03, 0.3, 9
"""Seconds of a call; seconds for which a read may be old; of so many calls one is throttled."""
VARIANT = "x-amzn-invoked-production-variant"
PLACE = (
    "the API of a second tidegate on this machine, by signed calls that are slow, throttled and sometimes stale"
)


@dataclass
class SagemakerLab:
    """``cloud``: the platform that stands for SageMaker. ``door``: URL at which clients invoke its endpoints."""

    platform: Platform
    cloud: Platform
    door: str
    weather: Weather
    target: str = "sagemaker"
    patience: float = 120.0
    differences: Mapping[str, str] = field(default_factory=dict)

    def model(self, version: str) -> dict[str, Any]:
        return {"image": IMAGE, "environment": dict(ENVIRONMENTS[version])}

    def load(self, endpoint: str) -> contextlib.AbstractContextManager[Load]:
        return http_load(self.door, endpoint)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        self.weather.away = True
        try:
            yield
        finally:
            self.weather.away = False

    def left(self, endpoint: str) -> list[str]:
        client = boto3.client(
            "sagemaker",
            endpoint_url=self.cloud.url,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        named: list[str] = [one["EndpointName"] for one in client.list_endpoints()["Endpoints"]]
        named += [one["EndpointConfigName"] for one in client.list_endpoint_configs()["EndpointConfigs"]]
        named += [one["ModelName"] for one in client.list_models()["Models"]]
        return [name for name in named if name.startswith(endpoint)]


@dataclass
class RuntimeDoor:
    """SageMaker's runtime for clients without keys. Answers name the platform's own config: at SageMaker one config
    has the variants of both versions."""

    cloud: Platform
    platform: Platform
    forward: Forwarder
    configs: dict[tuple[str, str], str] = field(default_factory=dict)
    """Endpoint and generation -> config."""

    def answer(self, request: Request) -> Reply:
        kept = {"content-type": request.headers.get("content-type", "text/csv")}
        signed = sign(request.method, f"{self.cloud.url}{request.path}", request.body, kept, "sagemaker")
        asked = Request(request.method, request.path, signed, request.body)
        reply = self.forward.send(urlsplit(self.cloud.url).netloc, asked)
        variant = next((value for name, value in reply.headers.items() if name.lower() == VARIANT), "")
        headers = {name: value for name, value in reply.headers.items() if name.lower() != "x-tidegate-config"}
        if variant:
            headers["x-tidegate-config"] = self._config(request.path.split("/")[2], variant)
        return Reply(reply.status, headers, reply.body)

    def _config(self, endpoint: str, variant: str) -> str:
        generation = variant.partition("-")[0].removeprefix("g")
        if (endpoint, generation) not in self.configs:
            found = ApiClient({"TIDEGATE_URL": self.platform.url}).endpoint(endpoint)
            for fleet in found["fleets"]:
                if fleet["config"]:
                    self.configs[endpoint, fleet["fleet"].split("/")[1]] = fleet["config"]
        return self.configs.get((endpoint, generation), variant)


@contextlib.contextmanager
def sagemaker_lab(folder: Path) -> Iterator[SagemakerLab]:
    program = Path(__file__).parents[1] / "integration" / "stand_in_model.py"
    images = folder / "images.yaml"
    images.write_text(f"images:\n  '123456789012.dkr.ecr.*':\n    command: [{sys.executable}, {program}]\n")
    environment = {
        "TIDEGATE_IMAGES": str(images),
        "TIDEGATE_DRAIN_TIMEOUT": "2",
        "TIDEGATE_ACCESS_KEYS": f"{KEY}:{SECRET}",
        "TIDEGATE_FIDELITY": "aws",
        "TIDEGATE_REGION": REGION,
    }
    targets = folder / "targets.yaml"
    own = {"TIDEGATE_TARGETS": str(targets), "TIDEGATE_REGION": REGION, **ENVIRONMENT}
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(Platform(environment=environment))
        url, state = stack.enter_context(weather(cloud.url))
        state.latency, state.stale, state.throttle_every = LATENCY, STALE, THROTTLE_EVERY
        settings = {
            "region": REGION,
            "role_arn": "arn:aws:iam::123456789012:role/run",
            "mode": "engine",
            "instance_type": "ml.c5.large",
            "keep_versions": 1,
            "endpoint_url": url,
            "metric_period": 1,
            "metric_delay": 2,
            "poll": 0.5,
        }
        targets.write_text(yaml.safe_dump({"sagemaker": settings}))
        platform = stack.enter_context(Platform(environment=own))
        door = stack.enter_context(
            front_door(RuntimeDoor(cloud, platform, stack.enter_context(Forwarder())).answer)
        )
        yield SagemakerLab(platform, cloud, door, state)
