"""Route tables as the routing of an alias, which has one version and at most one more with a weight. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import WHOLE, Route, RouteTable
from tidegate.targets.aws_lambda.marks import LIVE, OWN, parse_traffic_mark, share_of

MOST_VERSIONS = 2


@dataclass(frozen=True)
class ObservedAlias:
    name: str
    version: str
    weights: Mapping[str, float] = field(default_factory=dict)
    """Of the additional version."""
    description: str = ""
    revision: str = ""


def parse_alias(answer: Mapping[str, Any]) -> ObservedAlias:
    """``answer``: an AliasConfiguration."""
    weights = (answer.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return ObservedAlias(
        str(answer["Name"]),
        str(answer["FunctionVersion"]),
        {str(version): float(weight) for version, weight in weights.items()},
        str(answer.get("Description", "")),
        str(answer.get("RevisionId", "")),
    )


def alias_routes(alias: ObservedAlias, fleets: Mapping[str, FleetId]) -> tuple[Route, ...] | None:
    """The routes in force; ``fleets``: version -> fleet. None: it leads to a version that is no fleet's."""
    extra = {version: share_of(weight) for version, weight in alias.weights.items()}
    shares = {alias.version: WHOLE - sum(extra.values()), **extra}
    if any(share and version not in fleets for version, share in shares.items()):
        return None
    return tuple(Route(fleets[version], share) for version, share in shares.items() if share)


def routing_members(table: RouteTable, versions: Mapping[FleetId, str]) -> dict[str, object]:
    """FunctionVersion and RoutingConfig for the table. Raises TargetRefused for more than two fleets, Transient for
    a fleet whose version is not published yet."""
    if len(table.routes) > MOST_VERSIONS:
        names = ", ".join(str(route.fleet) for route in table.routes)
        raise TargetRefused(
            f"an alias of Lambda routes to {MOST_VERSIONS} versions at most, not to {names}: give the spec one"
            " variant"
        )
    missing = [str(route.fleet) for route in table.routes if route.fleet not in versions]
    if missing:
        raise Transient(f"fleet {missing[0]} has no published version yet")
    first, *rest = sorted(table.routes, key=lambda route: -route.share)
    weights = {versions[route.fleet]: route.share / WHOLE for route in rest}
    return {
        "FunctionVersion": versions[first.fleet],
        "RoutingConfig": {"AdditionalVersionWeights": weights},
    }


def check_untouched(alias: ObservedAlias, endpoint: str, fleets: Mapping[str, FleetId], function: str) -> None:
    """Check that the alias is as tidegate wrote it. Raises TargetRefused for an alias that somebody else made or
    changed: it is reported and left as it is."""
    if alias.description == OWN:
        return
    written = parse_traffic_mark(endpoint, alias.description)
    actual = alias_routes(alias, fleets)
    if written is not None and actual is not None and set(written.routes) == set(actual):
        return
    shown = {alias.version: 1 - sum(alias.weights.values()), **alias.weights}
    now = ", ".join(f"version {version}: {weight:.0%}" for version, weight in shown.items())
    raise TargetRefused(
        f"alias {LIVE} of function {function} was changed by somebody else (now {now}; last written:"
        f" {alias.description!r}); put it back, or set its description to {OWN!r} to let tidegate set it again"
    )
