"""What stands in front of the replicas of a machine and gives each request to one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from tidegate.model.fleet import FleetId, RoutingStrategy
from tidegate.model.traffic import RouteTable


@dataclass(frozen=True)
class Demand:
    """Requests for a fleet: those in hand or waiting now, and all there ever were (from 0 again when the router was
    started or reloaded)."""

    now: int
    ever: int


class Router(Protocol):
    """Everything is idempotent and raises ``Transient`` when it may work later."""

    async def set_fleet(
        self,
        fleet: FleetId,
        routing: RoutingStrategy,
        servers: Mapping[str, Path],
        limits: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Makes the fleet's servers (replica id -> unix socket) exactly these. One that is left out gets no new
        request from now on and finishes those it has. ``limits``: requests that a server may have at one time."""
        ...

    async def demand(self, fleet: FleetId) -> Demand: ...

    async def in_flight(self, fleet: FleetId) -> dict[str, int]:
        """Requests in the hands of each server that is known, those being drained included."""
        ...

    async def drop_fleet(self, fleet: FleetId) -> None: ...

    async def set_routes(self, table: RouteTable) -> None:
        """Swaps the endpoint's table in one go; a lower fence than the one in force is dropped."""
        ...

    async def routes(self, endpoint: str) -> RouteTable:
        """The table in force, read from the router itself; empty with fence 0 where there is none."""
        ...
