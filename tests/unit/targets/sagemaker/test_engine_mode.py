"""Engine mode: the platform's rollout machine drives two variants of one endpoint at SageMaker."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fake_aws import FakeAws, FakeClock
from tests.samples import canary, percent
from tests.unit.targets.sagemaker.aws_specs import options
from tests.unit.targets.sagemaker.engine_platform import DEPLOYMENT, STEP, EnginePlatform
from tidegate.domain.errors import TidegateError
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.domain.fleet import FleetId
from tidegate.domain.rollout import DeploymentConfig
from tidegate.rollout import commands
from tidegate.simulation.world import START
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.sagemaker.engine_target import SagemakerTarget

pytestmark = pytest.mark.slow


@pytest.fixture
def platform() -> Iterator[EnginePlatform]:
    """An endpoint that serves v1 with two instances, under traffic."""
    made = EnginePlatform()
    try:
        made.serve_first()
        made.aws.traffic["fraud"] = 20
        made.advance(300)
        yield made
    finally:
        made.close()


def end(platform: EnginePlatform) -> str:
    platform.until(lambda: platform.endpoint().rollout is None)
    serving = platform.endpoint().serving
    assert serving is not None
    return serving.config_name


def test_rollout_goes_forward_by_weights(platform: EnginePlatform) -> None:
    platform.update("v2")
    platform.until(lambda: len(platform.weights()) == 2 and min(platform.weights().values()) == 10)
    assert end(platform) == "v2"
    (name,) = platform.aws.sagemaker.endpoints["fraud"].variants
    assert platform.weights() == {name: 100} and name.endswith("-AllTraffic")
    assert platform.aws.sagemaker.damage == []
    platform.until(lambda: len(platform.aws.sagemaker.configs) == 2, 120)
    assert platform.aws.sagemaker.endpoints["fraud"].config in platform.aws.sagemaker.configs


def test_rollout_rolls_back_on_cloudwatch_evidence(platform: EnginePlatform) -> None:
    before = dict(platform.weights())
    platform.update("v2")
    platform.until(lambda: len(platform.weights()) == 2)
    (new,) = set(platform.weights()) - set(before)
    platform.aws.failing_models.add(platform.aws.sagemaker.endpoints["fraud"].variants[new].model)
    assert end(platform) == "v1"
    platform.until(lambda: platform.weights() == before)
    last = platform.endpoint().last
    assert last is not None and "errors" in (last.reason or "")


def test_metrics_that_are_away_hold_the_rollout(platform: EnginePlatform) -> None:
    platform.update("v2")
    platform.until(lambda: len(platform.weights()) == 2 and min(platform.weights().values()) == 10)
    platform.advance(60)
    platform.aws.faults.denied.add("GetMetricData")
    platform.advance(1500)
    assert platform.endpoint().rollout is not None
    assert min(platform.weights().values()) == 10


def test_user_can_pause_and_promote(platform: EnginePlatform) -> None:
    platform.update("v2")
    platform.until(lambda: len(platform.weights()) == 2 and min(platform.weights().values()) == 10)
    now = platform.clock.now()
    platform.change(lambda endpoint: commands.pause(endpoint, "eva", now))
    platform.advance(1500)
    assert min(platform.weights().values()) == 10
    platform.change(lambda endpoint: commands.resume(endpoint, "eva", platform.clock.now()))
    platform.change(lambda endpoint: commands.promote(endpoint, "eva", platform.clock.now()))
    assert end(platform) == "v2"


def test_user_can_abort(platform: EnginePlatform) -> None:
    before = dict(platform.weights())
    platform.update("v2")
    platform.until(lambda: len(platform.weights()) == 2 and min(platform.weights().values()) == 10)
    platform.change(lambda endpoint: commands.abort(endpoint, "eva", platform.clock.now()))
    assert end(platform) == "v1"
    platform.until(lambda: platform.weights() == before)


def test_version_that_never_starts_is_a_failed_rollout(platform: EnginePlatform) -> None:
    before = dict(platform.weights())
    models = set(platform.aws.sagemaker.models)
    platform.update("v2")
    platform.until(lambda: set(platform.aws.sagemaker.models) != models)
    (new,) = set(platform.aws.sagemaker.models) - models
    platform.aws.sagemaker.broken_models.add(new)
    assert end(platform) == "v1" and platform.weights() == before
    assert sum(name == "UpdateEndpoint" for name, _ in platform.aws.calls) == 1


def test_throttling_and_lost_answers_only_delay(platform: EnginePlatform) -> None:
    for operation in ("UpdateEndpoint", "UpdateEndpointWeightsAndCapacities", "CreateEndpointConfig"):
        platform.aws.faults.throttled[operation] = 2
        platform.aws.faults.dropped[operation] = 1
        platform.aws.faults.lost[operation] = 1
    platform.update("v2")
    assert end(platform) == "v2"


@pytest.mark.parametrize("operation", ["CreateModel", "UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"])
def test_expired_credentials_hold_a_rollout_and_condemn_no_version(
    platform: EnginePlatform, operation: str
) -> None:
    platform.aws.faults.expired.add(operation)
    platform.update("v2")
    platform.advance(600)
    assert platform.endpoint().rollout is not None
    assert max(platform.weights().values()) == 100
    platform.aws.faults.expired.clear()
    assert end(platform) == "v2"


def test_traffic_is_shifted_back_at_once_and_not_with_the_next_round_of_work(platform: EnginePlatform) -> None:
    (old,) = platform.weights()
    platform.update("v2")
    platform.until(lambda: len(platform.weights()) == 2 and min(platform.weights().values()) == 10)
    _, rounds = platform.tasks
    rounds.cancel()
    platform.change(lambda endpoint: commands.abort(endpoint, "eva", platform.clock.now()))
    platform.until(lambda: platform.weights()[old] == 100, 120)


async def test_an_endpoint_whose_calls_are_slow_delays_no_other() -> None:
    aws, answered, waiting = FakeAws(FakeClock(START)), asyncio.Event(), 0

    async def in_thread(work: Callable[[], Any]) -> Any:
        nonlocal waiting
        waiting += 1
        await answered.wait()
        return work()

    client = AwsClient(aws.open_client, aws.clock, deadline=5)
    target = SagemakerTarget(client, options(mode="engine"), lambda name: None, in_thread)
    for name in ("slow", "quick"):
        await target.delete_fleet(FleetId(name, 1, "AllTraffic"), 1)
    work = asyncio.create_task(target.work())
    while waiting < 2:
        await asyncio.sleep(0)
    answered.set()
    await work


def test_change_by_others_is_waited_for(platform: EnginePlatform) -> None:
    (name,) = platform.weights()
    boto = platform.aws.session().client("sagemaker")
    change = [{"VariantName": name, "DesiredInstanceCount": 3}]
    boto.update_endpoint_weights_and_capacities(EndpointName="fraud", DesiredWeightsAndCapacities=change)
    platform.update("v2")
    assert end(platform) == "v2"


def test_new_controller_goes_on_without_taking_traffic_away(platform: EnginePlatform) -> None:
    platform.update("v2")
    platform.until(lambda: len(platform.weights()) == 2 and min(platform.weights().values()) == 10)
    platform.restart_controller()
    platform.advance(60)
    assert min(platform.weights().values()) == 10 and len(platform.weights()) == 2
    assert end(platform) == "v2"
    assert platform.aws.sagemaker.damage == []


def test_an_endpoint_of_native_mode_is_not_touched(platform: EnginePlatform) -> None:
    found = platform.aws.sagemaker.endpoints["fraud"]
    found.tags.clear()
    platform.restart_controller()
    calls = len(platform.aws.calls)
    platform.update("v2")
    platform.advance(600)
    changing = [name for name, _ in platform.aws.calls[calls:] if name.startswith(("Update", "Delete"))]
    assert changing == []
    looks = sum(name == "DescribeEndpoint" for name, _ in platform.aws.calls[calls:])
    assert 2 < looks < 610 / 2, "it is looked for again, but not with every turn of the loops"


@pytest.mark.parametrize("later", [timedelta(seconds=2), timedelta(hours=-1)])
async def test_a_look_that_failed_is_repeated_after_two_seconds_and_when_the_clock_is_set_back(
    later: timedelta,
) -> None:
    async def in_place(work: Callable[[], Any]) -> Any:
        return work()

    aws = FakeAws(FakeClock(START))
    client = AwsClient(aws.open_client, aws.clock, lambda: 0.5, deadline=5)
    target = SagemakerTarget(client, options(mode="engine"), lambda name: None, in_place)
    aws.faults.expired.add("DescribeEndpoint")
    for _ in range(3):
        with pytest.raises(TidegateError, match="expired"):
            await target.observe("fraud")
    asked = [name for name, _ in aws.calls].count("DescribeEndpoint")
    aws.faults.expired.clear()
    with pytest.raises(TidegateError, match="expired"):
        await target.observe("fraud")
    aws.clock.present += later
    assert (await target.observe("fraud")).fleets == {}
    assert [name for name, _ in aws.calls].count("DescribeEndpoint") == asked + 1


async def test_what_was_seen_before_the_clock_was_set_back_is_looked_at_again() -> None:
    async def in_place(work: Callable[[], Any]) -> Any:
        return work()

    aws = FakeAws(FakeClock(START))
    client = AwsClient(aws.open_client, aws.clock, lambda: 0.5, deadline=5)
    target = SagemakerTarget(client, options(mode="engine"), lambda name: None, in_place)
    for asked in (1, 1):
        await target.observe("fraud")
        assert [name for name, _ in aws.calls].count("DescribeEndpoint") == asked
    aws.clock.present -= timedelta(hours=1)
    await target.observe("fraud")
    assert [name for name, _ in aws.calls].count("DescribeEndpoint") == 2


COMPARED = replace(
    canary(percent(10), wait=120, bake=60, alarms=()),
    evidence=EvidenceConfig(compare=(Comparison.ERRORS,), minimum=50, deadline=900),
)


def fail_new_version(platform: EnginePlatform, deployment: DeploymentConfig) -> str:
    """The config that serves afterwards."""
    before = set(platform.weights())
    platform.aws.traffic["fraud"] = 100
    platform.update("v2", deployment)
    platform.until(lambda: len(platform.weights()) == 2)
    (new,) = set(platform.weights()) - before
    platform.aws.failing_models.add(platform.aws.sagemaker.endpoints["fraud"].variants[new].model)
    serve_each_minute(platform)
    return end(platform)


def serve_each_minute(platform: EnginePlatform) -> None:
    """The account counts traffic at full minutes: the clock's steps must meet them."""
    platform.advance(-platform.loop.now % STEP)
    platform.advance(1800)


def test_evidence_passes_a_version_that_fails_no_more_than_the_old_one(platform: EnginePlatform) -> None:
    platform.aws.traffic["fraud"] = 100
    platform.update("v2", COMPARED)
    serve_each_minute(platform)
    assert end(platform) == "v2"


@pytest.mark.parametrize("delay", [0, 170, 270])
def test_evidence_counts_errors_also_after_their_minute_was_complete(platform: EnginePlatform, delay: int) -> None:
    platform.aws.cloudwatch.delays["Invocation5XXErrors"] = delay
    platform.aws.cloudwatch.delays["InvocationModelErrors"] = delay
    assert fail_new_version(platform, COMPARED) == "v1"
    last = platform.endpoint().last
    assert last is not None and "requests failed" in (last.reason or "")


def test_an_alarm_counts_errors_that_come_after_their_minute_was_complete(platform: EnginePlatform) -> None:
    platform.aws.cloudwatch.delays["Invocation5XXErrors"] = 270
    assert fail_new_version(platform, replace(DEPLOYMENT, blue_green=canary(percent(10), 600).blue_green)) == "v1"


def test_missing_minutes_are_no_evidence(platform: EnginePlatform) -> None:
    platform.aws.cloudwatch.delays["Invocations"] = 10**6
    platform.update("v2", COMPARED)
    assert end(platform) == "v1"
    last = platform.endpoint().last
    assert last is not None and "no evidence at the deadline" in (last.reason or "")
