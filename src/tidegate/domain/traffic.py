"""Route tables: the share of an endpoint's requests per fleet, in integer basis points. Only the API uses floats."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId

WHOLE = 10_000
"""All requests of an endpoint, in basis points."""


@dataclass(frozen=True)
class Route:
    fleet: FleetId
    share: int
    """Basis points of its table, 0 to 10,000."""


@dataclass(frozen=True)
class Stickiness:
    """Clients stay on one version: a hash of the header's value and of the salt decides which. ``floor``: the new
    version's share, in basis points, before that of the table; clients below it have been on the new version."""

    header: str
    salt: str
    floor: int = 0


@dataclass(frozen=True)
class RouteTable:
    """The routes of one endpoint, replaced as a whole.

    ``routes`` sum to 10,000, or are empty (the endpoint takes no requests). ``targets``: variant name -> routes of
    requests that name this variant, over its own fleets; they sum to 10,000, too. A variant of weight 0 is in
    ``targets`` only. ``fence`` rises with every table of the endpoint; a router drops a table with a lower fence than
    that in force.
    """

    endpoint: str
    fence: int
    routes: tuple[Route, ...] = ()
    targets: dict[str, tuple[Route, ...]] = field(default_factory=dict)
    stick: Stickiness | None = None
    """None: chance assigns each request by itself."""

    def share_of(self, generation: int) -> int:
        """Basis points of the fleets of one generation."""
        return sum(r.share for r in self.routes if r.fleet.generation == generation)


def split(whole: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Divide ``whole`` by ``weights`` into integers that sum to it (largest remainder; ties in the given order)."""
    total = sum(weights.values())
    if total <= 0:
        return dict.fromkeys(weights, 0)
    exact = {name: whole * weight / total for name, weight in weights.items()}
    parts = {name: int(value) for name, value in exact.items()}
    short = whole - sum(parts.values())
    for name in sorted(exact, key=lambda n: parts[n] - exact[n])[:short]:
        parts[name] += 1
    return parts


def build_route_table(
    endpoint: str,
    fence: int,
    sides: Iterable[tuple[int, int, Mapping[str, float]]],
    stick: Stickiness | None = None,
) -> RouteTable:
    """Build the table for sides ``(generation, share, {variant: weight})``. Their shares sum to 10,000, or there are
    no sides. A client that sticks to the first side stays there as long as the side's share does not shrink."""
    routes: list[Route] = []
    targets: dict[str, list[Route]] = {}
    for generation, share, weights in sides:
        for variant, part in split(share, weights).items():
            fleet = FleetId(endpoint, generation, variant)
            if part:
                routes.append(Route(fleet, part))
            if share:
                targets.setdefault(variant, []).append(Route(fleet, share))
    named: dict[str, tuple[Route, ...]] = {}
    for variant, parts in targets.items():
        shares = split(WHOLE, {str(r.fleet): float(r.share) for r in parts})
        named[variant] = tuple(Route(r.fleet, shares[str(r.fleet)]) for r in parts)
    return RouteTable(endpoint, fence, tuple(routes), named, stick)
