"""Two rollouts side by side: their playback, and how many requests a bad version answered."""

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
import pytest

from tests.gateway_harness import GatewayHarness
from tidegate.console.computed_pages import ComputedPages, ComputePool
from tidegate.console.page_context import PageContext
from tidegate.features.rehearse import page as rehearsal_page
from tidegate.features.rehearse.computations import rehearse
from tidegate.features.rehearse.page_routes import page_routes
from tidegate.gateway.app import build_app

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def compared(**query: str) -> dict[str, Any]:
    form = rehearsal_page.form_values(query)
    forms = (form, rehearsal_page.second_form(form))
    outcomes: list[Any] = [rehearse(rehearsal_page.rehearsal_body(one), NOW) for one in forms]
    return rehearsal_page.compare(form, outcomes)


def test_a_careful_strategy_lets_a_bad_version_answer_fewer_requests() -> None:
    found = compared()
    linear, at_once = found["ways"]
    assert (linear["title"], at_once["title"]) == ("Linear", "All at once")
    assert [way["run"]["outcome"] for way in found["ways"]] == ["rolled back", "rolled back"]
    assert 0 < linear["blast"]["met"] < at_once["blast"]["met"]
    assert at_once["blast"]["met_part"] == 100
    assert linear["blast"]["harmed"] == pytest.approx(0.05 * linear["blast"]["met"], abs=1)
    assert found["verdict"].startswith("All at once let the bad version answer 4")


@pytest.mark.parametrize("fault", ["error-rate", "refusal-rate", "latency", "failed-start", ""])
def test_the_playback_comes_to_the_end_and_hardly_waits_for_instances(fault: str) -> None:
    found = compared(fault=fault)
    knots = found["knots"]
    assert knots[0] == (0.0, 0.0)
    assert knots[-1] == (rehearsal_page.POSITIONS, found["seconds"])
    assert knots == sorted(knots) and len({at for _, at in knots}) == len(knots)
    shifted = [moment["at"] for way in found["ways"] for moment in way["moments"] if moment["share"]]
    if shifted:
        position = next(position for position, at in knots if at >= min(shifted))
        assert position <= rehearsal_page.POSITIONS * rehearsal_page.START_PART + 0.01


def test_what_is_drawn_goes_on_until_a_fleet_is_gone() -> None:
    """It used to end when traffic was back, or when the new version had passed."""
    for fault, gone in (("error-rate", "new"), ("", "old")):
        last = compared(fault=fault)["ways"][0]["moments"][-1]
        assert (last["phase"], last[gone]) == ("RolledBack" if fault else "Succeeded", 0)


def test_both_may_be_the_same_and_nothing_is_said_of_good_versions() -> None:
    same = compared(strategy2="linear", size2="25%")
    assert same["verdict"] == "Both let the bad version answer as many requests."
    assert compared(fault="")["verdict"] == "" and compared(fault="")["harm"] == ""


def test_the_second_strategy_is_another_one_unless_somebody_says_so() -> None:
    assert rehearsal_page.form_values({"strategy": "all_at_once"})["strategy2"] == "linear"
    assert rehearsal_page.form_values({"strategy": "all_at_once", "strategy2": "all_at_once"})["strategy2"] == (
        "all_at_once"
    )


def test_without_a_moment_there_is_still_a_playback() -> None:
    assert rehearsal_page.make_knots([[]]) == [(0.0, 0.0)]
    assert rehearsal_page.make_knots([[{"at": 0.0, "share": 0}]]) == [(0.0, 0.0)]


@pytest.mark.parametrize(("strategy", "key"), [("canary", "size"), ("linear", "step"), ("rolling", "batch")])
def test_a_form_becomes_a_spec(strategy: str, key: str) -> None:
    form = rehearsal_page.form_values({"strategy": strategy, "size": "20%"})
    assert rehearsal_page.build_spec(form)["rollout"][key] == "20%"


def test_a_fault_brings_an_amount_of_its_own_kind() -> None:
    assert rehearsal_page.form_values({"fault": "latency", "amount": "5%"})["amount"] == "+80ms"
    assert rehearsal_page.rehearsal_body(rehearsal_page.form_values({"fault": ""}))["faults"] == []


class InThisProcess(ComputePool):
    """Computes at once, without a limit of time."""

    async def compute(self, simulation: Any, data: Any, now: datetime) -> Any:
        return json.loads(json.dumps(simulation(data, now)))


async def test_the_page_shows_all_three_parts_and_the_former_address_leads_to_it() -> None:
    house = GatewayHarness()
    context = PageContext(house.gateway, {}, warm=False)
    context.computed = ComputedPages(InThisProcess())
    transport = httpx.ASGITransport(build_app(house.gateway, page_routes(context)))
    async with httpx.AsyncClient(transport=transport, base_url=house.settings.url, timeout=120) as client:
        moved = await client.get("/console/traffic?strategy=canary&size=10%25")
        shown = await client.get("/console/rehearse", params={"wait": "1m", "wait2": "1m", "figures": "yes"})
        plain = await client.get("/console/rehearse", params={"wait": "1m", "wait2": "1m"})
    await house.store.close()
    assert (moved.status_code, moved.headers["location"]) == (308, "/console/rehearse?strategy=canary&size=10%25")
    assert shown.status_code == 200
    for part in ("Blast radius", "detected in the first bake, computed", "Good versions rolled back, of 20 runs"):
        assert part in shown.text
    assert "Good versions" not in plain.text and "wait=1m&amp;strategy2=all_at_once" in plain.text
    assert "figures=yes" in plain.text, "the link that has them computed"
