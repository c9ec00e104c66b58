"""The platform's real loops over the SageMaker target in engine mode, on virtual time, at a fake account."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from tests.unit.targets.sagemaker.aws_specs import options
from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData
from tidegate.domain.endpoint import Endpoint, EndpointConfig, ProductionVariant
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.ports.store import Tx
from tidegate.service import endpoints
from tidegate.service.endpoints import UpdateRequest
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.targets.aws.client import AwsClient, ThreadedCalls
from tidegate.targets.sagemaker.engine_evidence import SagemakerEvidence
from tidegate.targets.sagemaker.engine_target import WORK_EVERY, SagemakerTarget
from tidegate.testing.aws import FakeAws, FakeClock
from tidegate.testing.loops.clock import SimulatedClock
from tidegate.testing.loops.controller import Edges, Loops, join_loops, run_loops
from tidegate.testing.loops.virtual_loop import VirtualLoop
from tidegate.testing.memory_metrics import MemoryMetrics
from tidegate.testing.memory_store import MemoryStore
from tidegate.testing.samples import canary, percent
from tidegate.testing.world import START

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


@dataclass
class Counter:
    count: int = 0

    def new(self, kind: str) -> str:
        self.count += 1
        return f"{kind}-{self.count}"


class EnginePlatform:
    def __init__(self, aws: FakeAws | None = None) -> None:
        self.aws = aws or FakeAws(FakeClock(START))
        self.loop = VirtualLoop(Random(1))
        self.clock = SimulatedClock(self.loop)
        self.store, self.metrics = MemoryStore(), MemoryMetrics()
        self.time = 0.0
        self.start_controller()

    def start_controller(self) -> None:
        """A new process: it remembers nothing but the store."""
        client = AwsClient(self.aws.session(), "", self.aws.clock, lambda: 0.5, patience=5)
        self.target = SagemakerTarget(
            client, options(mode="engine", keep_versions=1), lambda name: self.loops.engine.kick(name), here
        )
        evidence = SagemakerEvidence(self.target, ThreadedCalls(client, here))
        edges = Edges(self.store, self.metrics, self.clock, Counter(), self.target, evidence)
        self.loops: Loops = join_loops(edges, compare=True)
        self.tasks = [
            self.loop.create_task(run_loops(self.loops, self.clock)),
            self.loop.create_task(self._work()),
        ]

    def restart_controller(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.advance(1)
        self.start_controller()
        self.loop.call_soon(self.loops.engine.kick, "fraud")

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(WORK_EVERY)
            await self.target.work()

    def advance(self, seconds: float) -> None:
        end = self.time + seconds
        while self.time < end:
            self.time = min(end, self.time + STEP)
            self.loop.run(self.time)
            behind = self.time - (self.aws.clock.now() - START).total_seconds()
            if behind > 0:
                self.aws.clock.advance(behind)
        assert self.loop.errors == []

    def until(self, holds: Callable[[], bool], seconds: float = 7200) -> None:
        end = self.time + seconds
        while not holds():
            assert self.time < end, self.endpoint()
            self.advance(STEP)

    def transact(self, work: Callable[[Tx], R]) -> R:
        found: list[R] = []

        async def run() -> None:
            found.append(await self.store.run(work))

        self.loop.create_task(run())
        self.advance(0.5)
        return found[0]

    def define(self, name: str, count: int) -> None:
        model = Model(
            f"model-{name}", (ContainerDefinition(IMAGE, data_url=f"s3://models-bucket/{name}.tar.gz"),), START
        )
        variant = ProductionVariant("AllTraffic", model.name, count, "ml.c5.large")

        def work(tx: Tx) -> None:
            tx.put(MODEL, model.name, model, expect=0, now=START)
            tx.put(CONFIG, name, EndpointConfig(name, (variant,), START), expect=0, now=START)

        self.transact(work)

    def serve_first(self) -> None:
        for name in ("v1", "v2"):
            self.define(name, 2)
        self.transact(lambda tx: tx.put(ALARM, "errors", ERRORS, expect=0, now=START))
        now, can, asked = self.clock.now(), self.target.can, UpdateRequest("v1")
        self.transact(
            lambda tx: endpoints.create_endpoint(tx, "fraud", asked, {}, rollout_id="first", can=can, now=now)
        )
        self.loop.call_soon(self.loops.engine.kick, "fraud")
        self.until(lambda: self.endpoint().rollout is None, 1800)

    def endpoint(self) -> Endpoint:
        saved = self.transact(lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None
        return saved.body

    def update(self, config: str, deployment: Any = DEPLOYMENT) -> None:
        now, can = self.clock.now(), self.target.can
        asked = UpdateRequest(config, deployment)
        self.transact(
            lambda tx: endpoints.update_endpoint(tx, "fraud", asked, rollout_id=config, can=can, now=now)
        )
        self.loop.call_soon(self.loops.engine.kick, "fraud")

    def change(self, command: Callable[[Endpoint], Endpoint]) -> None:
        """What a command of a user does to the record."""
        now = self.clock.now()

        def work(tx: Tx) -> None:
            saved = tx.get(ENDPOINT, "fraud")
            assert saved is not None
            tx.put(ENDPOINT, "fraud", command(saved.body), expect=saved.version, now=now)

        self.transact(work)
        self.loop.call_soon(self.loops.engine.kick, "fraud")

    def weights(self) -> dict[str, float]:
        """At AWS, as parts of 100."""
        variants = self.aws.sagemaker.endpoints["fraud"].variants
        whole = sum(one.weight for one in variants.values())
        return {name: 100 * one.weight / whole for name, one in variants.items()}

    def close(self) -> None:
        self.loop.kill()
        self.loop.close()
