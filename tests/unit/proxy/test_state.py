"""Slots: who sits where, when one is free again, when there must be more."""

import msgspec

from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import RouteTable, build_route_table
from tidegate.proxy.state import ProxyState, Seat

RANDOM, LEAST = RoutingStrategy.RANDOM, RoutingStrategy.LEAST_OUTSTANDING_REQUESTS
A, B, C = (FleetId("fraud", generation, "blue") for generation in (1, 2, 3))
EMPTY = ProxyState({"r": 2, "l": 1})


def test_each_way_of_picking_has_its_own_slots() -> None:
    state = EMPTY.with_servers(A, RANDOM, {}).with_servers(B, LEAST, {}).with_servers(C, RANDOM, {})
    assert state.slots == {A: "r0", B: "l0", C: "r1"}
    assert state.sizes == EMPTY.sizes


def test_a_fleet_keeps_its_slot_and_gets_the_servers_given() -> None:
    state = EMPTY.with_servers(A, RANDOM, {"a": "/a", "b": "/b"}).with_servers(A, RANDOM, {"b": "/b"})
    assert state.seats == (Seat(A, "r0", {"b": "/b"}),)


def test_a_slot_is_not_given_away_before_it_is_empty() -> None:
    state = ProxyState({"r": 1}).with_servers(A, RANDOM, {}).without(A)
    assert (state.seats, state.emptying) == ((), ("r0",))
    assert state.with_servers(B, RANDOM, {}).slots == {B: "r1"}
    assert state.emptied(["r0"]).with_servers(B, RANDOM, {}).slots == {B: "r0"}


def test_a_full_pool_doubles() -> None:
    state = ProxyState({"r": 1, "l": 1}).with_servers(A, RANDOM, {}).with_servers(B, RANDOM, {})
    assert (state.sizes, state.slots) == ({"r": 2, "l": 1}, {A: "r0", B: "r1"})


def test_dropping_what_is_not_there_changes_nothing() -> None:
    assert EMPTY.without(A) == EMPTY


def test_an_endpoint_has_one_table_and_an_empty_one_takes_it_out() -> None:
    first = build_route_table("fraud", 1, [(1, 10_000, {"blue": 1.0})])
    second = build_route_table("fraud", 2, [(2, 10_000, {"blue": 1.0})])
    state = EMPTY.with_table(first).with_table(second)
    assert state.tables == (second,)
    assert state.with_table(RouteTable("fraud", 3)) == EMPTY


def test_state_round_trips_through_the_file() -> None:
    state = EMPTY.with_servers(A, RANDOM, {"a": "/a"}).with_table(
        build_route_table("fraud", 1, [(1, 10_000, {"blue": 1.0})])
    )
    assert msgspec.json.decode(msgspec.json.encode(state), type=ProxyState) == state
