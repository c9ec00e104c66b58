"""Pages and the planner are imported at the first request for one of them, and answer as if they had always been."""

import asyncio
import threading
import time
from datetime import timedelta

import httpx
import pytest

from tests.gateway_harness import GatewayHarness, late_pages
from tidegate.console import late_routes
from tidegate.console.late_routes import LateRoutes, page_groups
from tidegate.domain.errors import Invalid, Unavailable
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.run_records import LiveRun
from tidegate.gateway.app import build_app
from tidegate.host.features import load_reference


def test_every_late_path_has_its_route_with_its_methods() -> None:
    real = late_pages(GatewayHarness().gateway)
    found: dict[str, set[str]] = {}
    for route in real:
        found.setdefault(route.path, set()).update(route.methods or ())
    assert {path: methods - {"HEAD"} for path, methods in found.items()} == {
        path: set(methods) for group in page_groups() for path, methods in group.paths.items()
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
    real = load_reference

    def slow(reference: str) -> object:
        if reference.startswith("tidegate.features.access."):
            goes_on.wait(300)
        return real(reference)

    monkeypatch.setattr("tidegate.console.late_routes.load_reference", slow)
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


def test_who_is_not_signed_in_reaches_the_login_while_its_page_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page that waits would send them to the login again, and again."""
    house, goes_on = GatewayHarness(people=True), threading.Event()
    real = load_reference

    def slow(reference: str) -> object:
        if reference.startswith("tidegate.features.access."):
            goes_on.wait(3 * late_routes.PATIENCE)
        return real(reference)

    monkeypatch.setattr("tidegate.console.late_routes.load_reference", slow)

    async def ask() -> httpx.Response:
        app = build_app(house.gateway, LateRoutes(house.gateway, {}).routes)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8471"
        ) as client:
            found = await client.get("/console/login", headers={"accept": "text/html"})
            await house.store.close()
            return found

    answer = asyncio.run(ask())
    assert answer.status_code == 200 and "data-waiting" not in answer.text and "Sign in" in answer.text


def test_live_runs_are_resumed_if_the_store_does_not_say_whether_one_is_open() -> None:
    house = GatewayHarness()

    class Silent:
        async def read(self, work: object) -> object:
            raise Unavailable("the database does not answer")

    async def ask() -> list[str]:
        late = LateRoutes(house.gateway, {})
        await late_routes.resume_pages(Silent(), late)  # type: ignore[arg-type]
        await house.store.close()
        return [group.feature for group in late.groups if group.handlers]

    assert asyncio.run(ask()) == ["lessons"]


def test_an_import_that_fails_is_told_and_not_waited_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    house = GatewayHarness()
    real = load_reference

    def broken(reference: str) -> object:
        if reference.startswith("tidegate.features.access."):
            time.sleep(2 * late_routes.PATIENCE)
            raise Invalid("a package is missing")
        return real(reference)

    monkeypatch.setattr("tidegate.console.late_routes.load_reference", broken)
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
    def broken(reference: str) -> object:
        raise error

    async def ask() -> None:
        house = GatewayHarness()
        now = house.clock.now()
        run = LiveRun("lab", "lab-1", "shown", "ann", now, now + timedelta(hours=1))
        await house.store.run(lambda tx: live_runs.begin(tx, run))
        monkeypatch.setattr("tidegate.console.late_routes.load_reference", broken)
        await late_routes.resume_pages(house.store, LateRoutes(house.gateway, {}))
        await house.store.close()

    asyncio.run(ask())
    assert "cannot continue what an earlier process left open" in caplog.text
