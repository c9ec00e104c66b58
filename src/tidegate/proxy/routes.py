"""Encodes a route table as entries of HAProxy's map, and decodes it. Pure.

One entry for the endpoint and one for each variant that a request may name:

    /endpoints/fraud/invocations          fraud|12|r3|9000|r7
    blue/endpoints/fraud/invocations      fraud|12|r3

or, for an asynchronous endpoint, one that no request path can match:

    :queued/endpoints/fraud/invocations   fraud|12|q0

A value is the endpoint, the fence (where clients stay on one version ``12:x-client:SALT:FLOOR``, see ``clients``),
and the slots with the bounds between them: a request whose number (0 to 9,999) is
below 9,000 goes to slot r3, any other to r7. A whole table is one string, so a single command swaps it, and the table
in force can be read back with its fence. The key is the request path: a path without an entry is not a prediction for
a fleet and goes to the controller.
"""

import re
from collections.abc import Mapping
from itertools import pairwise

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import WHOLE, Route, RouteTable, Stickiness
from tidegate.proxy.state import QUEUED

MAX_ROUTES = 20
"""Maximum number of slots in one value: SageMaker's 10 variants, twice during a rollout."""

HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})", re.ASCII)


def check_name(name: str) -> str:
    """Check that an endpoint's or variant's name is safe in commands, maps and files."""
    if not NAME.fullmatch(name):
        raise TargetRefused(f"{name!r} cannot be routed: a name has 1 to 63 letters, digits and hyphens")
    return name


def route_key(endpoint: str, variant: str = "") -> str:
    return f"{check_name(variant) if variant else ''}/endpoints/{check_name(endpoint)}/invocations"


def queue_key(endpoint: str) -> str:
    """Key of an asynchronous endpoint, which no request path can match: its requests come from the queue, through a
    separate frontend."""
    return f":queued{route_key(endpoint)}"


def endpoint_of_key(text: str) -> str | None:
    """The endpoint of an endpoint's own key, public or queued; None for a variant's key and any other."""
    name = text.removeprefix(":queued").removeprefix("/endpoints/").removesuffix("/invocations")
    return name if NAME.fullmatch(name) and text in (route_key(name), queue_key(name)) else None


def route_entries(table: RouteTable, slots: Mapping[FleetId, str]) -> dict[str, str]:
    """Key -> value of a table's entries; none for an empty table. The endpoint's own entry is last.

    Raises Refused for a fleet without slot or a table with too many routes.
    """
    check_name(table.endpoint)
    found = {}
    if _is_queued(table, slots):
        found[queue_key(table.endpoint)] = encode_routes(table, table.routes, slots)
    elif table.routes:
        for variant, routes in table.targets.items():
            found[route_key(table.endpoint, variant)] = encode_routes(table, routes, slots)
        found[route_key(table.endpoint)] = encode_routes(table, table.routes, slots)
    return found


def route_keys(table: RouteTable, slots: Mapping[FleetId, str]) -> set[str]:
    """Keys of a table's entries."""
    if _is_queued(table, slots):
        return {queue_key(table.endpoint)}
    return {route_key(table.endpoint, name) for name in ("", *table.targets)}


def _is_queued(table: RouteTable, slots: Mapping[FleetId, str]) -> bool:
    return any(slots.get(route.fleet, "").startswith(QUEUED) for route in table.routes)


def encode_routes(table: RouteTable, routes: tuple[Route, ...], slots: Mapping[FleetId, str]) -> str:
    used = [route for route in routes if route.share > 0]
    if len(used) > MAX_ROUTES or sum(route.share for route in used) != WHOLE:
        raise TargetRefused(f"routes of {table.endpoint} must be at most {MAX_ROUTES} and sum to {WHOLE}: {used}")
    words = [check_name(table.endpoint), _encode_fence(table)]
    bound = 0
    for route in used:
        if route.fleet not in slots:
            raise TargetRefused(f"fleet {route.fleet} is not known to the proxy; give it servers before routes")
        if bound:
            words.append(str(bound))
        words.append(slots[route.fleet])
        bound += route.share
    return "|".join(words)


def _encode_fence(table: RouteTable) -> str:
    stick, fence = table.stick, str(int(table.fence))
    if stick is None:
        return fence
    if not HEADER.fullmatch(stick.header) or not NAME.fullmatch(stick.salt):
        raise TargetRefused(f"clients of {table.endpoint} cannot stay on a version by {stick}")
    return f"{fence}:{stick.header.lower()}:{stick.salt}:{int(stick.floor)}"


def parse_stickiness(text: str) -> Stickiness | None:
    """Decode how clients stay on one version. ``text``: a value."""
    words = text.split("|")[1].split(":")[1:]
    return Stickiness(words[0], words[1], int(words[2])) if words else None


def parse_routes(text: str, fleets: Mapping[str, FleetId]) -> tuple[int, tuple[Route, ...]]:
    """Decode fence and routes of a value. Raises KeyError for a slot without fleet."""
    _, fence, *words = text.split("|")
    fence = fence.partition(":")[0]
    bounds = [0, *(int(word) for word in words[1::2]), WHOLE]
    shares = [high - low for low, high in pairwise(bounds)]
    return int(fence), tuple(Route(fleets[slot], share) for slot, share in zip(words[::2], shares, strict=True))
