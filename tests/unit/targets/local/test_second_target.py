"""A target other than the local one, which nothing of the platform knows by name: rollouts on it, forward and
back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar, cast

import pytest

from tests.metric_alarm import metric_alarm
from tests.unit.targets.local.memory_target import MemoryTarget, provide_memory
from tidegate.domain.alarm import MissingData
from tidegate.domain.endpoint import Endpoint, EndpointConfig, ProductionVariant
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.targets import LOCAL
from tidegate.host.installation import Installation
from tidegate.ports.router import DataPlane
from tidegate.ports.store import Tx
from tidegate.service import endpoints
from tidegate.service.endpoints import UpdateRequest
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.capacity_limit import LimitedTarget
from tidegate.targets.context import TargetContext
from tidegate.targets.kind import TargetKind
from tidegate.targets.registry import KINDS
from tidegate.testing.loops.clock import SimulatedClock
from tidegate.testing.loops.controller import Edges, Loops, join_loops, run_loops
from tidegate.testing.loops.virtual_loop import VirtualLoop
from tidegate.testing.memory_metrics import MemoryMetrics
from tidegate.testing.memory_store import MemoryStore
from tidegate.testing.samples import canary, percent
from tidegate.testing.world import START

R = TypeVar("R")

TARGETS: Mapping[str, TargetKind] = {**KINDS, "memory": TargetKind(provide_memory)}
"""The registry with one more line."""
DEPLOYMENT = canary(percent(10), wait=10, bake=5, alarms=("errors",), evidence=True)
ERRORS = metric_alarm(
    START,
    dimensions={"EndpointName": "fraud", "VariantName": "AllTraffic"},
    period=1,
    evaluation_periods=2,
    datapoints_to_alarm=2,
    missing=MissingData.NOT_BREACHING,
)


@dataclass
class Counter:
    count: int = 0

    def new(self, kind: str) -> str:
        self.count += 1
        return f"{kind}-{self.count}"


def context(state: Path, changed: Callable[[str], None]) -> TargetContext:
    """Of a platform without a proxy of its own."""
    return TargetContext(
        settings=Settings(),
        state=state,
        sockets=state,
        former_sockets=(),
        installation=Installation(state, "id"),
        data_plane=cast(DataPlane, None),
        history=MemoryMetrics(),
        images=ImageTable(),
        environment={},
        new_id=Counter().new,
        changed=changed,
        transform_file=lambda job, fleet, replicas: b"",
        recommendation_file=lambda job: b"",
    )


class Platform:
    """The real loops over the target, on virtual time, with records in memory."""

    def __init__(self, state: Path) -> None:
        self.loop = VirtualLoop(Random(1))
        self.clock = SimulatedClock(self.loop)
        self.store, self.metrics = MemoryStore(), MemoryMetrics()
        self.provider = TARGETS["memory"].provide(context(state, lambda name: self.loops.engine.kick(name)))
        self.loops: Loops = join_loops(
            Edges(self.store, self.metrics, self.clock, Counter(), self.provider.target, self.provider.evidence)
        )
        self.loop.create_task(run_loops(self.loops, self.clock))

    @property
    def target(self) -> MemoryTarget:
        assert isinstance(self.provider.target, MemoryTarget)
        return self.provider.target

    def transact(self, work: Callable[[Tx], R]) -> R:
        """In the loops' own time line, at this moment."""
        found: list[R] = []

        async def run() -> None:
            found.append(await self.store.run(work))

        self.loop.create_task(run())
        self.advance(0.5)
        return found[0]

    def advance(self, seconds: float) -> None:
        self.loop.run(self.loop.now + seconds)
        assert self.loop.errors == []

    def define(self, name: str, count: int) -> None:
        model = Model(f"model-{name}", (ContainerDefinition("sample", data_url=f"file:///models/{name}"),), START)
        variant = ProductionVariant("AllTraffic", model.name, count, "local")

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
        self.advance(20)
        assert self.endpoint().rollout is None

    def endpoint(self) -> Endpoint:
        saved = self.transact(lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None
        return saved.body

    def update(self, config: str) -> None:
        now, can = self.clock.now(), self.target.can
        asked = UpdateRequest(config, DEPLOYMENT)
        self.transact(
            lambda tx: endpoints.update_endpoint(tx, "fraud", asked, rollout_id=config, can=can, now=now)
        )
        self.loop.call_soon(self.loops.engine.kick, "fraud")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """An endpoint that serves v1 with two replicas."""
    made = Platform(tmp_path)
    try:
        made.serve_first()
        yield made
    finally:
        made.loop.kill()
        made.loop.close()


def shares(platform: Platform, generation: int) -> list[int]:
    """What a generation had of the traffic, each change once, in basis points."""
    found: list[int] = []
    for table in platform.target.history:
        if not found or found[-1] != table.share_of(generation):
            found.append(table.share_of(generation))
    return found


def test_rollout_on_a_second_target_goes_forward(platform: Platform) -> None:
    platform.update("v2")
    platform.advance(60)
    endpoint = platform.endpoint()
    assert endpoint.rollout is None
    assert endpoint.serving is not None and endpoint.serving.config_name == "v2"
    assert shares(platform, endpoint.serving.generation) == [0, 1000, 10_000]
    assert [(id.generation, fleet.ready) for id, fleet in platform.target.fleets.items()] == [
        (endpoint.serving.generation, 2)
    ]


def test_rollout_on_a_second_target_rolls_back_when_the_error_alarm_fires(platform: Platform) -> None:
    platform.target.faulty.add("v2")
    old = platform.endpoint().serving
    assert old is not None
    platform.update("v2")
    platform.advance(60)
    endpoint = platform.endpoint()
    assert endpoint.rollout is None and endpoint.serving == old
    assert endpoint.last is not None and "errors" in (endpoint.last.reason or "")
    assert shares(platform, endpoint.last.new.generation) == [0, 1000, 0]
    assert {id.generation for id in platform.target.fleets} == {old.generation}


def test_rollout_on_a_second_target_waits_for_evidence(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that a target does not show is taken for good."""

    async def away(now: int) -> object:
        raise TargetRefused("no metrics today")

    monkeypatch.setattr(platform.loops.watch, "collect", away)
    platform.update("v2")
    platform.advance(60)
    endpoint = platform.endpoint()
    assert endpoint.rollout is not None and endpoint.serving is not None
    assert endpoint.serving.config_name == "v1"
    assert shares(platform, endpoint.rollout.new.generation) == [0, 1000]


async def test_a_second_target_shows_its_own_logs(platform: Platform) -> None:
    logs = await platform.provider.logs.tail("fraud", 1)
    assert [log.lines for log in logs] == [("2 replicas are ready",)]
    (stream,) = await platform.provider.logs.streams("fraud")
    read = await platform.provider.logs.read("fraud", stream.name, 0, 10)
    assert read is not None and read.lines == ("v1 is starting", "2 replicas are ready")


async def test_capacity_limits_any_target(platform: Platform) -> None:
    limited = LimitedTarget(platform.target, platform.provider.lifecycle.desired, {"local": 3})
    (spec,) = platform.provider.lifecycle.desired()
    other = FleetId("fraud", spec.id.generation + 1, "AllTraffic")
    with pytest.raises(TargetRefused, match="3 by TIDEGATE_CAPACITY, 2 in use, 2 asked for"):
        await limited.ensure_fleet(type(spec)(other, "v2", spec.variant, 2), 9)


def test_the_registry_names_its_default() -> None:
    assert LOCAL in KINDS
