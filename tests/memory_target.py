"""The target in memory behind the ports of a real one, for loops and tests."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Capabilities, FleetStatus
from tidegate.domain.traffic import RouteTable
from tidegate.ports.target import Look
from tidegate.simulation.target import SimulatedFleet, SimulatedTarget


def instant_target() -> SimulatedTarget:
    """Replicas are ready, and gone, at once."""
    return SimulatedTarget(lambda after, what: what(), lambda: 0.0, lambda: 0.0)


@dataclass
class MemoryTarget:
    """A ``ports.target.Target``, and ``Fleets``, over a simulated target."""

    simulated: SimulatedTarget = field(default_factory=instant_target)
    name: str = "memory"
    can: Capabilities = field(default_factory=Capabilities)
    changed: Callable[[str], None] = lambda endpoint: None

    @property
    def fleets(self) -> dict[FleetId, SimulatedFleet]:
        return self.simulated.fleets

    @property
    def tables(self) -> dict[str, RouteTable]:
        return self.simulated.tables

    async def observe(self, endpoint: str) -> Look:
        mine = {id: fleet.seen() for id, fleet in self.fleets.items() if id.endpoint == endpoint}
        return Look(mine, self.simulated.routes(endpoint))

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        self.simulated.ensure_fleet(fleet, fence)

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        self.simulated.delete_fleet(fleet, fence)

    async def set_traffic(self, table: RouteTable) -> None:
        self.simulated.set_traffic(table)

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        known = self.fleets.get(fleet)
        return None if known is None else known.seen()
