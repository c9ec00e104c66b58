"""Rollouts of the real loops on Lambda: weights of the alias forward and back, on evidence by the minute.

Control plane, routing by weight and metrics are the simulator's."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.samples import canary, percent
from tests.unit.targets.aws.shapes import ShapeChecked
from tests.unit.targets.aws_lambda.lambda_simulator import LambdaSimulator, changed
from tests.unit.targets.aws_lambda.test_target import FUNCTION, OPTIONS, describe
from tests.virtual_platform import ERRORS, VirtualPlatform, context, serving
from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.service import endpoints
from tidegate.targets.aws_lambda.provider import join_parts
from tidegate.targets.aws_lambda.target import AwsLambdaTarget

BY_THE_MINUTE = replace(ERRORS, period=60, evaluation_periods=1, datapoints_to_alarm=1)
CANARY = canary(percent(10), wait=60, bake=30, alarms=("errors",), evidence=True)
RATE = 5
"""Requests a second."""


class LambdaPlatform(VirtualPlatform):
    alarm, deployment = BY_THE_MINUTE, CANARY
    warm_up = 40.0

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.aws = LambdaSimulator(now=lambda: self.clock.now().timestamp())
        self.calls = ShapeChecked(self.aws)
        self.failing: set[str] = set()
        self.provider = join_parts(context(state, lambda name: self.kick(name)), OPTIONS, self.calls)
        self.function_target.describe = describe
        self.weights: list[float] = []
        """Of the newest version, each change once."""
        self.run(self.provider.target, self.provider.evidence, self._clients(), compare=True)

    @property
    def function_target(self) -> AwsLambdaTarget:
        assert isinstance(self.provider.target, AwsLambdaTarget)
        return self.provider.target

    async def _clients(self) -> None:
        while True:
            await asyncio.sleep(1)
            function = self.aws.functions.get(FUNCTION)
            if function is None or "live" not in function.aliases:
                continue
            for _ in range(RATE):
                self.aws.invoke(FUNCTION, "live", lambda config: config in self.failing)
            newest = self.weight(str(function.numbers))
            if not self.weights or self.weights[-1] != newest:
                self.weights.append(newest)

    def weight(self, version: str) -> float:
        alias = self.aws.functions[FUNCTION].aliases["live"]
        weights: dict[str, float] = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        rest = 1 - sum(weights.values())
        return rest if alias["FunctionVersion"] == version else weights.get(version, 0.0)

    def serve_first(self) -> None:
        super().serve_first()
        self.weights.clear()


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[LambdaPlatform]:
    with serving(LambdaPlatform(tmp_path)) as made:
        yield made


def test_a_canary_shifts_the_alias_and_removes_the_old_version(platform: LambdaPlatform) -> None:
    platform.update("v2")
    endpoint = platform.until_over()
    assert endpoint.rollout is None and endpoint.serving is not None
    assert endpoint.serving.config_name == "v2"
    assert platform.weights == [1.0, 0.0, pytest.approx(0.1), 1.0]
    platform.advance(60)
    assert platform.aws.functions[FUNCTION].versions.keys() == {"2"}


def test_a_version_that_fails_is_rolled_back_by_its_error_alarm(platform: LambdaPlatform) -> None:
    platform.failing.add("v2")
    platform.update("v2")
    endpoint = platform.until_over()
    assert endpoint.rollout is None and endpoint.serving is not None and endpoint.last is not None
    assert endpoint.serving.config_name == "v1"
    assert "errors" in (endpoint.last.reason or "")
    assert platform.weight("1") == 1.0
    assert max(platform.weights[1:]) == pytest.approx(0.1)


def test_a_version_that_never_starts_gets_no_traffic(platform: LambdaPlatform) -> None:
    platform.aws.broken.add("v2")
    platform.update("v2")
    endpoint = platform.until_over()
    assert endpoint.serving is not None and endpoint.serving.config_name == "v1"
    assert endpoint.last is not None and "could not be initialised" in (endpoint.last.reason or "")
    assert platform.weight("1") == 1.0


def test_a_version_whose_model_does_not_load_gets_no_traffic(platform: LambdaPlatform) -> None:
    platform.aws.unstartable.add("v2")
    platform.update("v2")
    endpoint = platform.until_over()
    assert endpoint.serving is not None and endpoint.serving.config_name == "v1"
    assert endpoint.last is not None and "the model needs a file that is not there" in (endpoint.last.reason or "")
    assert max(platform.weights, default=1.0) == 1.0 and platform.weight("1") == 1.0


def test_nothing_moves_while_aws_is_away_and_it_goes_on_afterwards(platform: LambdaPlatform) -> None:
    platform.update("v2")
    platform.advance(60)
    assert platform.weight("2") == pytest.approx(0.1)
    platform.aws.away = True
    platform.advance(200)
    assert platform.weight("2") == pytest.approx(0.1)
    assert platform.endpoint().rollout is not None
    platform.aws.away = False
    endpoint = platform.until_over()
    assert endpoint.serving is not None and endpoint.rollout is None
    assert platform.weight("2" if endpoint.serving.config_name == "v2" else "1") == 1.0


def test_a_foreign_change_in_mid_rollout_stays_as_it_is(platform: LambdaPlatform) -> None:
    platform.update("v2")
    platform.advance(60)
    aliases = platform.aws.functions[FUNCTION].aliases
    foreign = aliases["live"] = changed(aliases["live"], RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    platform.advance(200)
    assert aliases["live"] == foreign
    assert platform.endpoint().rollout is not None
    aliases["live"] = changed(foreign, RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}})
    endpoint = platform.until_over()
    assert endpoint.rollout is None


def test_a_deleted_endpoint_leaves_nothing_at_aws(platform: LambdaPlatform) -> None:
    now = platform.clock.now()
    platform.transact(lambda tx: endpoints.delete_endpoint(tx, "fraud", now=now))
    platform.loop.call_soon(platform.loops.engine.kick, "fraud")
    platform.advance(60)
    assert platform.aws.functions == {}


def test_an_endpoint_without_a_record_is_retired_and_no_other(platform: LambdaPlatform) -> None:
    retire = platform.provider.lifecycle.retire_unknown
    platform.loop.create_task(retire({"fraud"}))
    platform.advance(5)
    assert FUNCTION in platform.aws.functions
    platform.aws.functions["foreign"] = replace(
        platform.aws.functions[FUNCTION], tags={"tidegate:installation": "x"}
    )
    platform.loop.create_task(retire(set()))
    platform.advance(1)
    assert "foreign" in platform.aws.functions


COMPARED = replace(
    canary(percent(10), wait=60, bake=0, alarms=()),
    evidence=EvidenceConfig(compare=(Comparison.ERRORS,), minimum=20, deadline=600),
)


def test_evidence_compares_versions_by_the_minutes_of_cloudwatch(platform: LambdaPlatform) -> None:
    platform.update("v2", COMPARED)
    endpoint = platform.until_over()
    assert endpoint.serving is not None and endpoint.serving.config_name == "v2"


def test_evidence_turns_a_failing_version_back_without_any_alarm(platform: LambdaPlatform) -> None:
    platform.failing.add("v2")
    platform.update("v2", COMPARED)
    endpoint = platform.until_over()
    assert endpoint.serving is not None and endpoint.serving.config_name == "v1"
    assert endpoint.last is not None and "requests failed" in (endpoint.last.reason or "")
