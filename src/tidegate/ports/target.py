"""A place where fleets run. It shows what it has and takes desired states; it decides nothing.

Errors: ``Transient`` (ask again), ``Refused`` (never will), ``Unknown`` (look first). Methods return nothing: the
truth comes from ``observe``.
"""

from dataclasses import dataclass
from typing import Protocol

from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Capabilities, FleetStatus
from tidegate.domain.traffic import RouteTable

__all__ = ["Capabilities", "Look", "Target"]


@dataclass(frozen=True)
class Look:
    """One endpoint on one target; a None says that part could not be seen."""

    fleets: dict[FleetId, FleetStatus] | None
    routes: RouteTable | None


class Target(Protocol):
    name: str
    can: Capabilities

    async def observe(self, endpoint: str) -> Look: ...

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        """Create or resize; doing it again is harmless; a lower fence than the fleet's last is dropped."""
        ...

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        """Drain, then remove; absent is success."""
        ...

    async def set_traffic(self, table: RouteTable) -> None:
        """Swap the endpoint's table; one with a lower fence than the one in force is dropped."""
        ...
