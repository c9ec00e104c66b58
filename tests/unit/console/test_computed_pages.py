"""What pages compute is computed once; a browser is told to wait, and is never left waiting."""

import asyncio
import json
import sys
import threading
import time
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from tests.gateway_harness import GatewayHarness
from tidegate.console import computed_pages
from tidegate.console.computed_pages import (
    LONGEST_KEY,
    MAX_KEPT,
    MAX_PENDING,
    PATIENCE,
    ComputedPages,
    ComputePool,
    StillComputing,
)
from tidegate.console.page_context import PageContext
from tidegate.console.page_process import PageWork, list_first_work, name_function
from tidegate.console.rendering import load_catalogue
from tidegate.domain.errors import Invalid, Unavailable
from tidegate.features.lessons.catalogue import NAMES, SIMULATED, play
from tidegate.features.planner.page import show_plan
from tidegate.features.planner.page_routes import page_routes
from tidegate.features.rehearse.computations import rehearse
from tidegate.gateway.app import build_app
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()


def asked_by(accept: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": [(b"accept", accept.encode())]})


EXAMPLE = {"example": "monthly-attrition"}
AHEAD = """
from tidegate.console import page_process
found = page_process.list_first_work()
kept = ({"example": "monthly-attrition"}, {"lesson": "incident", "chosen": {}})
page_process.list_first_work = lambda: [one for one in found if one.data in kept]
page_process.main()
"""
"""The process that computes ahead, of two of its results."""
BROWSER, SCRIPT = asked_by("text/html"), asked_by("*/*")


async def test_a_browser_is_told_to_wait_and_finds_the_result_when_it_comes_back() -> None:
    goes_on, ran = threading.Event(), list[str]()

    def slow(query: Any, catalogue: Any) -> str:
        ran.append("page")
        goes_on.wait(300)
        return "figures"

    pages = ComputedPages(ComputePool())
    with pytest.raises(StillComputing):
        await pages.work_out(BROWSER, slow, {"a": "b"}, CATALOGUE)
    waiting = asyncio.ensure_future(pages.work_out(SCRIPT, slow, {"a": "b"}, CATALOGUE))
    goes_on.set()
    assert await waiting == "figures"
    assert await pages.work_out(BROWSER, slow, {"a": "b"}, CATALOGUE) == "figures"
    assert ran == ["page"]


async def test_other_answers_or_other_prices_are_another_result() -> None:
    def echo(query: Any, catalogue: Any) -> object:
        return dict(query), id(catalogue)

    pages = ComputedPages(ComputePool())
    other = Catalogue.load()
    found = [
        await pages.work_out(SCRIPT, echo, query, prices)
        for query in ({}, {"a": "b"}, {"a": "c"})
        for prices in (CATALOGUE, other)
    ]
    assert len({str(one) for one in found}) == 6


async def test_a_failure_is_shown_once_to_the_browser_that_waited_and_then_tried_again() -> None:
    ran = list[int]()

    def fail(query: Any, catalogue: Any) -> None:
        ran.append(1)
        raise Invalid("no such thing")

    pages = ComputedPages(ComputePool())
    with pytest.raises(Invalid):
        await pages.work_out(SCRIPT, fail, {}, CATALOGUE)
    with pytest.raises(Invalid):
        await pages.work_out(BROWSER, fail, {}, CATALOGUE)
    assert len(ran) == 1
    with pytest.raises(Invalid):
        await pages.work_out(SCRIPT, fail, {}, CATALOGUE)
    assert len(ran) == 2


async def test_results_are_bounded_and_the_latest_are_kept() -> None:
    ran = list[str]()

    def count(query: Any, catalogue: Any) -> str:
        ran.append(query["n"])
        return str(query["n"])

    pages = ComputedPages(ComputePool())
    for number in range(MAX_KEPT + 5):
        await pages.work_out(SCRIPT, count, {"n": str(number)}, CATALOGUE)
    assert len(pages._kept) <= MAX_KEPT + 1
    await pages.work_out(SCRIPT, count, {"n": str(MAX_KEPT + 4)}, CATALOGUE)
    assert len(ran) == MAX_KEPT + 5
    await pages.work_out(SCRIPT, count, {"n": "0"}, CATALOGUE)
    assert len(ran) == MAX_KEPT + 6


async def test_more_than_so_many_at_a_time_are_refused_plainly() -> None:
    goes_on = threading.Event()

    def wait(query: Any, catalogue: Any) -> bool:
        return goes_on.wait(300)

    pages = ComputedPages(ComputePool())
    asked = [
        asyncio.ensure_future(pages.work_out(SCRIPT, wait, {"n": str(number)}, CATALOGUE))
        for number in range(MAX_PENDING)
    ]
    await asyncio.sleep(0)
    while pages._pending < MAX_PENDING:
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="try again"):
        await pages.work_out(BROWSER, wait, {"n": "another"}, CATALOGUE)
    goes_on.set()
    assert all(await asyncio.gather(*asked))


PRICED = [one for one in list_first_work() if one.priced and not one.data]


@pytest.mark.parametrize("work", PRICED, ids=lambda work: name_function(work.function))
def test_results_are_the_same_after_a_way_through_json(work: PageWork) -> None:
    """As those that are computed ahead are, in a process of their own."""
    result = work.function(work.data, CATALOGUE)
    assert json.loads(json.dumps(result)) == listed(result)


def test_a_plan_is_the_same_after_a_way_through_json() -> None:
    plan = show_plan(EXAMPLE, CATALOGUE)
    assert plan["plan"] is not None and json.loads(json.dumps(plan)) == listed(plan)


def listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: listed(one) for key, one in value.items()}
    return [listed(one) for one in value] if isinstance(value, list | tuple) else value


async def test_what_is_computed_ahead_is_there_for_the_first_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed_pages, "PROCESS", (sys.executable, "-c", AHEAD))
    house = GatewayHarness()
    pages = ComputedPages(ComputePool())
    pages.begin_warming(house.gateway)
    assert pages._warming is not None
    await pages._warming
    monkeypatch.setattr(ComputePool, "compute", None)
    monkeypatch.setattr(ComputedPages, "_run", None)
    catalogue = await load_catalogue(house.gateway)
    made = await pages.work_out(BROWSER, show_plan, EXAMPLE, catalogue)
    assert made["plan"]["name"] == "monthly-attrition"
    incident = {"lesson": "incident", "chosen": {}}
    assert await pages.simulate(BROWSER, play, incident, house.clock.now())
    await house.store.close()


def test_every_page_of_the_story_that_computes_is_computed_ahead() -> None:
    work = list_first_work()
    assert [one.priced for one in work] == sorted((one.priced for one in work), reverse=True)
    assert {one.function for one in work if not one.priced} == {play, rehearse}
    assert {one.data["lesson"] for one in work if one.function is play} == {*NAMES, *SIMULATED} - {"lab"}
    asked = {name_function(one.function).rpartition(":")[2] for one in work if one.priced}
    assert asked == {
        *("architecture_examples", "architectures", "compared", "compute", "compute_figures"),
        *("mode_examples", "show_plan", "strategy_examples"),
    }


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
    time.sleep(2 * PATIENCE)
    return {"plan": {"name": "fraud", "file": "endpoint: fraud"}, "problem": None}


async def test_a_result_that_is_too_long_to_keep_is_waited_for() -> None:
    """Others that come meanwhile must not make a browser that comes back wait again."""
    long = {"answers": "x" * LONGEST_KEY}
    assert "plan" in await ComputedPages(ComputePool()).work_out(BROWSER, work_slowly, long, CATALOGUE)


async def test_a_download_is_waited_for_since_a_page_that_waits_would_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tidegate.features.planner.page.show_plan", work_slowly)
    house = GatewayHarness()
    app = build_app(house.gateway, page_routes(PageContext(house.gateway, {}, warm=False)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8471") as client:
        found = await client.get("/console/planner/spec", headers={"accept": "text/html"})
    await house.store.close()
    assert (found.text, found.headers["content-type"].partition(";")[0]) == ("endpoint: fraud", "application/yaml")
