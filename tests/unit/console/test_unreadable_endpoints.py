"""An endpoint whose record cannot be read, on the console and by the native API."""

from datetime import UTC, datetime
from pathlib import Path

import httpx

from tests.gateway_harness import GatewayHarness, late_pages
from tests.samples import version
from tidegate.domain.endpoint import UNREADABLE, Endpoint
from tidegate.gateway.app import build_app
from tidegate.ports.store import Kind, Tx
from tidegate.service.record_kinds import ENDPOINT
from tidegate.settings import Settings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def plant(tx: Tx) -> None:
    tx.put(ENDPOINT, "good", Endpoint("good", NOW, NOW, serving=version("v1")), expect=0, now=NOW)
    tx.put(Kind(ENDPOINT.name, object), "bad", "what a later version wrote", expect=0, now=NOW)


async def test_it_is_in_the_list_with_its_state_and_hides_no_other(tmp_path: Path) -> None:
    house = GatewayHarness(Settings(state=tmp_path))
    await house.store.run(plant)
    app = build_app(house.gateway, late_pages(house.gateway))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8471") as client:
        found = (await client.get("/tidegate/v1/endpoints")).json()["endpoints"]
        assert [(one["name"], one["status"]) for one in found] == [("bad", UNREADABLE), ("good", "InService")]
        assert found[0].keys() == found[1].keys()
        assert "endpoint 'bad' in the database cannot be read" in found[0]["why"]
        page = await client.get("/console", headers={"accept": "text/html"}, follow_redirects=True)
        assert page.status_code == 200
        for shown in ("good", "bad", UNREADABLE):
            assert shown in page.text
        one = await client.get("/tidegate/v1/endpoints/bad")
        assert one.status_code == 500 and "cannot be read" in one.json()["error"]["message"]
        opened = await client.get("/console/palette", params={"q": ""})
        assert opened.status_code == 200 and opened.json()["entries"]
        drift = await client.get("/console/palette", params={"q": "good drift"})
        assert [one["title"] for one in drift.json()["entries"]] == ["good: Drift"]
    await house.store.close()
