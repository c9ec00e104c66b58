"""Add up the demand of the serverless fleets over all gateways. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.ports.gateway_agent import DemandReport


@dataclass(frozen=True)
class TotalDemand:
    """``now``: requests that are being served or wait. ``ever``: all so far, of each process of a gateway.
    ``waits_since``: epoch seconds since when one waits because the fleet has no server; None: none does."""

    now: int = 0
    ever: Mapping[str, int] = field(default_factory=dict)
    waits_since: float | None = None

    def has_more(self, before: "TotalDemand") -> bool:
        """Whether a further request came since then. A gateway that was replaced or reloaded proves none."""
        return any(count > before.ever.get(process, count) for process, count in self.ever.items())


@dataclass(frozen=True)
class FleetDemands:
    """``whole``: every gateway that takes traffic has told. If not, there may be more requests than these."""

    fleets: Mapping[FleetId, TotalDemand] = field(default_factory=dict)
    whole: bool = False

    def of(self, fleet: FleetId) -> TotalDemand:
        return self.fleets.get(fleet, TotalDemand())


def add_up(reports: Mapping[str, DemandReport], whole: bool) -> FleetDemands:
    """``reports``: by gateway."""
    found: dict[FleetId, TotalDemand] = {}
    for gateway, report in sorted(reports.items()):
        for name, one in report.fleets.items():
            fleet = FleetId.parse(name)
            before = found.get(fleet, TotalDemand())
            waits = [since for since in (before.waits_since, one.waits_since) if since is not None]
            ever = {**before.ever, f"{gateway} {report.boot}": one.ever}
            found[fleet] = TotalDemand(before.now + one.now, ever, min(waits, default=None))
    return FleetDemands(found, whole)
