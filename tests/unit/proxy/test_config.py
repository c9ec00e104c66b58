"""The configuration as text, against files that a person has read. Write them anew with TIDEGATE_GOLDEN=write."""

import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.domain.errors import StartupError
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import build_route_table
from tidegate.proxy.cold_start_hold import SCRIPT
from tidegate.proxy.config import render
from tidegate.proxy.options import MAX_CONNECTIONS, Options, most_connections
from tidegate.proxy.state import ProxyState

GOLDEN = Path(__file__).parent / "golden"
OPTIONS = Options(
    host="127.0.0.1",
    port=8471,
    controller="/tmp/t/controller.sock",
    admin="/tmp/t/haproxy.sock",
    max_body=26_214_400,
    timeout=60,
    region="us-east-1",
    account="000000000000",
    signed=False,
    max_connections=20_000,
    threads=1,
    copies="/tmp/t/copies.sock",
    queued="/tmp/t/queued.sock",
    wakes="/tmp/t/wake.sock",
    peers="/tmp/t/peers.sock",
    successor="/tmp/t/successor.sock",
)
BLUE, GREEN = FleetId("fraud", 1, "blue"), FleetId("fraud", 2, "blue")


def canary() -> ProxyState:
    """One endpoint with a tenth of its requests on a new fleet."""
    state = ProxyState({"l": 1, "r": 2})
    state = state.with_servers(BLUE, RoutingStrategy.RANDOM, {"r-1": "/tmp/t/r-1.sock", "r-2": "/tmp/t/r-2.sock"})
    least = RoutingStrategy.LEAST_OUTSTANDING_REQUESTS
    state = state.with_servers(GREEN, least, {"r-3": "/tmp/t/r-3.sock"})
    return state.with_table(build_route_table("fraud", 12, [(1, 9_000, {"blue": 1.0}), (2, 1_000, {"blue": 1.0})]))


def models() -> ProxyState:
    """A multi-model fleet whose first instance was replaced by a later one."""
    by_model = RoutingStrategy.BY_MODEL
    state = ProxyState({"m": 1}).with_servers(BLUE, by_model, {"r-1": "/tmp/t/r-1.sock", "r-2": "/tmp/t/r-2.sock"})
    state = state.with_servers(BLUE, by_model, {"r-2": "/tmp/t/r-2.sock", "r-3": "/tmp/t/r-3.sock"})
    return state.with_table(build_route_table("fraud", 3, [(1, 10_000, {"blue": 1.0})]))


def queued() -> ProxyState:
    """An asynchronous endpoint of two instances."""
    servers = {"r-1": "/tmp/t/r-1.sock", "r-2": "/tmp/t/r-2.sock"}
    state = ProxyState({"q": 2}).with_servers(BLUE, RoutingStrategy.QUEUED, servers)
    return state.with_table(build_route_table("fraud", 3, [(1, 10_000, {"blue": 1.0})]))


def on_demand() -> ProxyState:
    """A serverless fleet with two replicas and one that is asleep."""
    state = ProxyState({"s": 2})
    servers = {"r-1": "/tmp/t/r-1.sock", "r-2": "/tmp/t/r-2.sock"}
    state = state.with_servers(BLUE, RoutingStrategy.ON_DEMAND, servers, limits={"r-1": 8, "r-2": 7})
    return state.with_servers(GREEN, RoutingStrategy.ON_DEMAND, {})


CASES = {
    "queued": (queued(), OPTIONS),
    "on_demand": (on_demand(), OPTIONS),
    "models": (models(), OPTIONS),
    "empty": (ProxyState({"l": 0, "r": 1}), OPTIONS),
    "canary": (canary(), OPTIONS),
    "signed": (ProxyState({"l": 0, "r": 0}), replace(OPTIONS, host="::", signed=True, threads=2)),
}


@pytest.mark.parametrize("name", CASES)
def test_rendered_files_match_the_golden_files(name: str) -> None:
    for file, text in render(*CASES[name]).items():
        golden = GOLDEN / (file if file == SCRIPT else f"{name}.{file}")  # the script is one for all
        if os.environ.get("TIDEGATE_GOLDEN") == "write":
            golden.write_text(text)
        assert text == golden.read_text(), f"{golden} differs; if that is meant, write it anew"


def test_lines_are_short_enough_for_haproxy() -> None:
    config = render(canary(), OPTIONS)["haproxy.cfg"]
    assert max(len(line) for line in config.splitlines()) < 2048


@pytest.mark.parametrize("field", ["host", "controller", "admin", "region", "account"])
@pytest.mark.parametrize(
    "text", ["a b", "a\nbackend x", "a'", 'a"', "a;b", "%[env(HOME)]", "a#b", "a\\b", "$HOME"]
)
def test_text_that_means_something_to_haproxy_is_refused(field: str, text: str) -> None:
    with pytest.raises(StartupError, match="is not allowed in the proxy's configuration"):
        render(ProxyState({}), replace(OPTIONS, **{field: text}))  # type: ignore[arg-type]


# What HAProxy is told follows from what the machine allows.


@pytest.mark.parametrize(("files", "replicas"), [(4_096, 500), (20_000, 3_000), (65_536, 10_000)])
def test_clients_leave_files_for_the_checks_of_many_replicas(files: int, replicas: int) -> None:
    assert 0 < 2 * most_connections(files) + replicas + 200 <= files


def test_there_is_a_limit_where_the_machine_has_none() -> None:
    assert most_connections(resource.RLIM_INFINITY) == most_connections(1_000_000) == MAX_CONNECTIONS
