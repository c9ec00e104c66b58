"""The platform's real loops over the SageMaker target in engine mode, on virtual time, at a fake account."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from tests.fake_aws import FakeAws, FakeClock
from tests.samples import canary, percent
from tests.unit.targets.sagemaker.aws_specs import options
from tests.virtual_platform import VirtualPlatform
from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData
from tidegate.simulation.world import START
from tidegate.targets.aws.client import AwsClient, ThreadedCalls
from tidegate.targets.sagemaker.engine_evidence import SagemakerEvidence
from tidegate.targets.sagemaker.engine_target import WORK_EVERY, SagemakerTarget

R = TypeVar("R")
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/own@sha256:" + "0" * 64
STEP = 10
"""Seconds that AWS and the platform move by turns."""
DEPLOYMENT = canary(percent(10), wait=120, bake=60, alarms=("errors",), evidence=True)
ERRORS = Alarm(
    name="errors",
    namespace="AWS/SageMaker",
    metric="Invocation5XXErrors",
    dimensions={"EndpointName": "fraud", "VariantName": "AllTraffic"},
    statistic="Average",
    period=60,
    evaluation_periods=2,
    datapoints_to_alarm=1,
    threshold=0.02,
    comparison=ComparisonOperator.GREATER,
    configured_at=START,
    missing=MissingData.NOT_BREACHING,
)


async def here(work: Callable[[], R]) -> R:
    """In place of a thread."""
    return work()


class EnginePlatform(VirtualPlatform):
    alarm, deployment = ERRORS, DEPLOYMENT
    image, data, instance_type = IMAGE, "s3://models-bucket/{}.tar.gz", "ml.c5.large"
    step = STEP

    def __init__(self, aws: FakeAws | None = None) -> None:
        super().__init__()
        self.aws = aws or FakeAws(FakeClock(START))
        self.start_controller()

    def start_controller(self) -> None:
        """A new process: it remembers nothing but the store."""
        client = AwsClient(self.aws.open_client, self.aws.clock, lambda: 0.5, deadline=5)
        self.target = SagemakerTarget(
            client, options(mode="engine", keep_versions=1), lambda name: self.kick(name), here
        )
        evidence = SagemakerEvidence(self.target, ThreadedCalls(client, here))
        self.run(self.target, evidence, self._work(), compare=True)

    def restart_controller(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.advance(1)
        self.start_controller()
        self.loop.call_soon(self.kick)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(WORK_EVERY)
            await self.target.work()

    def advance(self, seconds: float) -> None:
        end = self.loop.now + seconds
        while self.loop.now < end:
            self.run_to(min(end, self.loop.now + STEP))
            behind = self.loop.now - (self.aws.clock.now() - START).total_seconds()
            if behind > 0:
                self.aws.clock.advance(behind)
        assert self.loop.errors == []

    def weights(self) -> dict[str, float]:
        """At AWS, as parts of 100."""
        variants = self.aws.sagemaker.endpoints["fraud"].variants
        whole = sum(one.weight for one in variants.values())
        return {name: 100 * one.weight / whole for name, one in variants.items()}
