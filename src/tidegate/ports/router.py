"""What stands in front of the replicas of a machine and gives each request to one of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from tidegate.domain.admission import DEFAULT_ADMISSION, Admission
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import RouteTable


@dataclass(frozen=True)
class Demand:
    """Requests for a fleet: those in hand or waiting now, and all there ever were (from 0 again when the router was
    started or reloaded)."""

    now: int
    ever: int


@dataclass(frozen=True)
class Passed:
    """What went through the router to a fleet. The counts are since the last look."""

    unanswered: int = 0
    """Requests that no replica answered, the refused ones among them."""
    refused: int = 0
    """Those for which no replica had room in time."""
    throttled: int = 0
    """Requests beyond a client's quota. They are in none of the other numbers."""
    in_flight: int = 0
    """Requests in the hands of replicas now."""
    queued: int = 0
    """Requests that wait for a replica with room now."""
    queue_time: float | None = None
    """Seconds until a request that came now would have a replica: what waits over what was answered a second. None:
    some wait and nothing was answered."""
    unavailable: int = 0
    """Requests that no replica answered because the router had been started anew and was not given one yet. They are
    in none of the other numbers."""
    unserved: bool = False
    """The router was started anew, and was not given a replica of the fleet since."""
    down: frozenset[str] = field(default=frozenset(), compare=False)
    """Replicas that the router takes for dead, and gives no request to."""


@dataclass(frozen=True)
class View:
    """What the router has for one endpoint now: the table in force, and the replicas of each of its fleets, with
    whether the router takes them for alive."""

    routes: RouteTable
    alive: Mapping[FleetId, Mapping[str, bool]]


class Router(Protocol):
    """Everything is idempotent and raises ``Transient`` when it may work later."""

    async def set_fleet(
        self,
        fleet: FleetId,
        routing: RoutingStrategy,
        servers: Mapping[str, Path],
        limits: Mapping[str, int] = MappingProxyType({}),
        admission: Admission = DEFAULT_ADMISSION,
    ) -> None:
        """Makes the fleet's servers (replica id -> unix socket) exactly these. One that is left out gets no new
        request from now on and finishes those it has. ``limits``: requests that a server may have at one time.
        ``admission``: how long others wait, and the quotas of clients."""
        ...

    async def demand(self, fleet: FleetId) -> Demand: ...

    async def in_flight(self, fleet: FleetId) -> dict[str, int]:
        """Requests in the hands of each server that is known, those being drained included."""
        ...

    async def drop_fleet(self, fleet: FleetId) -> None: ...

    async def set_routes(self, table: RouteTable) -> None:
        """Swaps the endpoint's table in one go; a lower fence than the one in force is dropped."""
        ...

    def endpoints(self) -> set[str]:
        """Those that have routes."""
        ...

    def routed(self) -> set[FleetId]:
        """Fleets that take traffic."""
        ...

    async def view(self, endpoint: str) -> View:
        """Read from the router itself, in one exchange; a table that is not there is empty, with fence 0."""
        ...
