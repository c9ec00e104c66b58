"""The SageMaker target against tidegate's own API as the SageMaker: a real platform with a proxy and workers, signed
requests, boto3 with ``endpoint_url``, and a proxy that throttles, loses answers and is slow."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from bench.throttling_proxy import Weather, weather
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec, VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.traffic import WHOLE, Route, RouteTable
from tidegate.host.platform import Platform, wait_until
from tidegate.ports.direct import SmokeRequest
from tidegate.spec.build import parse
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.sagemaker.engine_target import SagemakerTarget
from tidegate.targets.sagemaker.native import NativeDeployer, NativeResult
from tidegate.targets.sagemaker.options import SagemakerOptions, parse_options
from tidegate.targets.sagemaker.outcome import UpdateOutcome

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
KEY, SECRET = "AKIDEXAMPLE", "a-long-enough-secret"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/stand-in@sha256:" + "0" * 64
CANARY = {"strategy": "canary", "size": "50%", "wait": "2s", "final_bake": "1s"}


class Brisk:
    """A clock whose pauses end after a fifth of a second: this server is faster than AWS."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.2))


@dataclass
class Client:
    url: str
    weather: Weather
    said: list[str]

    def options(self, **more: Any) -> SagemakerOptions:
        role = "arn:aws:iam::123456789012:role/run"
        given = {"region": "eu-central-1", "role_arn": role, "endpoint_url": self.url, "keep_versions": 1}
        return parse_options({**given, **more})

    def aws(self, **more: Any) -> AwsClient:
        session = boto3.Session(KEY, SECRET, region_name="eu-central-1")
        return AwsClient(
            lambda service, config: session.client(service, config=config, endpoint_url=self.url), Brisk()
        )

    def deployer(self) -> NativeDeployer:
        return NativeDeployer(self.aws(), self.options(), self.said.append)

    def deploy(self, endpoint: str, version: int, *, wait: bool = True, **more: Any) -> NativeResult:
        environment = {"VERSION": version, **more.pop("environment", {})}
        spec = {
            "endpoint": endpoint,
            "model": {"image": IMAGE, "environment": environment},
            "instances": 2,
            "instance_type": "ml.c5.large",
            "rollout": CANARY,
            **more,
        }
        wish = parse(spec, datetime.now(UTC))
        smoke = SmokeRequest(b"1,2")
        return self.deployer().deploy(wish, {}, datetime.now(UTC), wait=wait, smoke=smoke)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    program = Path(__file__).with_name("stand_in_model.py")
    table = tmp_path_factory.mktemp("images") / "images.yaml"
    table.write_text(f"images:\n  '123456789012.dkr.ecr.*':\n    command: [{sys.executable}, {program}]\n")
    environment = {
        "TIDEGATE_IMAGES": str(table),
        "TIDEGATE_DRAIN_TIMEOUT": "2",
        "TIDEGATE_ACCESS_KEYS": f"{KEY}:{SECRET}",
        "TIDEGATE_FIDELITY": "aws",
        "TIDEGATE_REGION": "eu-central-1",
    }
    with Platform(environment=environment) as platform, weather(platform.url) as (url, state):
        yield Client(url, state, [])


def test_native_mode_deploys_updates_and_deletes(client: Client) -> None:
    assert client.deploy("life", 1).verdict.outcome is UpdateOutcome.SUCCEEDED
    updated = client.deploy("life", 2)
    assert updated.verdict.outcome is UpdateOutcome.SUCCEEDED and updated.changed
    assert not client.deploy("life", 2).changed
    history = client.deployer().history("life")
    assert [one["serves"] for one in history] == [True, False]
    client.deployer().delete("life")
    assert client.aws().call("sagemaker", "ListModels", {"NameContains": "life"})["Models"] == []


def test_native_mode_survives_throttling_and_lost_answers(client: Client) -> None:
    client.weather.throttled |= {"CreateModel": 2, "DescribeEndpoint": 3, "CreateEndpoint": 1}
    client.weather.lost |= {"CreateEndpointConfig": 1, "CreateEndpoint": 1}
    assert client.deploy("storm", 1).verdict.outcome is UpdateOutcome.SUCCEEDED
    client.weather.lost |= {"UpdateEndpoint": 1}
    before = client.weather.seen.count("UpdateEndpoint")
    assert client.deploy("storm", 2).verdict.outcome is UpdateOutcome.SUCCEEDED
    assert client.weather.seen.count("UpdateEndpoint") == before + 1


def test_native_mode_tells_a_rollback(client: Client) -> None:
    first = client.deploy("fall", 1).compiled.config_name
    verdict = client.deploy("fall", 2, environment={"CRASH": "yes"}).verdict
    assert verdict.outcome is UpdateOutcome.ROLLED_BACK and verdict.serving == first
    assert client.deployer().status("fall").outcome is UpdateOutcome.ROLLED_BACK


def test_native_mode_aborts_by_the_alarm(client: Client) -> None:
    first = client.deploy("stop", 1).compiled.config_name
    client.deploy("stop", 2, wait=False, rollout={**CANARY, "wait": "10m"})
    verdict = client.deployer().abort("stop")
    assert verdict.outcome is UpdateOutcome.ROLLED_BACK and verdict.serving == first


def test_commands_of_native_mode(client: Client, tmp_path: Path) -> None:
    (tmp_path / "targets.yaml").write_text(
        "sagemaker:\n  region: eu-central-1\n"
        f"  role_arn: {client.options().role_arn}\n  endpoint_url: {client.url}\n"
    )
    (tmp_path / "spec.yaml").write_text(
        f"endpoint: typed\ntarget: sagemaker\nmodel: {{image: '{IMAGE}'}}\ninstance_type: ml.c5.large\n"
    )
    environment = {
        **os.environ,
        "TIDEGATE_TARGETS": str(tmp_path / "targets.yaml"),
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }

    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "tidegate.cli", "direct", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    status, said = run("deploy", str(tmp_path / "spec.yaml"), "--no-wait")
    assert status == 0 and "CreateEndpoint typed" in said, said
    deployer = client.deployer()
    wait_until(lambda: deployer.status("typed").outcome is UpdateOutcome.SUCCEEDED, "typed serves")
    status, said = run("status", "typed", "--target", "sagemaker")
    assert status == 0 and said.startswith("typed-") and "serves" in said
    assert run("history", "typed", "--target", "sagemaker")[1].count("serves") == 1
    status, said = run("abort", "typed", "--target", "sagemaker")
    assert status != 0 and "no update of typed is in progress" in said
    assert run("delete", "typed", "--target", "sagemaker", "--no-wait")[0] == 0
    status, said = run("status", "missing", "--target", "sagemaker")
    assert status != 0 and 'no endpoint "missing" in eu-central-1' in said


def fleet(generation: int, count: int = 1) -> FleetSpec:
    container = ContainerDefinition(IMAGE, environment={"VERSION": str(generation)})
    model = Model(f"m{generation}", (container,), datetime.now(UTC))
    variant = VariantSpec("AllTraffic", model, count, instance_type="ml.c5.large")
    return FleetSpec(FleetId("engine", generation, "AllTraffic"), f"v{generation}", variant, count)


def table(fence: int, **shares: int) -> RouteTable:
    routes = tuple(Route(FleetId("engine", int(name[1:]), "AllTraffic"), share) for name, share in shares.items())
    return RouteTable("engine", fence, routes)


async def until(target: SagemakerTarget, ready: Any) -> None:
    for _ in range(600):
        await target.work()
        if ready(await target.observe("engine")):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not reached: {await target.observe('engine')}")


def test_engine_mode_shifts_weights_between_two_variants(client: Client) -> None:
    options = client.options(mode="engine", poll=0.01)
    target = SagemakerTarget(client.aws(mode="engine"), options, lambda name: None)
    old, new = fleet(1), fleet(2)

    def configs() -> list[Any]:
        found: list[Any] = target.aws.call("sagemaker", "ListEndpointConfigs", {"NameContains": "engine-"})[
            "EndpointConfigs"
        ]
        return found

    def shares(look: Any) -> dict[int, int]:
        return {route.fleet.generation: route.share for route in look.routes.routes}

    async def live() -> None:
        await target.ensure_fleet(old, 1)
        await until(target, lambda look: look.fleets[old.id].ready == 1)
        await target.set_traffic(table(1, g1=WHOLE))
        await until(target, lambda look: look.routes.fence == 1)
        await target.ensure_fleet(new, 2)
        await until(target, lambda look: look.fleets.get(new.id) and look.fleets[new.id].ready == 1)
        assert shares(await target.observe("engine")) == {1: WHOLE}
        client.weather.throttled |= {"UpdateEndpointWeightsAndCapacities": 1}
        await target.set_traffic(table(3, g1=9000, g2=1000))
        await until(target, lambda look: look.routes.fence == 3)
        assert shares(await target.observe("engine")) == {1: 9000, 2: 1000}
        await target.set_traffic(table(4, g2=WHOLE))
        await until(target, lambda look: look.routes.fence == 4)
        await target.delete_fleet(old.id, 4)
        await until(target, lambda look: set(look.fleets) == {new.id})
        await target.delete_fleet(new.id, 5)
        await until(target, lambda look: not look.fleets and not configs())

    asyncio.run(live())
    with pytest.raises(TargetRefused, match="Could not find"):
        client.aws().call("sagemaker", "DescribeEndpoint", {"EndpointName": "engine"})
