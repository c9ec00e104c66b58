"""Route tables to map entries and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import WHOLE, Route, RouteTable, build_route_table, split
from tidegate.proxy.routes import encode_routes, parse_routes, route_entries, route_key

FLEETS = [FleetId("fraud", 1 + number // 10, f"v{number % 10}") for number in range(20)]
SLOTS = {fleet: f"r{number}" for number, fleet in enumerate(FLEETS)}


def test_a_lone_fleet_has_the_shortest_value() -> None:
    found = route_entries(build_route_table("fraud", 12, [(1, WHOLE, {"v0": 1.0})]), SLOTS)
    assert found == {
        "v0/endpoints/fraud/invocations": "fraud|12|r0",
        "/endpoints/fraud/invocations": "fraud|12|r0",
    }


def test_bounds_stand_between_the_slots_and_the_endpoint_comes_last() -> None:
    found = route_entries(
        build_route_table("fraud", 3, [(1, 7_500, {"v0": 2.0, "v1": 1.0}), (2, 2_500, {"v0": 1.0})]), SLOTS
    )
    assert list(found.items()) == [
        ("v0/endpoints/fraud/invocations", "fraud|3|r0|7500|r10"),
        ("v1/endpoints/fraud/invocations", "fraud|3|r1"),
        ("/endpoints/fraud/invocations", "fraud|3|r0|5000|r1|7500|r10"),
    ]


def test_an_empty_table_has_no_entries() -> None:
    assert route_entries(RouteTable("fraud", 9), SLOTS) == {}


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20), st.integers(0, 10**9))
def test_routes_round_trip(weights: list[int], fence: int) -> None:
    shares = split(WHOLE, {str(number): float(weight) for number, weight in enumerate(weights)})
    routes = tuple(Route(FLEETS[int(number)], share) for number, share in shares.items() if share)
    text = encode_routes(RouteTable("fraud", fence, routes), routes, SLOTS)
    assert parse_routes(text, {slot: fleet for fleet, slot in SLOTS.items()}) == (fence, routes)


@pytest.mark.parametrize("shares", [[5_000], [5_000, 6_000], [10_000, 10_000]])
def test_shares_must_make_a_whole(shares: list[int]) -> None:
    routes = tuple(Route(fleet, share) for fleet, share in zip(FLEETS, shares, strict=False))
    with pytest.raises(TargetRefused, match="sum to 10000"):
        encode_routes(RouteTable("fraud", 1, routes), routes, SLOTS)


def test_more_than_twenty_routes_are_refused() -> None:
    routes = tuple(Route(FLEETS[0], 400 if number else 1_600) for number in range(22))
    with pytest.raises(TargetRefused, match="at most 20"):
        encode_routes(RouteTable("fraud", 1, routes), routes, SLOTS)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a|b", "a\n", "ä", "a;b", "x" * 64])
def test_names_that_could_break_out_are_refused(name: str) -> None:
    with pytest.raises(TargetRefused, match="cannot be routed"):
        route_key(name)
    if name:
        with pytest.raises(TargetRefused, match="cannot be routed"):
            route_key("fraud", name)


def test_no_path_can_be_the_key_of_a_variant() -> None:
    assert route_key("fraud").startswith("/")
    assert not route_key("fraud", "v0").startswith("/")
