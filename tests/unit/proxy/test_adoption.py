"""What a restarted controller takes over, from a file that may be old or damaged and a proxy that runs."""

import json
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.proxy.test_config import OPTIONS, canary, models, queued
from tidegate.domain.admission import DEFAULT_ADMISSION, Admission, Quotas, TokenBucket
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import Route, RouteTable, build_route_table
from tidegate.proxy import adoption, config
from tidegate.proxy.runtime import ProxySnapshot, ServerStatus
from tidegate.proxy.state import UNKNOWN_PATH, ProxyState

SIZES = {"r": 3, "m": 2}
WAYS = {"e": RoutingStrategy.RANDOM, "m": RoutingStrategy.BY_MODEL, "q": RoutingStrategy.QUEUED}
ADMISSIONS = [DEFAULT_ADMISSION, Admission(5, 2.5), Admission(quotas=Quotas(TokenBucket(1, 1), "x-tenant"))]

Step = tuple[str, str, int, frozenset[str], int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["servers", "servers", "routes", "drop"]),
        st.sampled_from(sorted(WAYS)),
        st.integers(1, 3),
        st.frozensets(st.sampled_from("abc"), min_size=1),
        st.integers(0, 10_000),
    ),
    max_size=12,
)


def run(state: ProxyState, steps: Sequence[Step], fence: int = 0) -> ProxyState:
    for number, (what, endpoint, generation, servers, share) in enumerate(steps):
        fleet, old = FleetId(endpoint, generation, "blue"), state.table(endpoint)
        named = {route.fleet for route in old.routes} if old else set()
        if what == "servers":
            sockets = {name: f"/tmp/{name}" for name in sorted(servers)}
            state = state.with_servers(fleet, WAYS[endpoint], sockets, {}, {}, ADMISSIONS[generation % 3])
        elif what == "drop" and fleet not in named:
            state = state.without(fleet)
        elif what == "routes":
            there = sorted(one.generation for one in state.slots if one.endpoint == endpoint)[:2]
            shares = [share, 10_000 - share] if len(there) == 2 else [10_000]
            sides = [(one, part, {"blue": 1.0}) for one, part in zip(there, shares, strict=False)]
            state = state.with_table(build_route_table(endpoint, fence + number, sides))
    return state


def show(state: ProxyState) -> ProxySnapshot:
    """What a HAProxy shows that was told all of it."""
    servers: dict[str, dict[str, ServerStatus]] = {
        f"{pool}{number}": {} for pool, size in state.sizes.items() for number in range(size)
    }
    for seat in state.seats:
        servers[seat.slot] = {
            name: ServerStatus(name, "UP", 0, seat.numbers.get(name, number), seat.limits.get(name))
            for number, name in enumerate(seat.servers, 1)
        }
    lines = [line.split() for line in config.render_map(state).splitlines()]
    fleets = {str(fleet): slot for fleet, slot in state.slots.items()}
    return ProxySnapshot(servers, fleets, {key: value for key, value in lines})


def by_name(state: ProxyState) -> dict[str, RouteTable]:
    return {build_route_table.endpoint: build_route_table for build_route_table in state.tables}


@given(STEPS)
def test_a_file_that_is_right_stays_as_it_is(steps: list[Step]) -> None:
    state = run(ProxyState(dict(SIZES)), steps)
    found = adoption.adopt(state, show(state), SIZES)
    assert {seat.fleet: seat for seat in found.seats} == {seat.fleet: seat for seat in state.seats}
    assert by_name(found) == by_name(state)
    assert (found.sizes, found.queues, found.headers) == (state.sizes, state.queues, state.headers)


@given(STEPS, STEPS)
def test_running_proxy_overrides_an_outdated_file(before: list[Step], after: list[Step]) -> None:
    old = run(ProxyState(dict(SIZES)), before)
    new = run(old, after, fence=len(before))
    found = adoption.adopt(old, show(new), SIZES)
    assert found.slots == new.slots
    for seat in found.seats:
        wanted, before_it = new.seat(seat.fleet), old.seat(seat.fleet)
        assert wanted is not None
        known = before_it.servers if before_it is not None else {}
        assert wanted.servers.keys() <= seat.servers.keys() <= wanted.servers.keys() | known.keys()
    assert {name: one.fence for name, one in by_name(found).items() if name in by_name(new)} == {
        name: one.fence for name, one in by_name(new).items()
    }
    assert set(show(new).routes.items()) <= set(show(found).routes.items())
    config.render(found, replace(OPTIONS, headers=found.headers))


@given(STEPS)
def test_without_a_file_the_proxy_provides_all_but_socket_paths(steps: list[Step]) -> None:
    state = run(ProxyState(dict(SIZES)), steps)
    found = adoption.adopt(adoption.empty_state("not known"), show(state), SIZES)
    assert found.slots == state.slots
    assert config.render_map(found) == config.render_map(state)
    assert set(found.unknown) == {seat.fleet for seat in state.seats if seat.servers}
    for seat in found.seats:
        known = state.seat(seat.fleet)
        assert known is not None
        assert seat.servers == dict.fromkeys(known.servers, UNKNOWN_PATH)
        assert seat.numbers == known.numbers
    text = config.render(found, OPTIONS)[config.CONFIG]
    assert "unix@ " not in text
    again = run(found, steps, fence=len(steps))
    config.render(again, replace(OPTIONS, headers=again.headers))


def test_a_slot_whose_fleet_was_dropped_is_emptied_first() -> None:
    state = canary()
    left = replace(
        show(state), fleets={"fraud/2/blue": "l0"}, routes={"/endpoints/fraud/invocations": "fraud|13|l0"}
    )
    found = adoption.adopt(state, left, {})
    assert (set(found.slots.values()), found.emptying) == ({"l0"}, ("r0",))
    assert found.tables == (RouteTable("fraud", 13, (Route(FleetId("fraud", 2, "blue"), 10_000),)),)


def test_a_server_that_drains_is_not_wanted_and_one_not_yet_there_is() -> None:
    state, there = canary(), show(canary())
    servers = there.servers | {
        "r0": {"r-1": ServerStatus("r-1", "DRAIN", 3), "new": ServerStatus("new", "UP 1/3", 0)}
    }
    found = adoption.adopt(state, replace(there, servers=servers), {}).seat(FleetId("fraud", 1, "blue"))
    assert found is not None
    assert found.servers == {"r-2": "/tmp/t/r-2.sock", "new": UNKNOWN_PATH}


@pytest.mark.parametrize(
    "shown",
    [
        ProxySnapshot({"r0": {}}, {"no fleet": "r0", "a/b/c": "r0", "fraud/1/blue": "r9", "-/1/x": "r0"}, {}),
        ProxySnapshot({"r0": {}}, {"a/1/x": "r0", "a/2/x": "r0"}, {}),
        ProxySnapshot(
            {"r0": {}}, {}, {"/endpoints/a/invocations": "a|1|r0", "/x": "", "/endpoints/b/invocations": "b|x|r0"}
        ),
        ProxySnapshot({}, {}, {}),
    ],
)
def test_impossible_fleets_and_slots_are_ignored(shown: ProxySnapshot) -> None:
    found = adoption.adopt(canary(), shown, SIZES)
    assert len(found.seats) <= 1
    assert found.tables == ()
    config.render(found, OPTIONS)


WHOLE = [canary(), models(), queued(), run(ProxyState(dict(SIZES)), [("servers", "e", 2, frozenset("ab"), 0)])]
DAMAGED = [
    b"",
    b"\0" * 512,
    b"{",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"sizes": {"r": "many"}}',
    b'{"sizes": {"r": -1}}',
    b'{"sizes": {"r": 1e300}}',
    b'{"sizes": {"r": 999999999999}}',
    b'{"sizes": {"r": 1}, "seats": {}}',
    b'{"sizes": {"r": 1}, "emptying": ["r7"]}',
    b'{"sizes": {"r": 1}, "headers": ["x\\ninjected"]}',
    b'{"sizes": {"r": 1}, "tables": [{"endpoint": "e", "fence": 1, "routes": '
    b'[{"fleet": {"endpoint": "e", "generation": 1, "variant": "x"}, "share": 10000}]}]}',
    b'{"sizes": {"r": 1}, "seats": [{"fleet": {"endpoint": "e\\n", "generation": 1, "variant": "x"}, "slot": "r0"}]}',
    b'{"sizes": {"r": 1}, "seats": [{"fleet": {"endpoint": "e", "generation": 1, "variant": "x"}, "slot": "r0",'
    b' "servers": {"a": "/tmp/a b"}}]}',
]


@pytest.mark.parametrize("data", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_file_is_ignored(data: bytes) -> None:
    with pytest.raises(Invalid):
        adoption.decode(data, OPTIONS)


@pytest.mark.parametrize("state", WHOLE)
@given(data=st.data())
def test_a_file_with_any_damage_is_refused_or_harmless(state: ProxyState, data: st.DataObject) -> None:
    text = msgspec.json.encode(state)
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 40)))
    hurt = text[:at] + data.draw(st.binary(max_size=6)) + text[end:]
    try:
        found = adoption.decode(hurt, OPTIONS)
    except Invalid:
        return
    config.render(found, OPTIONS)


@pytest.mark.parametrize("state", WHOLE)
def test_complete_file_with_trailing_blanks_is_accepted(state: ProxyState) -> None:
    assert adoption.decode(msgspec.json.encode(state) + b"\n" * 100, OPTIONS) == state


def test_file_of_an_older_version_is_accepted() -> None:
    """It lacks what came later, and has what is gone."""
    old = json.loads(msgspec.json.encode(canary()))
    del old["queues"], old["headers"]
    for seat in old["seats"]:
        del seat["numbers"], seat["limits"], seat["admission"]
    found = adoption.decode(json.dumps(old | {"revision": 7}).encode(), OPTIONS)
    assert found == canary()
