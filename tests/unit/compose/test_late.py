"""Pages and the planner are imported at the first request for one of them, and answer as if they had always been."""

import asyncio

import httpx

from tests.gateway_harness import GatewayHarness
from tidegate.compose.further_routes import further_routes
from tidegate.compose.late import PATHS, late_routes
from tidegate.console.live_runs.keeper import LiveRuns
from tidegate.gateway.app import build_app


def test_every_late_path_has_its_route_with_its_methods() -> None:
    gateway = GatewayHarness().gateway
    real = further_routes(gateway, {}, LiveRuns(gateway))
    found: dict[str, set[str]] = {}
    for route in real:
        found.setdefault(route.path, set()).update(route.methods or ())
    assert {path: methods - {"HEAD"} for path, methods in found.items()} == {
        path: set(methods) for path, methods in PATHS.items()
    }


def test_late_routes_answer_also_when_several_are_the_first() -> None:
    house = GatewayHarness()

    async def ask() -> list[httpx.Response]:
        app = build_app(house.gateway, late_routes(house.gateway, {}).routes)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8471"
        ) as client:
            paths = ("/console", "/console/static/console.css", "/tidegate/v1/plan", "/console/nowhere")
            answers = await asyncio.gather(*(client.get(path) for path in paths))
            refused = await client.post("/console/planner", content=b"")
            planned = await client.post("/tidegate/v1/plan", json={"example": "payroll-fraud"})
            await house.store.close()
            return [*answers, refused, planned]

    found = asyncio.run(ask())
    assert [answer.status_code for answer in found] == [200, 200, 200, 404, 405, 200]
    assert "<h1>" in found[0].text and found[5].json()["spec"]["endpoint"] == "payroll-fraud"
