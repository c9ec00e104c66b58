"""Route tables as the weighted target groups of a listener rule. Pure."""

from collections.abc import Iterable, Mapping
from math import gcd
from typing import Any

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import WHOLE, Route, RouteTable, split

MOST_GROUPS = 5
MOST_WEIGHT = 999
SMALLEST_SHARE = 20
"""Basis points: 500 parts of the traffic. Weights are whole numbers to 999."""


def forward_action(shares: Mapping[str, int]) -> list[dict[str, object]]:
    """``shares``: ARN of a target group -> basis points, which may be 0. Raises TargetRefused for too many."""
    if len(shares) > MOST_GROUPS:
        raise TargetRefused(f"a listener rule forwards to {MOST_GROUPS} target groups at most, not {len(shares)}")
    divisor = gcd(*shares.values()) or 1
    weights = {arn: share // divisor for arn, share in shares.items()}
    if max(weights.values(), default=0) > MOST_WEIGHT:
        weights = split(MOST_WEIGHT, {arn: float(share) for arn, share in shares.items()})
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]


def read_action(actions: Iterable[Mapping[str, Any]]) -> dict[str, int] | None:
    """ARN of a target group -> basis points; None: the rule does something else than forwarding."""
    (action, *more) = [*actions] or [{}]
    if more or action.get("Type") != "forward":
        return None
    groups = action.get("ForwardConfig", {}).get("TargetGroups") or [
        {"TargetGroupArn": action.get("TargetGroupArn"), "Weight": 1}
    ]
    weights = {str(group["TargetGroupArn"]): int(group.get("Weight", 1)) for group in groups}
    if not sum(weights.values()):
        return dict.fromkeys(weights, 0)
    shares = split(WHOLE, {arn: float(weight) for arn, weight in weights.items()})
    return shares


def table_of(
    endpoint: str, fence: int, shares: Mapping[str, int], fleets: Mapping[str, FleetId]
) -> RouteTable | None:
    """Return the routes that a rule's shares stand for. None: a share leads to a target group that is no fleet's."""
    if any(share and arn not in fleets for arn, share in shares.items()):
        return None
    return RouteTable(endpoint, fence, tuple(Route(fleets[arn], share) for arn, share in shares.items() if share))
