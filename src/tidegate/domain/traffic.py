"""Who gets which part of an endpoint's requests. Shares are integer basis points; floats end at the wire."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId

WHOLE = 10_000
"""All requests of an endpoint, in basis points."""


@dataclass(frozen=True)
class Route:
    fleet: FleetId
    share: int
    """Basis points of the table it stands in, 0 to 10,000."""


@dataclass(frozen=True)
class RouteTable:
    """The routes of one endpoint, swapped whole.

    ``routes`` sum to 10,000, or are empty (the endpoint takes no requests). ``targets`` holds, for each variant
    name, the routes of a request that names its variant: the variants' own fleets, again summing to 10,000.
    A variant of weight 0 stands in ``targets`` only. ``fence`` rises with every table that is written for the
    endpoint; a router drops a table whose fence is lower than the one in force.
    """

    endpoint: str
    fence: int
    routes: tuple[Route, ...] = ()
    targets: dict[str, tuple[Route, ...]] = field(default_factory=dict)

    def share_of(self, generation: int) -> int:
        """Basis points that go to the fleets of one generation."""
        return sum(r.share for r in self.routes if r.fleet.generation == generation)


def split(whole: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Divides ``whole`` by ``weights`` in integers that sum to it (largest remainder; ties by order given)."""
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
    endpoint: str, fence: int, sides: Iterable[tuple[int, int, Mapping[str, float]]]
) -> RouteTable:
    """The table for sides ``(generation, share, {variant: weight})`` whose shares sum to 10,000 (or no side)."""
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
    return RouteTable(endpoint, fence, tuple(routes), named)
