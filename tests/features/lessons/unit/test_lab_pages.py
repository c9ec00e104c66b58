"""The lab's page and its steps in the native API: who may do them, in which order, and what is never touched."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import yaml

from tests.features.access.signed_in import PAGE, SITE, House, code
from tests.gateway_harness import GatewayHarness
from tidegate.domain.access import Access, Caller, Means, Role
from tidegate.features.lessons.driver import LessonDriver
from tidegate.features.lessons.keeper import LiveRuns
from tidegate.features.lessons.lab import ENDPOINT, EXAMPLE, LASTING, VERSIONS
from tidegate.features.lessons.run_records import TAG, RunPart
from tidegate.features.lessons.training import SUMMARY, Trainer
from tidegate.service.audit_trail import RequestedOperation
from tidegate.settings import Settings

API = "/tidegate/v1/lessons/lab"
LAB = "lab"
PATH = "/console/lessons/lab"
DOING = RequestedOperation(Caller("ann", Role.OPERATOR), Access.CHANGE, "POST /lessons/lab/train")
HOSTILE = '<img src=x onerror="alert(1)">\u202e'
REQUESTS = json.dumps({"body": "1,2", "content_type": "text/csv"})


def write_trained(folder: Path, run: str) -> None:
    """As training leaves it, but that the model data are not models."""
    folder.mkdir(parents=True, exist_ok=True)
    quality = {"about": HOSTILE, "quality": {"AUC": 0.7}}
    told = {"measure": "AUC", "versions": dict.fromkeys(VERSIONS, quality)}
    (folder / SUMMARY).write_text(json.dumps(told))
    (folder / "requests.jsonl").write_text(REQUESTS)
    for version in VERSIONS:
        model = {"image": "tidegate/xgboost", "data": (folder / f"{version}.ubj").as_uri()}
        made = {"endpoint": ENDPOINT, "model": model, "tags": {TAG: run}, "rollout": {"strategy": "all_at_once"}}
        (folder / f"{version}.yaml").write_text(yaml.safe_dump(made))


@asynccontextmanager
async def begun(tmp_path: Path, trained: bool = True) -> AsyncIterator[tuple[House, str]]:
    house = House(GatewayHarness(Settings(state=tmp_path), people=True))
    runs = LiveRuns(house.harness.gateway)
    try:
        await house.add("ivy", Role.OPERATOR)
        caller = Caller("ivy", Role.OPERATOR, Means.SESSION)
        run = await runs.begin(LAB, ENDPOINT, HOSTILE, LASTING, caller)
        if trained:
            write_trained(runs.folder(LAB) / EXAMPLE, run.id)
        yield house, run.id
    finally:
        house.harness.gateway.stopping.set()
        await runs.close()


async def states(client: httpx.AsyncClient) -> dict[str, str]:
    return {one["name"]: one["state"] for one in (await client.get(API)).json()["steps"]}


async def test_an_operator_does_the_steps_in_their_order_and_the_audit_says_why(tmp_path: Path) -> None:
    async with begun(tmp_path) as (house, run), house.signed_in("ann", Role.OPERATOR) as ann:
        early = await ann.post(f"{API}/better", json={"run": run})
        assert (early.status_code, code(early)) == (409, "Conflict") and "Version v1 has to serve" in early.text
        done = await ann.post(f"{API}/first", json={"run": run, "reason": "to learn"})
        assert done.status_code == 202
        assert (await states(ann))["first"] == "under way"
        assert (await ann.post(f"{API}/end", json={"run": run})).status_code == 202
        entries = await house.harness.trail.audit.read(limit=10)
        told = [(one.who, one.action, one.reason, str(one.outcome)) for one in reversed(entries)]
        assert ("ann", "POST /lessons/lab/first", "to learn", "done") in told
        assert ("ann", "POST /lessons/lab/better", "", "failed") in told


async def test_of_two_operators_who_press_the_same_button_one_is_told_that_it_is_done(tmp_path: Path) -> None:
    async with begun(tmp_path) as (house, _), house.signed_in("ann", Role.OPERATOR) as ann:
        async with house.signed_in("bob", Role.OPERATOR) as bob:
            answers = await asyncio.gather(*(one.post(f"{API}/first", json={}) for one in (ann, bob)))
        assert sorted(one.status_code for one in answers) == [202, 409]
        late = next(one for one in answers if one.status_code == 409)
        assert "cannot be done now: Its instances are starting" in late.text


async def test_opposite_buttons_end_it_and_deploy_nothing_afterwards(tmp_path: Path) -> None:
    async with begun(tmp_path) as (house, _), house.signed_in("ann", Role.OPERATOR) as ann:
        assert (await ann.post(f"{API}/end", json={})).status_code == 202
        refused = await ann.post(f"{API}/first", json={})
        assert refused.status_code == 409


async def test_what_is_meant_for_another_lab_is_refused(tmp_path: Path) -> None:
    async with begun(tmp_path) as (house, _), house.signed_in("ann", Role.OPERATOR) as ann:
        for run in ("lab-0", ""):
            refused = await ann.post(f"{API}/end", json={"run": run})
            assert refused.status_code == 409 and "another lab" in refused.text


async def test_a_viewer_sees_all_and_has_no_buttons(tmp_path: Path) -> None:
    async with begun(tmp_path) as (house, _), house.signed_in("eve", Role.VIEWER) as eve:
        page = await eve.get(PATH, headers=PAGE)
        assert page.status_code == 200
        assert "data-step=" not in page.text and "takes the role operator" in page.text
        assert "Bearer $TIDEGATE_TOKEN" in page.text
        for step in ("train", "first", "end"):
            assert (await eve.post(f"{API}/{step}", json={})).status_code == 403
        assert (await states(eve))["first"] == "ready"


async def test_nobody_acts_without_the_sessions_token_or_from_another_site(tmp_path: Path) -> None:
    async with begun(tmp_path) as (house, _), house.signed_in("ann", Role.OPERATOR) as ann:
        token = ann.headers.pop("x-csrf-token")
        assert (await ann.post(f"{API}/first", json={})).status_code == 403
        ann.headers.update({"x-csrf-token": token, "origin": "https://elsewhere.example"})
        assert (await ann.post(f"{API}/first", json={})).status_code == 403
        ann.headers["origin"] = SITE
        assert (await ann.post(f"{API}/first", json={})).status_code == 202
        async with house.browser() as nobody:
            assert (await nobody.get(API)).status_code in (401, 403)


async def test_bad_input_is_refused_and_nothing_is_begun(tmp_path: Path) -> None:
    house = GatewayHarness(Settings(state=tmp_path))
    async with House(house).browser() as client:
        for body in (
            {"bake": "5"},
            {"bake": 0},
            {"bake": -1},
            {"bake": 1e9},
            {"bake": 10**400},
            {"bake": True},
            {"run": 7},
            {"by": "two\nlines"},
            {"by": "x" * 200},
            {"reason": "x" * 600},
            {"endpoint": "payroll"},
        ):
            refused = await client.post(f"{API}/train", json=body)
            assert (refused.status_code, code(refused)) == (400, "Invalid"), body
        for step in ("evidence", "TRAIN", "%3Cscript%3E"):
            refused = await client.post(f"{API}/{step}", json={})
            assert (refused.status_code, code(refused)) == (404, "NotFound"), step
        assert (await client.get(API)).json()["run"] is None
        assert not (tmp_path / "live-runs").exists()


async def test_nothing_that_people_wrote_is_markup(tmp_path: Path) -> None:
    async with begun(tmp_path) as (house, _), house.signed_in("ann", Role.OPERATOR) as ann:
        text = (await ann.get(PATH, headers=PAGE)).text
        assert "<img" not in text and "\u202e" not in text and text.count("&lt;img") >= 4


async def test_an_endpoint_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    house = House(GatewayHarness(Settings(state=tmp_path)))
    theirs = {"endpoint": ENDPOINT, "model": {"image": "tidegate/xgboost", "data": "file:///theirs.ubj"}}
    async with house.browser() as client:
        assert (await client.put("/tidegate/v1/deploy", json={"spec": theirs})).status_code == 200
        refused = await client.post(f"{API}/train", json={})
        assert refused.status_code == 409 and "which is not the lab" in refused.text
        page = await client.get(PATH, headers=PAGE)
        assert f"tidegate delete {ENDPOINT}" in page.text and "data-step=" not in page.text
        assert "theirs.ubj" not in page.text
        assert (await client.get(f"/tidegate/v1/endpoints/{ENDPOINT}")).json()["status"] == "Creating"


async def test_a_spec_that_was_damaged_has_to_be_trained_again(tmp_path: Path) -> None:
    async with begun(tmp_path) as (house, _), house.signed_in("ann", Role.OPERATOR) as ann:
        assert (await states(ann))["train"] == "done"
        (tmp_path / "live-runs" / LAB / EXAMPLE / "worse.yaml").write_text("endpoint: [")
        found = (await ann.get(API)).json()["steps"][0]
        assert found["state"] == "ready" and "worse.yaml" in found["said"]


def make_driver(tmp_path: Path, program: str) -> LessonDriver:
    gateway = GatewayHarness(Settings(state=tmp_path)).gateway
    return LessonDriver(gateway, LiveRuns(gateway), Trainer((sys.executable, "-c", program), {}))


async def until_trained(driver: LessonDriver) -> None:
    async with asyncio.timeout(300):
        while driver.trainer.running:
            await asyncio.sleep(0.02)


async def test_a_training_that_fails_says_why_and_can_be_done_again(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, """print('{"error": "pip install tidegate[xgboost]"}')""")
    await driver.do("lab", "train", DOING, "ann", None, 5)
    await until_trained(driver)
    step = (await driver.read(LAB)).steps[0]
    assert step.state == "ready" and "pip install tidegate[xgboost]" in step.said
    driver.trainer.program = (sys.executable, "-c", "raise SystemExit(3)")
    await driver.do("lab", "train", DOING, "ann", None, 5)
    await until_trained(driver)
    assert "has failed" in (await driver.read(LAB)).steps[0].said
    driver.gateway.stopping.set()
    await driver.runs.close()


async def test_what_a_command_may_deploy_is_noted_before_anybody_is_told_that_it_is_trained(
    tmp_path: Path,
) -> None:
    driver = make_driver(tmp_path, "")
    run = await driver.runs.begin(LAB, ENDPOINT, "ann", LASTING)
    await driver.expect_deployments(run)
    write_trained(driver.folder(driver.find(LAB)), run.id)
    assert (await driver.read(LAB)).steps[1].state == "ready"
    found = await driver.runs.find(LAB)
    assert found is not None
    assert {one.kind for one in found.made} == {"config", "model"} and len(found.made) == 6
    assert all(one.name.startswith(ENDPOINT) for one in found.made)
    assert RunPart("config", ENDPOINT) not in found.made
    await driver.runs.close()


async def test_a_training_that_goes_on_when_the_server_ends_the_lab_is_ended_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    driver = make_driver(tmp_path, "import time; time.sleep(600)")
    await driver.do("lab", "train", DOING, "ann", None, 5)
    await driver.runs.close()
    await driver.runs.end(LAB, "the server")
    await driver.runs.close()
    await driver.runs.turn()
    assert not driver.trainer.running
    assert not driver.runs.folder(LAB).exists()
