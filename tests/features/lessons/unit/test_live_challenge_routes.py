"""The routes of the live challenges on a gateway in memory: who may start one, what is refused, what is left."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.features.access.signed_in import House, code
from tests.gateway_harness import GatewayHarness, late_pages
from tidegate.domain.access import Access, Caller, Means, Role
from tidegate.domain.errors import Transient
from tidegate.domain.observation import Capabilities
from tidegate.domain.targets import LOCAL, TargetTable
from tidegate.features.lessons import driver
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.driver import AFTER_RESTART, ENDED_EARLY, LessonDriver
from tidegate.features.lessons.keeper import RIGHTS_GONE, LiveRuns
from tidegate.features.lessons.run_records import TAG, LiveRun
from tidegate.features.lessons.training import Trainer
from tidegate.gateway.app import build_app
from tidegate.ports.store import Kind, Tx
from tidegate.service import endpoints
from tidegate.service import tags as labels
from tidegate.service.audit_trail import RequestedOperation
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.settings import Settings

PATH = "/tidegate/v1/lessons"
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


def make_driver(runs: LiveRuns) -> LessonDriver:
    return LessonDriver(runs.gateway, runs, Trainer((), {}))


async def begin(live: LessonDriver, name: str) -> LiveRun:
    await live.do(name, "start", RequestedOperation(DANA, Access.CHANGE, f"POST /lessons/{name}/start"), "dana")
    run = await live.runs.find(name)
    assert run is not None
    return run


async def list_records(house: House) -> list[str]:
    """Everything that a challenge could have made."""
    kinds: tuple[Kind[Any], ...] = (ENDPOINT, ALARM, CONFIG, MODEL)
    return await house.harness.store.run(
        lambda tx: [f"{kind.name} {saved.name}" for kind in kinds for saved in tx.find(kind).items]
    )


def test_an_operator_begins_one_on_an_endpoint_of_its_own_and_it_is_in_the_audit(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            answer = await browser.post(f"{PATH}/incident/start", json={"reason": "to see it"})
            told = answer.json()
            assert answer.status_code == 201 and (told["by"], told["verdict"]) == ("dana", None)
            tags = await house.harness.store.run(lambda tx: labels.read(tx, ENDPOINT, told["endpoint"]))
            assert tags == {TAG: told["run"]}
            assert told["endpoint"] in house.harness.kicked
        audit = await house.audit()
        assert ("dana", "challenge incident: deploy v1", "done") in audit
        assert ("dana", "POST /lessons/incident/start", "done") in audit

    act(tmp_path, work)


def test_former_addresses_of_the_lab_and_the_challenges_keep_working(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            for path, there in (
                ("/console/lab", "/console/lessons/lab"),
                ("/console/challenges", "/console/lessons/drift"),
                ("/console/challenges?show=<b>&x=%0d%0a", "/console/lessons/drift?x=%0D%0A"),
                ("/console/challenges?show=peak&rule=none", "/console/lessons/peak?rule=none"),
            ):
                moved = await browser.get(path, follow_redirects=False)
                assert (moved.status_code, moved.headers["location"]) == (308, there)
            native = PATH.removesuffix("/lessons")
            begun = (await browser.post(f"{native}/challenges/peak", json={})).json()
            assert (await browser.get(f"{native}/challenges/peak")).json()["run"] == begun["run"] is not None
            listed = (await browser.get(f"{native}/challenges")).json()["challenges"]
            assert [one["name"] for one in listed] == ["drift", "peak", "update", "incident"]
            assert len((await browser.get(PATH)).json()["lessons"]) == 5
            stopped = await browser.post(f"{native}/challenges/peak/stop", json={})
            assert stopped.json()["verdict"] == "stopped"
            assert (await browser.get(f"{native}/lab")).json()["name"] == "lab"
            assert (await browser.post(f"{native}/lab/first", json={})).status_code == 409

    act(tmp_path, work)


def test_a_viewer_may_look_and_start_nothing(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("sam", Role.VIEWER) as browser:
            for path in (f"{PATH}/drift/start", f"{PATH}/drift/stop"):
                assert (await browser.post(path, json={})).status_code == 403
            assert (await browser.get(f"{PATH}/drift")).json()["run"] is None
            page = (await browser.get("/console/lessons/drift")).text
            assert "takes the role operator" in page and "data-step=" not in page
        assert await list_records(house) == []

    act(tmp_path, work)


def test_one_at_a_time_whichever_it_is_also_when_two_press_at_once(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            asked = [browser.post(f"{PATH}/{name}/start", json={}) for name in ("update", "update", "peak")]
            answers = await asyncio.gather(*asked)
            assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
            refused = [answer for answer in answers if answer.status_code == 409]
            assert all("one at a time" in answer.json()["error"]["message"] for answer in refused)
            later = await browser.post(f"{PATH}/drift/start", json={})
            assert later.status_code == 409 and "is under way" in later.text
            page = (await browser.get("/console/lessons/drift")).text
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
                await browser.post(f"{PATH}/{name}/start", json={}),
                await browser.post(f"{PATH}/{name}/stop", json={}),
                await browser.get(f"{PATH}/{name}"),
                await browser.get(f"/console/lessons/{name}/live"),
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
            answer = await browser.post(f"{PATH}/drift/start", **sent)
            assert (answer.status_code, code(answer)) == (400, "Invalid")
        assert await list_records(house) == []

    act(tmp_path, work)


async def expect_refusal(house: House, said: str, status: int = 409) -> None:
    async with house.signed_in("dana", Role.OPERATOR) as browser:
        answer = await browser.post(f"{PATH}/update/start", json={})
        assert answer.status_code == status and said in answer.json()["error"]["message"]
        assert await list_records(house) == []
        if status == 409:
            page = (await browser.get("/console/lessons/update")).text
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
            await browser.post(f"{PATH}/peak/start", json={})
            told = (await browser.post(f"{PATH}/peak/stop", json={})).json()
            assert (told["verdict"], told["said"], told["removing"]) == ("stopped", "stopped by dana", True)
            again = await browser.post(f"{PATH}/peak/start", json={})
            assert again.status_code == 409 and "is being removed" in again.text
            assert (await browser.post(f"{PATH}/peak/stop", json={})).json()["verdict"] == "stopped"

    act(tmp_path, work)


def test_a_stop_that_is_meant_for_an_earlier_run_leaves_the_present_one(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            begun = (await browser.post(f"{PATH}/peak/start", json={})).json()
            other = await browser.post(f"{PATH}/peak/stop", json={"run": "peak-of-yesterday"})
            assert other.status_code == 409 and "another run" in other.text
            assert (await browser.get(f"{PATH}/peak")).json()["verdict"] is None
            assert (await browser.post(f"{PATH}/peak/stop", json={"run": 7})).status_code == 400
            page = (await browser.get("/console/lessons/peak")).text
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
        live = make_driver(runs)
        run = await runs.begin("drift", "tidegate-live-drift-1", "dana", timedelta(minutes=5))
        captures = tmp_path / "outputs" / f"live-challenge-{run.id}"
        captures.mkdir(parents=True)
        with monkeypatch.context() as broken:
            broken.setattr("shutil.rmtree", lambda folder, ignore_errors=False: None)
            with pytest.raises(Transient, match="cannot be removed"):
                await live.remove(run)
        await live.remove(run)
        assert not captures.exists()
        await runs.close()

    act(tmp_path, work)


def test_an_endpoint_that_somebody_else_made_under_the_name_is_not_tried_again(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = make_driver(runs)
        await house.add("dana", Role.OPERATOR)
        found = await begin(live, "incident")
        now = gateway.context.clock.now()

        def replace_it(tx: Tx) -> None:
            saved, known = tx.get(ENDPOINT, found.endpoint), live_runs.find(tx, "incident")
            assert saved is not None and known is not None
            labels.remove(tx, ENDPOINT, found.endpoint, [TAG], now)
            assert live_runs.is_own(tx, known), "also without its tag"
            tx.delete(ENDPOINT, found.endpoint, expect=None, now=now)
            tx.put(ENDPOINT, found.endpoint, saved.body, expect=0, now=now)

        await gateway.context.store.run(replace_it)
        assert live._performance is not None
        assert "is not touched" in await live._retry(live._performance)
        await runs.close()

    act(tmp_path, work)


def test_a_server_that_is_started_again_ends_what_it_finds_and_says_that_it_was_interrupted(
    tmp_path: Path,
) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            begun = (await browser.post(f"{PATH}/update/start", json={})).json()
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = make_driver(runs)
        await runs.turn()
        found, run = (await live.read("update")).run, await runs.find("update")
        assert found is not None and (str(found.verdict), found.said) == ("interrupted", AFTER_RESTART)
        assert run is not None and run.ending and run.id == begun["run"]
        await runs.turn()
        endpoint = await house.harness.store.run(lambda tx: endpoints.get_endpoint(tx, begun["endpoint"]))
        assert endpoint.body.deleting

    act(tmp_path, work)


def test_a_run_that_outlasts_its_time_is_not_shown_as_running(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.signed_in("dana", Role.OPERATOR) as browser:
            await browser.post(f"{PATH}/update/start", json={})
        house.harness.clock.shift = timedelta(hours=2)
        runs = LiveRuns(house.harness.gateway)
        await runs.turn()
        found = (await make_driver(runs).read("update")).run
        assert found is not None and str(found.verdict) == "interrupted"
        open_runs = await house.harness.store.run(live_runs.find_open)
        assert [run.ended_by for run in open_runs] == ["the server"]

    act(tmp_path, work)


def test_a_run_whose_folder_cannot_be_made_has_failed_and_says_so(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        (tmp_path / "live-runs").write_text("a file where a folder belongs")
        live = make_driver(LiveRuns(house.harness.gateway))
        await house.add("dana", Role.OPERATOR)
        with pytest.raises(Transient, match="cannot be made"):
            await begin(live, "update")
        run = (await live.read("update")).run
        assert run is not None and str(run.verdict) == "failed" and "cannot be made" in run.said
        await live.runs.close()

    act(tmp_path, work)


def test_a_machine_that_slept_through_a_run_does_not_show_it_as_running_for_good(tmp_path: Path) -> None:
    """The server ends the run by its time, and the process that ran it is still the same."""

    async def work(house: House) -> None:
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = make_driver(runs)
        await house.add("dana", Role.OPERATOR)
        await begin(live, "update")
        await runs.turn()
        before = (await live.read("update")).run
        assert before is not None and before.verdict is None
        house.harness.clock.shift = timedelta(hours=2)
        await runs.turn()
        found = (await live.read("update")).run
        assert found is not None and (str(found.verdict), found.said) == ("interrupted", ENDED_EARLY)

    act(tmp_path, work)


def test_a_challenge_ends_and_says_so_once_whoever_began_it_may_do_this_no_more(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        await house.add("dana", Role.OPERATOR)
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = make_driver(runs)
        begun = await begin(live, "update")
        await runs.turn()
        await gateway.logins.book.change_user("dana", gateway.context.clock.now(), role=Role.VIEWER)
        await runs.turn()
        found = (await live.read("update")).run
        assert found is not None and (str(found.verdict), found.said) == ("stopped", RIGHTS_GONE)
        assert live._performance is None
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
            assert (await browser.post(f"{PATH}/drift/start", json={"by": who})).status_code == 201
            await browser.post(f"{PATH}/drift/stop", json={"by": who})
            page = (await browser.get("/console/lessons/drift")).text
            assert "stopped by &lt;script&gt;" in page and who not in page
        await house.store.close()

    asyncio.run(work())


def test_an_endpoint_that_somebody_else_deletes_fails_the_challenge_which_says_so(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        gateway = house.harness.gateway
        runs = LiveRuns(gateway)
        live = make_driver(runs)
        await house.add("dana", Role.OPERATOR)
        begun = await begin(live, "update")
        await runs.turn()
        now = house.harness.clock.now()
        await house.harness.store.run(
            lambda tx: endpoints.delete_endpoint(tx, begun.endpoint, now, "alex", force=True)
        )
        await runs.turn()
        found = (await live.read("update")).run
        assert found is not None and str(found.verdict) == "failed" and "somebody deleted it" in found.said

    act(tmp_path, work)
