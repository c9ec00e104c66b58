"""The router in front of the replicas of a machine, which gives each request to one of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from tidegate.domain.admission import DEFAULT_ADMISSION, Admission
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import RouteTable


@dataclass(frozen=True)
class TcpAddress:
    """Address of a replica on another machine: an IP address, not a name, so that no resolver is queried."""

    host: str
    port: int

    def __str__(self) -> str:
        family = "ipv6" if ":" in self.host else "ipv4"
        return f"{family}@{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "TcpAddress":
        """Parse an address as ``str`` writes it. Raises ValueError."""
        host, _, port = text.partition("@")[2].rpartition(":")
        return cls(host, int(port))


ServerAddress = Path | TcpAddress
"""A unix socket of this machine, or an address on the network."""


@dataclass(frozen=True)
class Demand:
    """Requests for a fleet: those being served or waiting now, and all so far (from 0 again after the router was
    started or reloaded)."""

    now: int
    ever: int


@dataclass(frozen=True)
class PassedRequests:
    """Requests to a fleet that passed through the router. Counts are since the last call."""

    unanswered: int = 0
    """Requests that no replica answered, the refused ones among them."""
    refused: int = 0
    """Those for which no replica had capacity in time."""
    throttled: int = 0
    """Requests beyond a client's quota. They are in none of the other numbers."""
    in_flight: int = 0
    """Requests that replicas work on now."""
    queued: int = 0
    """Requests that wait for a replica with capacity now."""
    queue_time: float | None = None
    """Seconds until a request that came now would have a replica: what waits over what was answered a second. None:
    some wait and nothing was answered."""
    unavailable: int = 0
    """Requests that no replica answered because the router had been started anew and was not given one yet. They are
    in none of the other numbers."""
    unserved: bool = False
    """The router was started anew, and was not given a replica of the fleet since."""
    down: frozenset[str] = field(default=frozenset(), compare=False)
    """Replicas that the router considers dead, and gives no request."""


IDLE = PassedRequests(queue_time=0.0)
"""What most fleets have in most seconds."""


@dataclass(frozen=True)
class View:
    """Present state of the router for one endpoint: the table in force, and the replicas of each fleet with whether
    the router considers them alive."""

    routes: RouteTable
    alive: Mapping[FleetId, Mapping[str, bool]]


class Router(Protocol):
    """All calls are idempotent, and raise ``Transient`` if they may work later."""

    async def set_fleet(
        self,
        fleet: FleetId,
        routing: RoutingStrategy,
        servers: Mapping[str, ServerAddress],
        limits: Mapping[str, int] = MappingProxyType({}),
        admission: Admission = DEFAULT_ADMISSION,
    ) -> None:
        """Make the fleet's servers (replica id -> address) exactly these. One that is left out gets no new
        request and finishes those it has. ``limits``: requests that a server may have at a time. ``admission``: how
        long others wait, and the quotas of clients."""
        ...

    async def demand(self, fleet: FleetId) -> Demand: ...

    async def in_flight(self, fleet: FleetId) -> dict[str, int]:
        """Requests in flight on each known server, including those being drained."""
        ...

    async def drop_fleet(self, fleet: FleetId) -> None: ...

    async def set_routes(self, table: RouteTable) -> None:
        """Swap the endpoint's table in one go; a lower fence than the one in force is dropped."""
        ...

    def endpoints(self) -> set[str]:
        """Endpoints that have routes."""
        ...

    def is_routed(self, fleet: FleetId) -> bool:
        """Return whether the fleet takes traffic."""
        ...

    async def view(self, endpoint: str) -> View:
        """Read from the router itself, in one exchange; a table that is not there is empty, with fence 0."""
        ...

    async def views(self, endpoints: Collection[str]) -> Mapping[str, View]:
        """Return the views of many endpoints, at little more cost than for one. One that cannot be read is absent."""
        ...


class DataPlane(Router, Protocol):
    """A router in front of workers on its own machine."""

    copies: Path
    """Socket to which workers send copies of requests for a shadow fleet."""
    wakes: Path
    """Socket to which workers, and requests that wait for one, report (``Lifecycle.kick``, ``Lifecycle.wake``)."""

    async def passed(self) -> Mapping[FleetId, PassedRequests]:
        """Return the requests to each fleet that passed through since the last call. Raises Transient."""
        ...
