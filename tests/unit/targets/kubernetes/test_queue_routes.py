"""What the controller's own proxy has of asynchronous endpoints: servers before routes, and again after trouble."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.target_harness import table
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId, FleetSpec, RoutingStrategy
from tidegate.domain.traffic import RouteTable
from tidegate.ports.gateway_agent import EndpointPlan
from tidegate.ports.router import Router, TcpAddress, View
from tidegate.targets.kubernetes.endpoint_plans import endpoint_plan
from tidegate.targets.kubernetes.route_objects import QueueRoutes


@dataclass
class MemoryRouter:
    calls: list[str] = field(default_factory=list)
    fleets: dict[FleetId, Mapping[str, object]] = field(default_factory=dict)
    tables: dict[str, RouteTable] = field(default_factory=dict)
    away: bool = False

    async def set_fleet(self, fleet: FleetId, routing: RoutingStrategy, servers: Any, *_: object) -> None:
        if self.away:
            raise Transient("the proxy is away")
        assert routing is RoutingStrategy.QUEUED
        self.calls.append(f"fleet {fleet.generation}")
        self.fleets[fleet] = servers

    async def set_routes(self, routes: RouteTable) -> None:
        assert {route.fleet for route in routes.routes} <= self.fleets.keys()
        self.calls.append(f"routes {routes.fence}")
        self.tables[routes.endpoint] = routes

    async def drop_fleet(self, fleet: FleetId) -> None:
        self.calls.append(f"drop {fleet.generation}")
        del self.fleets[fleet]

    async def view(self, endpoint: str) -> View:
        alive = {fleet: dict.fromkeys(servers, True) for fleet, servers in self.fleets.items()}
        return View(self.tables.get(endpoint, RouteTable(endpoint, 0)), alive)


@dataclass
class Wanted:
    """``fleets``: generation -> replicas."""

    routes: RouteTable = field(default_factory=lambda: table("fraud", 1, {1: 10_000}))
    fleets: dict[int, tuple[str, ...]] = field(default_factory=lambda: {1: ("a", "b")})

    def plan(self, endpoint: str) -> EndpointPlan:
        specs = {queued(generation).id: queued(generation) for generation in self.fleets}
        addresses = {
            fleet: {
                name: f"ipv4@10.0.0.{number}:8080" for number, name in enumerate(self.fleets[fleet.generation])
            }
            for fleet in specs
        }
        return endpoint_plan(1, self.routes, specs, addresses)


def queued(generation: int) -> FleetSpec:
    spec = fleet_spec(generation=generation)
    return replace(spec, variant=replace(spec.variant, asynchronous=AsyncConfig("s3://data/out")))


def test_a_version_is_replaced_servers_first_and_the_old_one_goes_last() -> None:
    async def scenario() -> None:
        router, wanted = MemoryRouter(), Wanted()
        queue = QueueRoutes(cast(Router, router), wanted.plan)
        await queue.push("fraud")
        assert router.fleets[queued(1).id]["b"] == TcpAddress("10.0.0.1", 8080)
        assert queue.given(queued(1).id) == {"a", "b"} and queue.given(queued(2).id) == frozenset()
        assert await queue.table("fraud") == wanted.routes
        wanted.fleets, wanted.routes = {2: ("c",)}, table("fraud", 2, {2: 10_000})
        router.calls.clear()
        await queue.push("fraud")
        assert router.calls == ["fleet 2", "routes 2", "drop 1"]
        wanted.fleets, wanted.routes = {}, RouteTable("fraud", 3)
        await queue.push("fraud")
        assert not router.fleets and not queue.applied

    asyncio.run(scenario())


def test_what_failed_is_done_again_and_what_is_there_is_left() -> None:
    async def scenario() -> None:
        router, wanted = MemoryRouter(away=True), Wanted()
        queue = QueueRoutes(cast(Router, router), wanted.plan)
        await queue.sync(["fraud"])
        assert queue.given(queued(1).id) == frozenset(), "unknown is never good news"
        router.away = False
        await queue.sync(["fraud"])
        await queue.sync(["fraud"])
        assert router.calls == ["fleet 1", "routes 1"]
        wanted.fleets[1] = ("a",)
        await queue.sync([])
        assert queue.given(queued(1).id) == {"a"}

    asyncio.run(scenario())
