"""The status document says which replica has which device."""

from tests.unit.service.needy_versions import configure
from tests.unit.service.test_deploy import START
from tidegate.cli.draw import fleet_table
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.service.endpoints import UpdateRequest, create_endpoint, get_endpoint
from tidegate.service.views import endpoint_view
from tidegate.testing.memory_store import MemoryTx


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
