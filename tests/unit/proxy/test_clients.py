"""Which version a client goes to: a number that no share changes, and the map value that the proxy reads it by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client_numbers import client_number
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import WHOLE, Stickiness, build_route_table
from tidegate.proxy.routes import encode_routes, parse_routes, parse_stickiness

OLD, NEW, BESIDE = FleetId("fraud", 1, "a"), FleetId("fraud", 2, "a"), FleetId("fraud", 2, "b")
SLOTS = {OLD: "r0", NEW: "r1", BESIDE: "r2", FleetId("fraud", 1, "b"): "r3"}
STICK = Stickiness("x-client", "c0ffee", 2_500)


def generation(client: str, share: int, weight: float) -> int:
    """The version that the proxy's rules choose: the last slot whose bound does not exceed the number."""
    weights = {"a": 1.0, "b": weight}
    table = build_route_table("fraud", 1, [(2, share, weights), (1, WHOLE - share, weights)], STICK)
    words = encode_routes(table, table.routes, SLOTS).split("|")[2:]
    number, slot = client_number(client, STICK.salt), words[0]
    for bound, following in zip(words[1::2], words[2::2], strict=True):
        slot = following if int(bound) <= number else slot
    return {slot: fleet.generation for fleet, slot in SLOTS.items()}[slot]


@given(st.text(max_size=40), st.lists(st.integers(1, WHOLE - 1), min_size=2, max_size=6), st.floats(0, 9))
def test_growing_the_share_never_moves_a_client_back_to_the_old_version(
    client: str, shares: list[int], weight: float
) -> None:
    seen = [generation(client, share, weight) for share in sorted(shares)]
    assert seen == sorted(seen)


def test_numbers_are_even_and_a_salt_draws_them_anew() -> None:
    names = [str(number) for number in range(20_000)]
    one, two = ([client_number(name, salt) < 1_000 for name in names] for salt in ("r1", "r2"))
    assert 1_800 < sum(one) < 2_200 and 1_800 < sum(two) < 2_200
    assert 120 < sum(a and b for a, b in zip(one, two, strict=True)) < 290


def test_a_value_says_by_what_clients_stay() -> None:
    table = build_route_table("fraud", 7, [(2, 5_000, {"a": 1.0}), (1, 5_000, {"a": 1.0})], STICK)
    text = encode_routes(table, table.routes, SLOTS)
    assert text == "fraud|7:x-client:c0ffee:2500|r1|5000|r0"
    assert parse_stickiness(text) == STICK
    assert parse_routes(text, {slot: fleet for fleet, slot in SLOTS.items()}) == (7, table.routes)


@pytest.mark.parametrize("stick", [Stickiness("x client", "a"), Stickiness("x:y", "a"), Stickiness("x", "a|b")])
def test_what_could_break_out_of_a_value_is_refused(stick: Stickiness) -> None:
    table = build_route_table("fraud", 7, [(2, 5_000, {"a": 1.0}), (1, 5_000, {"a": 1.0})], stick)
    with pytest.raises(TargetRefused, match="cannot stay on a version"):
        encode_routes(table, table.routes, SLOTS)
