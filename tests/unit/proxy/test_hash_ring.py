"""Numbers of servers: a place stays with its server, and goes to the one that comes instead."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.proxy.state import ProxyState, assign_numbers

NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6)
FLEET = FleetId("clients", 1, "main")
BY_MODEL = RoutingStrategy.BY_MODEL


def test_servers_get_the_lowest_numbers() -> None:
    assert assign_numbers(["a", "b", "c"], {}, {}) == {"a": 1, "b": 2, "c": 3}


def test_replacement_takes_the_number_of_the_dead_server() -> None:
    known = {"a": 1, "b": 2, "c": 3}
    assert assign_numbers(["a", "c", "d"], known, {"a": 1, "c": 3}) == {"a": 1, "c": 3, "d": 2}


def test_a_number_is_not_given_away_while_its_server_is_there() -> None:
    known = {"a": 1, "b": 2, "c": 3}
    assert assign_numbers(["a", "c", "d"], known, known) == {"a": 1, "c": 3, "d": 4}


def test_one_that_haproxy_still_has_keeps_its_number() -> None:
    assert assign_numbers(["a", "b"], {"a": 1}, {"a": 1, "b": 5}) == {"a": 1, "b": 5}


@given(st.lists(NAMES, min_size=1, max_size=6))
def test_numbers_are_low_and_never_shared(steps: list[list[str]]) -> None:
    known: dict[str, int] = {}
    for names in steps:
        new = assign_numbers(names, known, known)  # what leaves is still being drained
        assert list(new) == names
        assert len(set(new.values())) == len(names)
        assert all(1 <= number <= 12 for number in new.values())  # six at work, six more being drained
        assert all(new[name] == known[name] for name in names if name in known)
        known = new


def test_only_multi_model_fleets_have_numbers() -> None:
    state = ProxyState({"r": 1, "m": 1}).with_servers(FLEET, RoutingStrategy.RANDOM, {"a": "/a"})
    assert state.seats[0].numbers == {}
    other = FleetId("clients", 2, "main")
    state = state.with_servers(other, BY_MODEL, {"a": "/a", "b": "/b"})
    assert (state.seats[1].slot, state.seats[1].numbers) == ("m0", {"a": 1, "b": 2})


def test_a_state_from_before_there_were_such_fleets_gets_slots_for_them() -> None:
    state = ProxyState({"r": 1, "l": 1}).with_servers(FLEET, BY_MODEL, {"a": "/a"})
    assert (state.slots, state.sizes["m"]) == ({FLEET: "m0"}, 8)
