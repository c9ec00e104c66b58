"""What pages compute is computed once; a browser is told to wait, and is never left waiting."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from tests.gateway_harness import GatewayHarness
from tidegate.console.rendering import load_catalogue
from tidegate.domain.errors import Invalid, Unavailable
from tidegate.features.lessons import computed, pages
from tidegate.features.lessons.computed import MAX_KEPT, MAX_PENDING, ComputedPages, StillComputing
from tidegate.features.lessons.page_work import PAGE_WORK, first_simulations, first_views
from tidegate.features.rehearse.compute_api import ComputePool
from tidegate.gateway.app import build_app
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()


def asked_by(accept: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": [(b"accept", accept.encode())]})


BROWSER, SCRIPT = asked_by("text/html"), asked_by("*/*")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], ComputedPages]:
    """Puts a function in the place of a page's."""

    def replace(function: Callable[..., Any]) -> ComputedPages:
        monkeypatch.setattr(computed, "PAGE_WORK", {"page": function})
        return ComputedPages(ComputePool())

    return replace


async def test_a_browser_is_told_to_wait_and_finds_the_result_when_it_comes_back(work: Any) -> None:
    goes_on, ran = threading.Event(), list[str]()

    def slow(query: Any, catalogue: Any) -> str:
        ran.append("page")
        goes_on.wait(300)
        return "figures"

    pages = work(slow)
    with pytest.raises(StillComputing):
        await pages.work_out(BROWSER, "page", {"a": "b"}, CATALOGUE)
    waiting = asyncio.ensure_future(pages.work_out(SCRIPT, "page", {"a": "b"}, CATALOGUE))
    goes_on.set()
    assert await waiting == "figures"
    assert await pages.work_out(BROWSER, "page", {"a": "b"}, CATALOGUE) == "figures"
    assert ran == ["page"]


async def test_other_answers_or_other_prices_are_another_result(work: Any) -> None:
    pages = work(lambda query, catalogue: (dict(query), id(catalogue)))
    other = Catalogue.load()
    found = [
        await pages.work_out(SCRIPT, "page", query, prices)
        for query in ({}, {"a": "b"}, {"a": "c"})
        for prices in (CATALOGUE, other)
    ]
    assert len({str(one) for one in found}) == 6


async def test_a_failure_is_shown_once_to_the_browser_that_waited_and_then_tried_again(work: Any) -> None:
    ran = list[int]()

    def fail(query: Any, catalogue: Any) -> None:
        ran.append(1)
        raise Invalid("no such thing")

    pages = work(fail)
    with pytest.raises(Invalid):
        await pages.work_out(SCRIPT, "page", {}, CATALOGUE)
    with pytest.raises(Invalid):
        await pages.work_out(BROWSER, "page", {}, CATALOGUE)
    assert len(ran) == 1
    with pytest.raises(Invalid):
        await pages.work_out(SCRIPT, "page", {}, CATALOGUE)
    assert len(ran) == 2


async def test_results_are_bounded_and_the_latest_are_kept(work: Any) -> None:
    ran = list[str]()

    def count(query: Any, catalogue: Any) -> str:
        ran.append(query["n"])
        return str(query["n"])

    pages = work(count)
    for number in range(MAX_KEPT + 5):
        await pages.work_out(SCRIPT, "page", {"n": str(number)}, CATALOGUE)
    assert len(pages._kept) <= MAX_KEPT + 1
    await pages.work_out(SCRIPT, "page", {"n": str(MAX_KEPT + 4)}, CATALOGUE)
    assert len(ran) == MAX_KEPT + 5
    await pages.work_out(SCRIPT, "page", {"n": "0"}, CATALOGUE)
    assert len(ran) == MAX_KEPT + 6


async def test_more_than_so_many_at_a_time_are_refused_plainly(work: Any) -> None:
    goes_on = threading.Event()
    pages = work(lambda query, catalogue: goes_on.wait(300))
    asked = [
        asyncio.ensure_future(pages.work_out(SCRIPT, "page", {"n": str(number)}, CATALOGUE))
        for number in range(MAX_PENDING)
    ]
    await asyncio.sleep(0)
    while pages._pending < MAX_PENDING:
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="try again"):
        await pages.work_out(BROWSER, "page", {"n": "another"}, CATALOGUE)
    goes_on.set()
    assert all(await asyncio.gather(*asked))


@pytest.mark.parametrize("name", PAGE_WORK)
def test_results_are_the_same_after_a_way_through_json(name: str) -> None:
    """As those that are computed ahead are, in a process of their own."""
    query = {"example": "monthly-attrition"} if name in ("planner", "targets") else {}
    result = PAGE_WORK[name](query, CATALOGUE)
    assert json.loads(json.dumps(result)) == listed(result)


def listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: listed(one) for key, one in value.items()}
    return [listed(one) for one in value] if isinstance(value, list | tuple) else value


async def test_what_is_computed_ahead_is_there_for_the_first_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed, "first_views", lambda: [("planner", {"example": "monthly-attrition"})])
    monkeypatch.setattr(computed, "first_simulations", lambda: [("incident", first_simulations()[-1][1])])
    house = GatewayHarness()
    pages = ComputedPages(ComputePool())
    pages.begin_warming(house.gateway)
    assert pages._warming is not None
    await pages._warming
    monkeypatch.setattr(computed, "PAGE_WORK", {})
    monkeypatch.setattr(ComputePool, "compute", None)
    catalogue = await load_catalogue(house.gateway)
    made = await pages.work_out(BROWSER, "planner", {"example": "monthly-attrition"}, catalogue)
    assert made["plan"]["name"] == "monthly-attrition"
    what, body = first_simulations()[-1]
    assert await pages.simulate(BROWSER, what, body, house.clock.now())
    await house.store.close()


def test_every_page_of_the_story_that_computes_is_computed_ahead() -> None:
    assert {name for name, _ in first_views()} == set(PAGE_WORK)
    assert {what for what, _ in first_simulations()} == {"simulate", "drift", "peak", "update", "incident"}


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 40])
def test_a_server_that_stops_in_the_middle_of_it_does_not_wait_for_what_is_computed_ahead(turns: int) -> None:
    """Wherever it is: also while its process starts."""

    async def stop() -> ComputedPages:
        house, pages = GatewayHarness(), ComputedPages(ComputePool())
        await load_catalogue(house.gateway)
        pages.begin_warming(house.gateway)
        for _ in range(turns):
            await asyncio.sleep(0.001)
        await house.store.close()
        return pages

    pages = asyncio.run(stop())
    assert pages._warming is not None and pages._warming.cancelled()


def work_slowly(query: Any, catalogue: Any) -> dict[str, Any]:
    time.sleep(2 * computed.PATIENCE)
    return {"plan": {"name": "fraud", "file": "endpoint: fraud"}, "problem": None}


async def test_a_result_that_is_too_long_to_keep_is_waited_for(work: Any) -> None:
    """Others that come meanwhile must not make a browser that comes back wait again."""
    long = {"answers": "x" * computed.LONGEST_KEY}
    assert "plan" in await work(work_slowly).work_out(BROWSER, "page", long, CATALOGUE)


async def test_a_download_is_waited_for_since_a_page_that_waits_would_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(computed, "PAGE_WORK", {"planner": work_slowly})
    house = GatewayHarness()
    app = build_app(house.gateway, pages.routes(house.gateway, ComputedPages(ComputePool())))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8471") as client:
        found = await client.get("/console/planner/spec", headers={"accept": "text/html"})
    await house.store.close()
    assert (found.text, found.headers["content-type"].partition(";")[0]) == ("endpoint: fraud", "application/yaml")
