"""The pages of an endpoint lead to each other, that of its models only where it has many."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from tests.gateway_harness import GatewayHarness
from tidegate.console import operate_pages
from tidegate.console.live_stream import open_streams
from tidegate.domain.endpoint import Endpoint
from tidegate.gateway.app import build_app
from tidegate.service.record_kinds import ENDPOINT
from tidegate.testing.samples import version

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def make_endpoint(many: bool) -> Endpoint:
    serving = version("c")
    (one,) = serving.variants
    if many:
        containers = tuple(replace(each, mode="MultiModel") for each in one.model.containers)
        one = replace(one, model=replace(one.model, containers=containers))
    return Endpoint("fraud", NOW, NOW, serving=replace(serving, variants=(one,)))


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("page", ["", "/history"])
async def test_the_tab_of_the_models_is_on_every_page_of_an_endpoint_of_many(many: bool, page: str) -> None:
    house = GatewayHarness()
    await house.store.run(lambda tx: tx.put(ENDPOINT, "fraud", make_endpoint(many), expect=0, now=NOW))
    app = build_app(house.gateway, operate_pages.routes(house.gateway, open_streams(house.gateway)))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=house.gateway.settings.url
    ) as client:
        answer = await client.get(f"/console/endpoints/fraud{page}", headers={"accept": "text/html"})
    await house.store.close()
    assert answer.status_code == 200
    assert ('<li><a href="/console/endpoints/fraud/models">Models</a></li>' in answer.text) is many
