"""A registry in memory, an endpoint with the real rollout machine, and controllers that follow the registry."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore, MemoryTx
from tests.unit.service.test_deploy import START, settle
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Unavailable
from tidegate.domain.history import HistoryEntry
from tidegate.domain.registry import PinnedModel
from tidegate.domain.registry_addresses import FollowSettings
from tidegate.domain.rollout import Phase
from tidegate.features.model_registry.kinds import FOLLOWED, FollowRecord
from tidegate.features.model_registry.loop import EVENT, FollowLoop
from tidegate.features.model_registry.rules import RollbackReport, find_version
from tidegate.gateway.deployments import deploy_spec
from tidegate.ports.store import Tx
from tidegate.service import history
from tidegate.service.deploy import DeployOptions, DeployResult
from tidegate.service.record_kinds import ENDPOINT
from tidegate.wire.operation import WireContext

ALIAS = "models:/fraud@champion"


class Killed(Exception):
    """The controller is gone."""


@dataclass
class CountingIds:
    made: int = 0

    def new(self, kind: str) -> str:
        self.made += 1
        return f"{kind}-{self.made}"


async def do_nothing() -> None:
    """Nobody comes between."""


@dataclass
class FollowWorld:
    """``champion``: the version that the alias points to. ``between``: what happens after a controller has decided to
    deploy, before it does."""

    champion: int = 1
    down: bool = False
    restore: bool = False
    store: MemoryStore = field(default_factory=MemoryStore)
    ids: CountingIds = field(default_factory=CountingIds)
    told: list[RollbackReport] = field(default_factory=list)
    between: Callable[[], Awaitable[None]] = do_nothing
    present: datetime = START

    def __post_init__(self) -> None:
        self.context = WireContext(
            self.store, MemoryMetrics(), self, self.ids, "us-east-1", "000000000000", resolve_model=self.resolve
        )
        self.loops = [self.start(), self.start()]

    def now(self) -> datetime:
        return self.present

    def start(self) -> FollowLoop:
        """A controller, which remembers nothing."""
        loop = FollowLoop(self.store, self, self)
        loop.deploy = self._deploy
        return loop

    async def _deploy(self, data: Any, options: DeployOptions, now: datetime, **given: Any) -> DeployResult:
        between, self.between = self.between, do_nothing
        await between()
        return await deploy_spec(self.context, data, options, now, **given)

    async def find_newest(self, address: str) -> str:
        assert address == ALIAS
        if self.down:
            raise Unavailable("the MLflow server does not answer")
        return f"models:/fraud/{self.champion}"

    async def resolve(self, address: str) -> PinnedModel:
        version = await self.find_newest(address) if address == ALIAS else address
        return PinnedModel(version, f"file:///{version.rpartition('/')[2]}/", "tidegate/xgboost")

    async def report(self, endpoint: str, following: FollowSettings, report: RollbackReport) -> bool:
        if self.down:
            raise Unavailable("the MLflow server does not answer")
        self.told.append(report)
        if following.restore and report.back and report.version == f"models:/fraud/{self.champion}":
            self.champion = int(report.back.rpartition("/")[2])
            return True
        return False

    async def ask(self, **how: bool) -> None:
        """A person deploys the spec."""
        follow = {"every": "10s", "restore": self.restore}
        alarm = {"metric": "Invocation5XXErrors", "statistic": "Average", "above": "2%"}
        spec = {
            "endpoint": "fraud",
            "model": {"data": ALIAS, "follow": follow},
            "rollout": {"strategy": "canary", "size": "50%", "wait": "10m"},
            "instances": 2,
            "alarms": {"errors": alarm},
        }
        await deploy_spec(self.context, spec, DeployOptions("ann", **how), self.present)

    async def turn(self, loop: int = 0) -> None:
        """A turn of a controller after the longest pause, and the looks that it began."""
        self.present += timedelta(minutes=11)
        await self.loops[loop].turn()
        await self.loops[loop].finish()

    async def end_rollout(self, *, alarm: bool = False, phase: Phase | None = None) -> None:
        """Go on until the rollout is over or in ``phase``; with ``alarm`` it turns back once it takes traffic."""

        def work(tx: Tx) -> None:
            assert isinstance(tx, MemoryTx)
            saved = tx.get(ENDPOINT, "fraud")
            if saved is None or saved.body.rollout is None:
                return
            if alarm and saved.body.rollout.phase is Phase.PROVISIONING:
                settle(tx, Phase.BAKING)
            settle(tx, phase, AlarmState.ALARM if alarm else AlarmState.OK)

        await self.store.run(work)

    async def endpoint(self) -> Endpoint:
        saved = await self.store.read(lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None
        return saved.body

    async def serving(self) -> int:
        text = find_version((await self.endpoint()).serving)
        return int(text.rpartition("/")[2] or 0)

    async def record(self) -> FollowRecord:
        saved = await self.store.read(lambda tx: tx.get(FOLLOWED, "fraud"))
        assert saved is not None
        return saved.body

    async def entries(self) -> tuple[HistoryEntry, ...]:
        return await self.store.read(lambda tx: history.read(tx, "fraud").entries)

    async def followed(self) -> list[int]:
        """Versions that were deployed because the alias moved, in order."""
        mine = [one for one in await self.entries() if one.asked_by == ALIAS]
        return [int(find_version(one.version).rpartition("/")[2]) for one in mine]

    async def journal(self) -> list[str]:
        lines = await self.store.read(lambda tx: tx.journal(kind=ENDPOINT.name, name="fraud", limit=10_000))
        return [event.message for line in lines for event in line.events if event.kind == EVENT]


async def begin(**given: Any) -> FollowWorld:
    """Version 1 serves and is followed."""
    world = FollowWorld(**given)
    await world.ask()
    await world.end_rollout()
    return world


async def kill() -> None:
    raise Killed


def turn_of(world: FollowWorld, loop: int) -> Callable[[], Awaitable[None]]:
    return partial(world.turn, loop)
