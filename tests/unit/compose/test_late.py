"""Pages and the planner are imported at the first request for one of them, and answer as if they had always been."""

import asyncio
import threading
import time
from datetime import timedelta

import httpx
import pytest

from tests.gateway_harness import GatewayHarness, late_pages
from tidegate.compose import late
from tidegate.compose.late import FIRST, FURTHER, LateRoutes
from tidegate.domain.errors import Invalid
from tidegate.domain.live_run import LiveRun
from tidegate.gateway.app import build_app
from tidegate.host import late_import
from tidegate.service import live_runs


def test_every_late_path_has_its_route_with_its_methods() -> None:
    real = late_pages(GatewayHarness().gateway)
    found: dict[str, set[str]] = {}
    for route in real:
        found.setdefault(route.path, set()).update(route.methods or ())
    assert {path: methods - {"HEAD"} for path, methods in found.items()} == {
        path: set(methods) for path, methods in {**FIRST, **FURTHER}.items()
    }


def test_late_routes_answer_also_when_several_are_the_first() -> None:
    house = GatewayHarness()

    async def ask() -> list[httpx.Response]:
        app = build_app(house.gateway, LateRoutes(house.gateway, {}).routes)
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


WHILE_IMPORTING = ("/console/users", "/console/waiting", "/console/static/console.css", "/console")


def test_a_browser_does_not_wait_for_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only somebody who may read pages is told to wait."""
    house, goes_on = GatewayHarness(), threading.Event()
    real = late_import.load

    def slow(module: str, name: str) -> object:
        if name == "further_routes":
            goes_on.wait(300)
            return lambda *rest, warm=False: real(module, name)(*rest)  # nothing is computed ahead here
        return real(module, name)

    monkeypatch.setattr(late, "load", slow)
    browser = {"accept": "text/html"}

    async def ask() -> list[httpx.Response]:
        app = build_app(house.gateway, LateRoutes(house.gateway, {}).routes)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8471"
        ) as client:
            first = [await client.get(path, headers=browser) for path in WHILE_IMPORTING]
            asked = asyncio.ensure_future(client.get("/console/users"))
            goes_on.set()
            found = [*first, await asked, await client.get("/console/users", headers=browser)]
            await house.store.close()
            return found

    waiting, nothing, style, listed, script, page = asyncio.run(ask())
    assert (style.status_code, listed.status_code) == (200, 200)
    assert waiting.status_code == 200 and "data-waiting" in waiting.text
    assert waiting.headers["cache-control"] == "no-store"
    assert nothing.status_code == 404
    assert script.status_code == 200 and "data-waiting" not in script.text + page.text


def test_who_may_not_read_is_not_told_to_wait_but_sent_to_the_login() -> None:
    house = GatewayHarness(people=True)

    async def ask() -> httpx.Response:
        app = build_app(house.gateway, LateRoutes(house.gateway, {}).routes)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8471"
        ) as client:
            found = await client.get("/console/overview", headers={"accept": "text/html"})
            await house.store.close()
            return found

    assert asyncio.run(ask()).status_code == 303


def test_an_import_that_fails_is_told_and_not_waited_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    house = GatewayHarness()
    real = late_import.load

    def broken(module: str, name: str) -> object:
        if name == "further_routes":
            time.sleep(2 * late.PATIENCE)
            raise Invalid("a package is missing")
        return real(module, name)

    monkeypatch.setattr(late, "load", broken)
    browser = {"accept": "text/html"}

    async def ask() -> list[httpx.Response]:
        app = build_app(house.gateway, LateRoutes(house.gateway, {}).routes)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8471"
        ) as client:
            found = [await client.get("/console/users", headers=browser), await client.get("/console/users")]
            found.append(await client.get("/console/users", headers=browser))
            await house.store.close()
            return found

    waiting, script, page = asyncio.run(ask())
    assert waiting.status_code == 200 and "data-waiting" in waiting.text
    assert script.status_code == 400
    assert page.status_code == 400 and "a package is missing" in page.text


@pytest.mark.parametrize("error", [ImportError("no module"), Invalid("a package is missing")])
def test_a_server_starts_also_where_its_live_runs_cannot_be_gone_on_with(
    error: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(module: str, name: str) -> object:
        raise error

    async def ask() -> None:
        house = GatewayHarness()
        now = house.clock.now()
        run = LiveRun("lab", "lab-1", "shown", "ann", now, now + timedelta(hours=1))
        await house.store.run(lambda tx: live_runs.begin(tx, run))
        monkeypatch.setattr(late, "load", broken)
        await late.go_on_with_live_runs(house.store, LateRoutes(house.gateway, {}))
        await house.store.close()

    asyncio.run(ask())
    assert "left open" in caplog.text
