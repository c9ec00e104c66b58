"""Objects of the kind Endpoint in an API server in memory, controllers that follow them, and the real machine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import httpx2

from tests.loops.clock import SequentialIds
from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore, MemoryTx
from tests.unit.service.test_deploy import START, settle
from tests.unit.targets.kubernetes.memory_api_server import MemoryApiServer
from tests.unit.targets.kubernetes.target_harness import memory_api
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.history import HistoryEntry
from tidegate.domain.rollout import Phase
from tidegate.features.endpoint_resources.kinds import RESOURCE, ResourceRecord
from tidegate.features.endpoint_resources.loop import BY, ResourceLoop
from tidegate.gateway.deployments import deploy_spec
from tidegate.ports.store import Store, Tx
from tidegate.service import history
from tidegate.service.deploy import DeployOptions, DeployResult
from tidegate.service.record_kinds import ENDPOINT
from tidegate.targets.kubernetes.endpoint_objects import EndpointObjects
from tidegate.wire.operation import WireContext

R = TypeVar("R")
KEY = ("endpoints", "fraud")


class Killed(Exception):
    """The controller is gone."""


def make_spec(version: int) -> dict[str, Any]:
    return {
        "model": {"data": f"file:///{version}/", "image": "tidegate/xgboost"},
        "instances": 2,
        "rollout": {"strategy": "canary", "size": "50%", "wait": "10m"},
        "alarms": {"errors": {"metric": "Invocation5XXErrors", "statistic": "Average", "above": "2%"}},
    }


class KillableServer(MemoryApiServer):
    """An API server whose client may be killed before each change."""

    effect: Callable[[], None] = staticmethod(lambda: None)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "GET":
            self.effect()
        return await super().handle_async_request(request)


@dataclass
class KillableStore:
    """A store whose user may be killed before each transaction that writes."""

    store: Any
    effect: Callable[[], None]

    async def run(self, work: Callable[[Tx], R]) -> R:
        self.effect()
        return cast(R, await self.store.run(work))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@dataclass
class ResourceWorld:
    """``effects``: changes that the controllers may still make before they are killed; None: any number."""

    store: Any = field(default_factory=MemoryStore)
    server: KillableServer = field(default_factory=KillableServer)
    ids: SequentialIds = field(default_factory=SequentialIds)
    effects: int | None = None
    present: datetime = START
    deployed: list[tuple[str, int]] = field(default_factory=list)
    """Uid and generation of each deployment that was committed."""

    def __post_init__(self) -> None:
        self.server.effect = self._count
        self.killable = cast(Store, KillableStore(self.store, self._count))
        self.context = WireContext(self.killable, MemoryMetrics(), self, self.ids, "us-east-1", "000000000000")
        self.loops = [self.start(), self.start()]

    def _count(self) -> None:
        if self.effects is not None:
            self.effects -= 1
            if self.effects < 0:
                raise Killed

    def now(self) -> datetime:
        return self.present

    def start(self) -> ResourceLoop:
        """A controller, which remembers nothing."""
        loop = ResourceLoop(self.killable, self, EndpointObjects(memory_api(self.server), "local"))
        loop.deploy = self._deploy
        return loop

    async def _deploy(self, data: Any, options: DeployOptions, now: datetime, **given: Any) -> DeployResult:
        done = await deploy_spec(self.context, data, options, now, **given)
        resource = given["deploy"].keywords["resource"]
        self.deployed.append((resource.uid, resource.generation))
        return done

    async def turn(self, loop: int = 0) -> None:
        self.present += timedelta(minutes=11)
        await self.loops[loop].turn()
        await self.loops[loop].finish()

    async def turns(self, times: int = 3) -> None:
        for _ in range(times):
            await self.turn()

    # --- what people do ---

    def apply(self, version: int, **spec: Any) -> None:
        self.server.version += 1
        body, found = {**make_spec(version), **spec}, self.server.objects.get(KEY)
        if found is None:
            number = self.server.version
            stamp = f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"
            about = {"name": "fraud", "uid": f"uid-{number}", "generation": 1, "creationTimestamp": stamp}
            found = self.server.objects[KEY] = {"metadata": {**about, "annotations": {}}, "spec": body}
        elif found["spec"] != body:
            found["spec"], found["metadata"]["generation"] = body, found["metadata"]["generation"] + 1
        found["metadata"]["resourceVersion"] = str(self.server.version)

    def annotate(self, name: str, value: str | None = "true") -> None:
        annotations = self.server.objects[KEY]["metadata"]["annotations"]
        annotations.pop(f"tidegate.io/{name}", None)
        if value is not None:
            annotations[f"tidegate.io/{name}"] = value

    def delete(self) -> None:
        about = self.server.objects[KEY]["metadata"]
        about["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        if not about.get("finalizers"):
            del self.server.objects[KEY]

    async def ask(self, version: int, **how: bool) -> None:
        """A person deploys a spec by hand."""
        data = {"endpoint": "fraud", **make_spec(version)}
        await deploy_spec(self.context, data, DeployOptions("ann", **how), self.present)

    async def end_rollout(self, *, alarm: bool = False, phase: Phase | None = None) -> None:
        def work(tx: Tx) -> None:
            saved = tx.get(ENDPOINT, "fraud")
            if saved is None or saved.body.rollout is None or saved.body.rollout.pause is not None:
                return
            memory = cast(MemoryTx, tx)
            if alarm and saved.body.rollout.phase is Phase.PROVISIONING:
                settle(memory, Phase.BAKING)
            settle(memory, phase, AlarmState.ALARM if alarm else AlarmState.OK)

        await self.store.run(work)

    async def edit(self, change: Callable[[Endpoint], Endpoint]) -> None:
        def work(tx: Tx) -> None:
            saved = tx.get(ENDPOINT, "fraud")
            assert saved is not None
            tx.put(ENDPOINT, "fraud", change(saved.body), expect=None, now=self.present)

        await self.store.run(work)

    async def end_deletion(self) -> None:
        def work(tx: Tx) -> None:
            saved = tx.get(ENDPOINT, "fraud")
            if saved is not None and saved.body.deleting:
                tx.delete(ENDPOINT, "fraud", expect=None, now=self.present)

        await self.store.run(work)

    # --- what is seen ---

    async def endpoint(self) -> Endpoint | None:
        saved = await self.store.read(lambda tx: tx.get(ENDPOINT, "fraud"))
        return None if saved is None else cast(Endpoint, saved.body)

    async def record(self) -> ResourceRecord | None:
        saved = await self.store.read(lambda tx: tx.get(RESOURCE, "fraud"))
        return None if saved is None else cast(ResourceRecord, saved.body)

    async def entries(self) -> list[HistoryEntry]:
        found = await self.store.read(lambda tx: history.read(tx, "fraud").entries)
        return [one for one in found if one.asked_by == BY]

    @property
    def object(self) -> dict[str, Any] | None:
        return self.server.objects.get(KEY)

    @property
    def status(self) -> dict[str, Any]:
        return cast(dict[str, Any], (self.object or {}).get("status", {}))

    @property
    def conditions(self) -> dict[str, str]:
        return {one["type"]: one["status"] for one in self.status.get("conditions", ())}


async def begin(**given: Any) -> ResourceWorld:
    """Version 1 is declared, and serves."""
    world = ResourceWorld(**given)
    world.apply(1)
    await world.turns()
    await world.end_rollout()
    await world.turn()
    return world
