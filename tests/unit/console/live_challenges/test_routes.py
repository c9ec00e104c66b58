"""The routes of the live challenges on a gateway in memory: who may start one, what is refused, what is left."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway_harness import GatewayHarness, late_pages
from tests.signed_in import House, code
from tidegate.domain.access import Access, Caller, Means, Role
from tidegate.domain.errors import Transient
from tidegate.domain.observation import Capabilities
from tidegate.domain.targets import LOCAL, TargetTable
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.live_challenges import driver
from tidegate.features.lessons.live_challenges.driver import AFTER_RESTART, ENDED_EARLY, LiveChallenges
from tidegate.features.lessons.live_runs.keeper import RIGHTS_GONE, LiveRuns
from tidegate.features.lessons.run_records import TAG
from tidegate.gateway.app import build_app
from tidegate.ports.store import Kind, Tx
from tidegate.service import endpoints
from tidegate.service import tags as labels
from tidegate.service.audit_trail import Doing
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.settings import Settings

PATH = "/tidegate/v1/challenges"
DANA = Caller("dana", Role.OPERATOR, Means.SESSION)


def act(state: Path, work: Callable[[House], Awaitable[None]], **context: Any) -> None:
    """``context``: members of the gateway's context that are other than usual."""

    async def whole() -> None:
        harness = GatewayHarness(Settings(state=state), people=True)
        usual = harness.gateway
        harness.__dict__["gateway"] = replace(usual, context=replace(usual.context, **context))
        try:
            await work(House(harness))
        finally:
            await harness.store.close()

    asyncio.run(whole())


async def list_records(house: House) -> list[str]:
    """Everything that a challenge could have made."""
    kinds: tuple[Kind[Any], ...] = (ENDPOINT, ALARM, CONFIG, MODEL)
    return await house.harness.store.run(
        lambda tx: [f"{kind.name} {saved.name}" for kind in kinds for saved in tx.find(kind).items]
    )


def test_an_operator_begins_one_on_an_endpoint_of_its_own_and_it_is_in_the_audit(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            answer = await browser.post(f"{PATH}/incident", json={"reason": "to see it"})
            told = answer.json()
            assert answer.status_code == 201 and (told["by"], told["verdict"]) == ("dana", None)
            tags = await house.harness.store.run(lambda tx: labels.read(tx, ENDPOINT, told["endpoint"]))
            assert tags == {TAG: told["run"]}
            assert told["endpoint"] in house.harness.kicked
        audit = await house.audit()
        assert ("dana", "challenge incident: deploy v1", "done") in audit
        assert ("dana", "POST /challenges/incident", "done") in audit

    act(tmp_path, work)


def test_a_viewer_may_look_and_start_nothing(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("sam", Role.VIEWER) as browser:
            for path in (f"{PATH}/drift", f"{PATH}/drift/stop"):
                assert (await browser.post(path, json={})).status_code == 403
            assert (await browser.get(f"{PATH}/drift")).json()["run"] is None
            page = (await browser.get("/console/challenges?show=drift")).text
            assert "takes the role operator" in page and "data-challenge=" not in page
        assert await list_records(house) == []

    act(tmp_path, work)


def test_one_at_a_time_whichever_it_is_also_when_two_press_at_once(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            asked = [browser.post(f"{PATH}/{name}", json={}) for name in ("update", "update", "peak")]
            answers = await asyncio.gather(*asked)
            assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
            refused = [answer for answer in answers if answer.status_code == 409]
            assert all("one at a time" in answer.json()["error"]["message"] for answer in refused)
            later = await browser.post(f"{PATH}/drift", json={})
            assert later.status_code == 409 and "is under way" in later.text
            page = (await browser.get("/console/challenges?show=drift")).text
            assert "Another one is under way" in page and ">Run it live" not in page

        def count(tx: Any) -> int:
            return len(tx.find(ENDPOINT).items)

        assert await house.harness.store.run(count) == 1

    act(tmp_path, work)


@pytest.mark.parametrize("name", ["nothing", "DRIFT", "%3Cscript%3E", "x" * 3_000, "drift%00"])
def test_a_challenge_that_there_is_not_is_not_found_by_any_route(tmp_path: Path, name: str) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            answers = [
                await browser.post(f"{PATH}/{name}", json={}),
                await browser.post(f"{PATH}/{name}/stop", json={}),
                await browser.get(f"{PATH}/{name}"),
                await browser.get(f"/console/challenges/{name}/live"),
            ]
            assert all(answer.status_code in (400, 404) for answer in answers), answers
        assert await list_records(house) == []

    act(tmp_path, work)


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"endpoint": "somebody-elses"}},
        {"json": {"rate": 1e9}},
        {"json": {"reason": "x" * 501}},
        {"json": {"reason": ["a"]}},
        {"json": {"by": "a\nb"}},
        {"json": []},
        {"content": b"\xff", "headers": {"content-type": "application/json"}},
        {"content": b"name=drift", "headers": {"content-type": "application/x-www-form-urlencoded"}},
    ],
)
def test_a_hostile_body_is_refused_and_makes_nothing(tmp_path: Path, sent: dict[str, Any]) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            answer = await browser.post(f"{PATH}/drift", **sent)
            assert (answer.status_code, code(answer)) == (400, "Invalid")
        assert await list_records(house) == []

    act(tmp_path, work)


async def expect_refusal(house: House, said: str, status: int = 409) -> None:
    async with house.signed_in("dana", Role.OPERATOR) as browser:
        answer = await browser.post(f"{PATH}/update", json={})
        assert answer.status_code == status and said in answer.json()["error"]["message"]
        assert await list_records(house) == []
        if status == 409:
            page = (await browser.get("/console/challenges?show=update")).text
            assert said in page.replace("&#39;", "'") and ">Run it live" not in page


def test_a_server_without_a_local_target_says_so_and_has_no_button(tmp_path: Path) -> None:
    elsewhere = TargetTable({"cluster": Capabilities()}, "cluster")
    act(tmp_path, lambda house: expect_refusal(house, "no local target"), targets=elsewhere)


def test_a_server_without_the_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "a_library_that_there_is_not")
    act(tmp_path, lambda house: expect_refusal(house, "pip install 'tidegate[xgboost]'"))


def test_without_room_for_its_instances_nothing_begins(tmp_path: Path) -> None:
    full = TargetTable({LOCAL: Capabilities(quotas={"local": 3})})
    act(tmp_path, lambda house: expect_refusal(house, "no room: it takes up to 4", 400), targets=full)


def test_a_stopped_one_is_ended_by_whoever_stopped_it_and_another_waits_for_its_removal(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            assert (await browser.post(f"{PATH}/peak/stop", json={})).status_code == 404
            await browser.post(f"{PATH}/peak", json={})
            told = (await browser.post(f"{PATH}/peak/stop", json={})).json()
            assert (told["verdict"], told["said"], told["removing"]) == ("stopped", "stopped by dana", True)
            again = await browser.post(f"{PATH}/peak", json={})
            assert again.status_code == 409 and "is being removed" in again.text
            assert (await browser.post(f"{PATH}/peak/stop", json={})).json()["verdict"] == "stopped"

    act(tmp_path, work)


def test_a_stop_that_is_meant_for_an_earlier_run_leaves_the_present_one(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            begun = (await browser.post(f"{PATH}/peak", json={})).json()
            other = await browser.post(f"{PATH}/peak/stop", json={"run": "peak-of-yesterday"})
            assert other.status_code == 409 and "another run" in other.text
            assert (await browser.get(f"{PATH}/peak")).json()["verdict"] is None
            assert (await browser.post(f"{PATH}/peak/stop", json={"run": 7})).status_code == 400
            page = (await browser.get("/console/challenges?show=peak")).text
            assert f'data-run="{begun["run"]}"' in page
            stopped = await browser.post(f"{PATH}/peak/stop", json={"run": begun["run"]})
            assert stopped.json()["verdict"] == "stopped"

    act(tmp_path, work)


def test_a_challenge_whose_captures_cannot_be_removed_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(house: House) -> None:
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = LiveChallenges(gateway, runs)
        run = await runs.begin("drift", "tidegate-live-drift-1", "dana", timedelta(minutes=5))
        captures = tmp_path / "outputs" / f"live-challenge-{run.id}"
        captures.mkdir(parents=True)
        with monkeypatch.context() as broken:
            broken.setattr("shutil.rmtree", lambda folder, ignore_errors=False: None)
            with pytest.raises(Transient, match="cannot be removed"):
                await live._remove_captures(run)
        await live._remove_captures(run)
        assert not captures.exists()
        await runs.close()

    act(tmp_path, work)


def test_an_endpoint_that_somebody_else_made_under_the_name_is_not_tried_again(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = LiveChallenges(gateway, runs)
        await house.add("dana", Role.OPERATOR)
        found = await live.begin("incident", Doing(DANA, Access.CHANGE, "POST /challenges/incident"), "dana")
        now = gateway.context.clock.now()

        def replace_it(tx: Tx) -> None:
            saved, known = tx.get(ENDPOINT, found.endpoint), live_runs.find(tx, "incident")
            assert saved is not None and known is not None
            labels.remove(tx, ENDPOINT, found.endpoint, [TAG], now)
            assert live_runs.is_own(tx, known), "also without its tag"
            tx.delete(ENDPOINT, found.endpoint, expect=None, now=now)
            tx.put(ENDPOINT, found.endpoint, saved.body, expect=0, now=now)

        await gateway.context.store.run(replace_it)
        assert live._running is not None
        assert "is not touched" in await live._retry(live._running)
        await runs.close()

    act(tmp_path, work)


def test_a_server_that_is_started_again_ends_what_it_finds_and_says_that_it_was_interrupted(
    tmp_path: Path,
) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            begun = (await browser.post(f"{PATH}/update", json={})).json()
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = LiveChallenges(gateway, runs)
        await runs.turn()
        found, run = (await live.see("update")).found, await runs.find("update")
        assert found is not None and (str(found.verdict), found.said) == ("interrupted", AFTER_RESTART)
        assert run is not None and run.ending and run.id == begun["run"]
        await runs.turn()
        endpoint = await house.harness.store.run(lambda tx: endpoints.get_endpoint(tx, begun["endpoint"]))
        assert endpoint.body.deleting

    act(tmp_path, work)


def test_a_run_that_outlasts_its_time_is_not_shown_as_running(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            await browser.post(f"{PATH}/update", json={})
        house.harness.clock.shift = timedelta(hours=2)
        runs = LiveRuns(house.harness.gateway)
        await runs.turn()
        found = (await LiveChallenges(house.harness.gateway, runs).see("update")).found
        assert found is not None and str(found.verdict) == "interrupted"
        open_runs = await house.harness.store.run(live_runs.find_open)
        assert [run.ended_by for run in open_runs] == ["the server"]

    act(tmp_path, work)


def test_a_machine_that_slept_through_a_run_does_not_show_it_as_running_for_good(tmp_path: Path) -> None:
    """The server ends the run by its time, and the process that ran it is still the same."""

    async def work(house: House) -> None:
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = LiveChallenges(gateway, runs)
        await house.add("dana", Role.OPERATOR)
        await live.begin("update", Doing(DANA, Access.CHANGE, "POST /challenges/update"), "dana")
        await runs.turn()
        before = (await live.see("update")).found
        assert before is not None and before.verdict is None
        house.harness.clock.shift = timedelta(hours=2)
        await runs.turn()
        found = (await live.see("update")).found
        assert found is not None and (str(found.verdict), found.said) == ("interrupted", ENDED_EARLY)

    act(tmp_path, work)


def test_a_challenge_ends_and_says_so_once_whoever_began_it_may_do_this_no_more(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        await house.add("dana", Role.OPERATOR)
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = LiveChallenges(gateway, runs)
        begun = await live.begin("update", Doing(DANA, Access.CHANGE, "POST /challenges/update"), "dana")
        await runs.turn()
        await gateway.logins.book.change_user("dana", gateway.context.clock.now(), role=Role.VIEWER)
        await runs.turn()
        found = (await live.see("update")).found
        assert found is not None and (str(found.verdict), found.said) == ("stopped", RIGHTS_GONE)
        assert live._running is None
        endpoint = await house.harness.store.run(lambda tx: endpoints.get_endpoint(tx, begun.endpoint))
        assert endpoint.body.deleting
        assert ("dana", "live run update", "refused") in await house.audit()
        await runs.close()

    act(tmp_path, work)


def test_a_name_that_is_hostile_is_text_on_the_page(tmp_path: Path) -> None:
    async def work() -> None:
        house = GatewayHarness(Settings(state=tmp_path))
        app = build_app(house.gateway, late_pages(house.gateway))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8471") as browser:
            who = "<script>alert(1)</script>"
            assert (await browser.post(f"{PATH}/drift", json={"by": who})).status_code == 201
            await browser.post(f"{PATH}/drift/stop", json={"by": who})
            page = (await browser.get("/console/challenges?show=drift")).text
            assert "stopped by &lt;script&gt;" in page and who not in page
        await house.store.close()

    asyncio.run(work())


def test_an_endpoint_that_somebody_else_deletes_fails_the_challenge_which_says_so(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = LiveChallenges(gateway, runs)
        await house.add("dana", Role.OPERATOR)
        doing = Doing(DANA, Access.CHANGE, "POST /challenges/update")
        begun = await live.begin("update", doing, "dana")
        await runs.turn()
        now = house.harness.clock.now()
        await house.harness.store.run(
            lambda tx: endpoints.delete_endpoint(tx, begun.endpoint, now, "alex", force=True)
        )
        await runs.turn()
        found = (await live.see("update")).found
        assert found is not None and str(found.verdict) == "failed" and "somebody deleted it" in found.said

    act(tmp_path, work)
