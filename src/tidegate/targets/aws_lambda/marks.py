"""Marks in descriptions at Lambda, by which a later controller identifies the resources it finds. Pure.

A version's description names its fleet, an alias's has the fence of the write. A description changes in the same call
as what it describes.
"""

import re
from dataclasses import dataclass

from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import WHOLE, Route, RouteTable

LIVE = "live"
"""Alias that clients and event sources invoke."""
OWN = "tidegate"
LONGEST = 256
"""Characters of a description."""
_FLEET_ALIAS = re.compile(r"fleet-(\d+)-([A-Za-z0-9-]+)")
_FLEET_MARK = re.compile(rf"{OWN} fence=(\d+) count=(\d+)")
_TRAFFIC_MARK = re.compile(rf"{OWN} fence=(\d+)((?: \d+/[A-Za-z0-9-]+=\d+)*)")


def fleet_alias(fleet: FleetId) -> str:
    return f"fleet-{fleet.generation}-{fleet.variant}"


def parse_fleet_alias(endpoint: str, name: str) -> FleetId | None:
    found = _FLEET_ALIAS.fullmatch(name)
    return FleetId(endpoint, int(found[1]), found[2]) if found else None


def version_mark(fleet: FleetId, config: str) -> str:
    """The description of a version."""
    return f"{OWN} {fleet} {config}"[:LONGEST]


def is_version_of(fleet: FleetId, description: str) -> bool:
    return f"{description} ".startswith(f"{OWN} {fleet} ")


def config_of(description: str) -> str:
    """The config that a version's description names; empty if it is not one of ours."""
    own, _, rest = description.partition(" ")
    return rest.partition(" ")[2] if own == OWN else ""


@dataclass(frozen=True)
class FleetMark:
    fence: int
    count: int


def fleet_mark(mark: FleetMark) -> str:
    return f"{OWN} fence={mark.fence} count={mark.count}"


def parse_fleet_mark(description: str) -> FleetMark | None:
    found = _FLEET_MARK.fullmatch(description)
    return FleetMark(int(found[1]), int(found[2])) if found else None


def traffic_mark(table: RouteTable) -> str:
    routes = "".join(f" {one.fleet.generation}/{one.fleet.variant}={one.share}" for one in table.routes)
    return f"{OWN} fence={table.fence}{routes}"


def parse_traffic_mark(endpoint: str, description: str) -> RouteTable | None:
    """The table that was written last; None: the description is not one of ours."""
    found = _TRAFFIC_MARK.fullmatch(description)
    if found is None:
        return None
    routes = []
    for part in found[2].split():
        fleet, _, share = part.partition("=")
        generation, _, variant = fleet.partition("/")
        routes.append(Route(FleetId(endpoint, int(generation), variant), int(share)))
    return RouteTable(endpoint, int(found[1]), tuple(routes))


def share_of(weight: float) -> int:
    """Basis points of an alias's weight."""
    return round(weight * WHOLE)
