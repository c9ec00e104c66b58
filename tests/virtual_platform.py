"""The platform's real loops over any target, on virtual time, with records and metrics in memory."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

from tests.loops.clock import SequentialIds, SimulatedClock
from tests.loops.controller import Edges, Loops, join_loops, run_loops
from tests.loops.virtual_loop import VirtualLoop
from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore
from tests.metric_alarm import metric_alarm
from tests.samples import canary, percent
from tidegate.domain.alarm import Alarm, MissingData
from tidegate.domain.endpoint import Endpoint, EndpointConfig, ProductionVariant
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import DeploymentConfig
from tidegate.features.evidence.loop import Comparisons
from tidegate.host.installation import Installation
from tidegate.ports.router import DataPlane
from tidegate.ports.store import Tx
from tidegate.ports.target import EvidenceSource, Target
from tidegate.service import endpoints
from tidegate.service.endpoints import UpdateRequest
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.simulation.world import START
from tidegate.targets.context import TargetContext

R = TypeVar("R")
ERRORS = metric_alarm(
    START,
    dimensions={"EndpointName": "fraud", "VariantName": "AllTraffic"},
    period=1,
    evaluation_periods=2,
    datapoints_to_alarm=2,
    missing=MissingData.NOT_BREACHING,
)


def context(state: Path, changed: Callable[[str], None], **given: Any) -> TargetContext:
    """Of a platform without a proxy of its own."""
    return TargetContext(
        **{
            "settings": Settings(),
            "state": state,
            "sockets": state,
            "former_sockets": (),
            "installation": Installation(state, "id"),
            "data_plane": cast(DataPlane, None),
            "history": MemoryMetrics(),
            "images": ImageTable(),
            "environment": {},
            "new_id": SequentialIds().new,
            "changed": changed,
            **given,
        }
    )


class VirtualPlatform:
    """A subclass makes its target and calls ``run``; it may have other models, another alarm and another deployment.
    The endpoint is called fraud, its versions v1 and v2."""

    alarm: Alarm = ERRORS
    deployment: DeploymentConfig = canary(percent(10), wait=10, bake=5, alarms=("errors",), evidence=True)
    image, data, instance_type = "sample", "file:///models/{}", "local"
    warm_up = 20.0
    """Seconds until the first version serves."""
    step = 10.0
    """Seconds between looks for an end."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(Random(1))
        self.clock = SimulatedClock(self.loop)
        self.store, self.metrics = MemoryStore(), MemoryMetrics()
        self.loops: Loops

    def run(
        self, target: Target, evidence: EvidenceSource, *others: Coroutine[Any, Any, None], compare: bool = False
    ) -> None:
        """Start a controller process, and what else is to run beside it."""
        self.can = target.can
        edges = Edges(self.store, self.metrics, self.clock, SequentialIds(), target, evidence)
        self.loops = join_loops(edges, *([Comparisons(self.store)] if compare else []))
        self.tasks = [self.loop.create_task(one) for one in (run_loops(self.loops, self.clock), *others)]

    def kick(self, endpoint: str = "fraud") -> None:
        self.loops.engine.kick(endpoint)

    def transact(self, work: Callable[[Tx], R]) -> R:
        """In the loops' own time line, at this moment."""
        found: list[R] = []

        async def run() -> None:
            found.append(await self.store.run(work))

        self.loop.create_task(run())
        self.advance(0.5)
        return found[0]

    def advance(self, seconds: float) -> None:
        self.run_to(self.loop.now + seconds)
        assert self.loop.errors == []

    def run_to(self, time: float) -> None:
        self.loop.run(time)
        self.loop.now = time

    def until(self, holds: Callable[[], bool], seconds: float = 7200) -> None:
        """Advance until it holds, which it must by then."""
        end = self.loop.now + seconds
        while not holds():
            assert self.loop.now < end, self.endpoint()
            self.advance(self.step)

    def define(self, name: str, count: int) -> None:
        container = ContainerDefinition(self.image, data_url=self.data.format(name))
        model = Model(f"model-{name}", (container,), START)
        variant = ProductionVariant("AllTraffic", model.name, count, self.instance_type)

        def work(tx: Tx) -> None:
            tx.put(MODEL, model.name, model, expect=0, now=START)
            tx.put(CONFIG, name, EndpointConfig(name, (variant,), START), expect=0, now=START)

        self.transact(work)

    def serve_first(self) -> None:
        for name in ("v1", "v2"):
            self.define(name, 2)
        self.transact(lambda tx: tx.put(ALARM, "errors", self.alarm, expect=0, now=self.clock.now()))
        now, asked = self.clock.now(), UpdateRequest("v1")
        self.transact(
            lambda tx: endpoints.create_endpoint(tx, "fraud", asked, {}, rollout_id="first", can=self.can, now=now)
        )
        self.loop.call_soon(self.kick)
        self.advance(self.warm_up)
        self.until(lambda: self.endpoint().rollout is None)

    def endpoint(self) -> Endpoint:
        saved = self.transact(lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None
        return saved.body

    def update(self, config: str, deployment: DeploymentConfig | None = None) -> None:
        now, asked = self.clock.now(), UpdateRequest(config, deployment or self.deployment)
        self.transact(
            lambda tx: endpoints.update_endpoint(tx, "fraud", asked, rollout_id=config, can=self.can, now=now)
        )
        self.loop.call_soon(self.kick)

    def until_over(self) -> Endpoint:
        """Advance to the end of the rollout."""
        self.until(lambda: self.endpoint().rollout is None)
        return self.endpoint()

    def change(self, command: Callable[[Endpoint], Endpoint]) -> None:
        """What a command of a user does to the record."""
        now = self.clock.now()

        def work(tx: Tx) -> None:
            saved = tx.get(ENDPOINT, "fraud")
            assert saved is not None
            tx.put(ENDPOINT, "fraud", command(saved.body), expect=saved.version, now=now)

        self.transact(work)
        self.loop.call_soon(self.kick)

    def close(self) -> None:
        self.loop.kill()
        self.loop.close()


P = TypeVar("P", bound=VirtualPlatform)


@contextmanager
def serving(platform: P) -> Iterator[P]:
    """The platform with an endpoint that serves v1 with two instances; it is closed in the end."""
    try:
        platform.serve_first()
        yield platform
    finally:
        platform.close()
