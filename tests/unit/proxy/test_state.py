"""Slots: who sits where, when one is free again, when there must be more."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

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


FLEETS = [FleetId(endpoint, generation, "blue") for endpoint in ("fraud", "image") for generation in (1, 2)]
changes = st.one_of(
    st.tuples(st.just("servers"), st.sampled_from(FLEETS), st.integers(0, 3)),
    st.tuples(st.just("drop"), st.sampled_from(FLEETS), st.just(0)),
    st.tuples(st.just("routes"), st.sampled_from(FLEETS), st.integers(0, 1)),
    st.tuples(st.just("emptied"), st.sampled_from(FLEETS), st.just(0)),
)


def change(state: ProxyState, what: str, fleet: FleetId, number: int) -> ProxyState:
    if what == "servers":
        return state.with_servers(
            fleet, (RANDOM, LEAST)[fleet.generation % 2], {str(n): f"/{n}" for n in range(number)}
        )
    if what == "drop":
        return state.without(fleet)
    if what == "emptied":
        return state.emptied(state.emptying[:1])
    sides = [(fleet.generation, 10_000, {"blue": 1.0})] if number else []
    return state.with_table(build_route_table(fleet.endpoint, 1, sides))


@given(st.lists(changes, max_size=25))
def test_what_is_carried_over_a_change_is_what_a_new_state_would_be_asked(
    story: list[tuple[str, FleetId, int]],
) -> None:
    state = EMPTY
    for step in story:
        state = change(state, *step)
        new = msgspec.json.decode(msgspec.json.encode(state), type=ProxyState)
        assert new == state
        assert state.encoded == msgspec.json.encode(new)
        assert (state.slots, state.fleets) == (new.slots, new.fleets)
        assert state.slots == {seat.fleet: seat.slot for seat in state.seats}
        for fleet in FLEETS:
            assert state.seat(fleet) == next((seat for seat in state.seats if seat.fleet == fleet), None)
            seats = [seat for seat in state.seats if seat.fleet.endpoint == fleet.endpoint]
            assert list(state.seats_of(fleet.endpoint)) == seats
            assert state.table(fleet.endpoint) == new.table(fleet.endpoint)
            assert state.is_routed(fleet) == any(
                route.fleet == fleet for table in state.tables for route in table.routes if route.share
            )


def test_a_change_encodes_what_changed_alone() -> None:
    state = ProxyState({"r": 64})
    for number in range(50):
        state = state.with_servers(FleetId(f"e{number}", 1, "blue"), RANDOM, {"a": "/a"})
    known = dict(state._index.encoded_seats)
    after = state.with_servers(FleetId("e7", 1, "blue"), RANDOM, {"b": "/b"})._index.encoded_seats
    assert [fleet.endpoint for fleet in after if after[fleet] is not known[fleet]] == ["e7"]
