"""The status document shows the share in force beside the requested one, and what is wrong, only where it differs."""

from dataclasses import replace
from typing import Any

from tests.memory_store import MemoryTx
from tests.samples import canary, instances, version
from tests.unit.service.needy_versions import configure
from tests.unit.service.test_deploy import START
from tidegate.cli.describe_rollout import format_share
from tidegate.cli.draw import fleet_table
from tidegate.console.endpoint_rows import describe_state
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands, desired_state
from tidegate.service.endpoints import UpdateRequest, create_endpoint, get_endpoint
from tidegate.service.views import endpoint_view
from tidegate.simulation.world import World


def baking() -> World:
    plan = canary(instances(1), 600, 300)
    return make_updating_world(version("v1", 2), version("v2", 2), plan, script=()).run(150)


def record(world: World) -> Endpoint:
    assert world.record is not None
    return world.record


def shown(endpoint: Endpoint, seen: Observation | None) -> dict[str, Any]:
    return {**endpoint_view(endpoint, seen, ()), "scaling": []}


def test_shares_are_those_in_force_and_the_requested_ones_stand_beside_them() -> None:
    world = baking()
    seen = world.look()
    document = shown(record(world), seen)
    assert not any("requested" in fleet for fleet in document["fleets"])
    back = desired_state.route(commands.abort(record(world), "ann", world.instant()), 0)
    blind = replace(seen, routes=None, confirmed=seen.routes)
    document = shown(back, blind)
    assert [format_share(fleet["share"], fleet) for fleet in document["fleets"]] == [
        "50 %, 100 % requested",
        "50 %, 0 % requested",
    ]
    share = document["rollout"]["share"]
    assert (share["now"], share["requested"], share["confirmed"]) == (50.0, 0.0, True)
    document = shown(back, replace(blind, confirmed=None))
    assert format_share(document["fleets"][1]["share"], document["fleets"][1]) == "unknown, 0 % requested"


def test_what_is_wrong_is_in_the_sentence_of_the_status() -> None:
    world = baking()
    seen = world.look()
    assert "notes" not in shown(record(world), seen)
    assert seen.fleets is not None
    old, new = sorted(seen.fleets)
    fleets = {
        old: replace(seen.fleets[old], missing=("Secret x",)),
        new: replace(seen.fleets[new], problem="replica a: no node for it"),
    }
    document = shown(record(world), replace(seen, fleets=fleets, troubles=("gateway g does not answer",)))
    assert document["notes"] == [
        f"fleet {old}: missing, and being restored: Secret x",
        f"fleet {new}: replica a: no node for it",
        "gateway g does not answer",
    ]
    assert all(note in document["why"] for note in document["notes"])
    assert [fleet["problem"] for fleet in document["fleets"]] == [
        "missing, and being restored: Secret x",
        "replica a: no node for it",
    ]
    at_rest = {**document, "rollout": None, "status": "InService", "failure_reason": None}
    assert "gateway g does not answer" in describe_state(at_rest)


# The status document says which replica has which device.


def test_devices_are_shown_by_replica() -> None:
    tx = MemoryTx()
    config, _ = configure(tx, "devices")
    create_endpoint(tx, "e", UpdateRequest(config), {}, rollout_id="r", can=Capabilities(), now=START)
    endpoint = get_endpoint(tx, "e").body
    assert endpoint.rollout is not None
    id = FleetId("e", endpoint.rollout.new.generation, "v")
    seen = Observation({id: FleetStatus(id, 1, 1, devices=(("r-1", ("fake0", "fake1")),))}, None)
    document = endpoint_view(endpoint, seen, [])
    fleets = document["fleets"]
    assert isinstance(fleets, list)
    assert [one["devices"] for one in fleets] == [{"r-1": ["fake0", "fake1"]}]
    lines = [line.plain for line in fleet_table(document, []).lines(100, wrap=True)]
    assert "  r-1 on fake0, fake1" in lines
    unseen = endpoint_view(endpoint, None, [])["fleets"]
    assert isinstance(unseen, list) and [one["devices"] for one in unseen] == [{}]
