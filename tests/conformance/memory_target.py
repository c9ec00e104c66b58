"""A fifth target, made by the steps of CONTRIBUTING.md: it drives the cloud of ``memory_cloud`` by its API.

``python -m tests.conformance.memory_target`` is a controller whose registry has one more line."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tidegate.cli import controller
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import CollectionRound, Coverage, FleetSecond, Latency
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.domain.traffic import Route, RouteTable
from tidegate.monitoring import sketch
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.ports.target import Chore, Look, Provider
from tidegate.targets import registry
from tidegate.targets.context import TargetContext
from tidegate.targets.fence import FencedState, FencedTarget
from tidegate.targets.kind import TargetKind
from tidegate.targets.refused_jobs import RefusedRecommendations, RefusedTransforms

NAME = "memory"


@dataclass
class CloudClient:
    url: str
    client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=5))

    async def call(self, method: str, path: str, **given: object) -> Any:
        try:
            answer = await self.client.request(method, f"{self.url}{path}", json=given or None)
        except httpx.TransportError as error:
            raise Transient(f"the memory cloud cannot be reached: {error}") from None
        if answer.status_code != httpx.codes.OK:
            raise TargetRefused(f"the memory cloud refused {method} {path}: {answer.text}")
        return answer.json()


class CloudTarget(FencedTarget[None, None]):
    def __init__(self, cloud: CloudClient) -> None:
        super().__init__()
        self.name, self.can = NAME, Capabilities(shadow=False, serverless=False)
        self.cloud = cloud

    async def observe(self, endpoint: str) -> Look:
        state = await self.cloud.call("GET", "/state")
        fleets = {FleetId.parse(name): one for name, one in state["fleets"].items()}
        table = state["tables"].get(endpoint, {"fence": 0, "routes": {}})
        routes = tuple(Route(FleetId.parse(name), share) for name, share in table["routes"].items())
        return Look(
            {id: _status(id, one) for id, one in fleets.items() if id.endpoint == endpoint},
            RouteTable(endpoint, table["fence"], routes),
        )

    async def find_fleet(self, fleet: FleetId) -> FencedState[None]:
        known = (await self.cloud.call("GET", "/state"))["fleets"].get(str(fleet))
        return FencedState(known["fence"] if known else 0, None)

    async def put_fleet(self, fleet: FleetSpec, fence: int, there: None) -> None:
        (container,) = fleet.variant.model.containers
        members = {"config": fleet.config_name, "count": fleet.count, "environment": dict(container.environment)}
        await self.cloud.call("PUT", f"/fleets/{fleet.id}", **members, fence=fence)

    async def remove_fleet(self, fleet: FleetId, fence: int, there: None) -> None:
        await self.cloud.call("DELETE", f"/fleets/{fleet}")

    async def find_traffic(self, endpoint: str) -> FencedState[None]:
        known = (await self.cloud.call("GET", "/state"))["tables"].get(endpoint)
        return FencedState(known["fence"] if known else 0, None)

    async def put_traffic(self, table: RouteTable, there: None) -> None:
        routes = {str(route.fleet): route.share for route in table.routes}
        await self.cloud.call("PUT", f"/tables/{table.endpoint}", fence=table.fence, routes=routes)


def _status(id: FleetId, one: Mapping[str, Any]) -> FleetStatus:
    missing = one["count"] - one["ready"]
    return FleetStatus(id, one["count"], one["ready"], missing, failure=one["failure"] or None)


@dataclass
class CloudEvidence:
    """A second is counted once it is over, and then never again."""

    cloud: CloudClient
    since: dict[str, int] = field(default_factory=dict)
    through: int = 0

    async def collect(self, now: int) -> CollectionRound:
        first = self.through or now - 1
        state = await self.cloud.call("GET", "/state")
        counted = await self.cloud.call("GET", f"/requests/{first}")
        self.since = {FleetId.parse(name).endpoint: first for name in state["fleets"]} | self.since
        seconds = [
            _count(FleetId.parse(name), state["fleets"][name], second, failed, times)
            for name, second, failed, times in counted
            if second < now and name in state["fleets"]
        ]
        self.through = now
        return CollectionRound(seconds, {name: Coverage(since, now) for name, since in self.since.items()})

    def refresh(self, look: Observation) -> Observation:
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()


def _count(
    id: FleetId, fleet: Mapping[str, Any], second: int, failed: list[bool], times: list[float]
) -> FleetSecond:
    took = [one * 1e6 for one in times]  # microseconds
    bins: dict[int, float] = {}
    for one in took:
        bins[sketch.index(one)] = bins.get(sketch.index(one), 0.0) + 1
    return FleetSecond(
        id,
        fleet["config"],
        second,
        fleet["ready"],
        invocations=len(took),
        errors_5xx=sum(failed),
        model_errors=sum(failed),
        model_latency=Latency(bins, sum(took), min(took), max(took)),
    )


class NoLogs:
    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        return ()

    async def groups(self) -> Sequence[str]:
        return ()

    async def streams(self, group: str) -> Sequence[LogStream]:
        return ()

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        return None


@dataclass
class CloudLifecycle:
    """What runs in the cloud does not end with the controller."""

    target: CloudTarget
    changed: Callable[[str], None]

    @property
    def chores(self) -> Sequence[Chore]:
        return (Chore(0.2, self._tell),)

    async def _tell(self) -> None:
        """The cloud tells nobody of news."""
        for endpoint in {spec.id.endpoint for spec in self.target.desired()}:
            self.changed(endpoint)

    def prepare(self) -> None: ...

    def start(self) -> None: ...

    async def retire_unknown(self, owners: Collection[str]) -> None:
        state = await self.target.cloud.call("GET", "/state")
        for id in map(FleetId.parse, state["fleets"]):
            if id.endpoint not in owners:
                await self.target.remove_fleet(id, 0, None)

    def serves(self) -> bool:
        return False

    def desired(self) -> list[FleetSpec]:
        return self.target.desired()

    def wake(self, fleet: FleetId, since: float) -> None: ...

    def kick(self, fleet: FleetId) -> None: ...

    async def stop(self, drain: bool) -> None:
        await self.target.cloud.client.aclose()


def provide_memory(context: TargetContext) -> Provider:
    cloud = CloudClient(str(context.options["url"]))
    target = CloudTarget(cloud)
    return Provider(
        target=target,
        fleets=target,
        lifecycle=CloudLifecycle(target, context.changed),
        evidence=CloudEvidence(cloud),
        logs=NoLogs(),
        runners=RefusedTransforms(NAME),
        recommenders=RefusedRecommendations(NAME),
        check_container=lambda container: None,
    )


KIND = TargetKind(provide_memory)

if __name__ == "__main__":
    registry.MODULES[NAME] = "tests.conformance.memory_target"
    sys.exit(controller.main())
