"""The list of endpoints by filter, order and keyboard, the command palette, an emptied queue, merged logs, a resumed
job: what somebody on call does."""

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.checks import await_result, fits
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

QUEUED, PLAIN = "queued-ocr", "fraud-eu"
WAITING = 3
PHONE = 360
OPTIONS = "#palette-list [role=option]"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def scene(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An endpoint with a tag, an asynchronous one with requests that are not due yet, and a job that failed."""
    made, folder = Scene(platform), tmp_path_factory.mktemp("models")
    config = made.config(train(Path(folder), 1))
    made.sagemaker.create_endpoint(EndpointName=PLAIN, EndpointConfigName=config)
    arn = made.describe(PLAIN)["EndpointArn"]
    made.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "risk"}])
    variants = made.sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    made.sagemaker.create_endpoint_config(
        EndpointConfigName="queued-config",
        ProductionVariants=variants,
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://out/ocr"}},
    )
    made.sagemaker.create_endpoint(EndpointName=QUEUED, EndpointConfigName="queued-config")
    for name in (PLAIN, QUEUED):
        made.settled(name)
    put_requests(platform)
    model = variants[0]["ModelName"]
    job = {
        "name": "nightly",
        "model": model,
        "source": {"uri": f"file://{folder}/none.csv", "content_type": "text/csv"},
    }
    job["sink"] = {"uri": f"file://{folder}/out/", "accept": "text/csv"}
    httpx.post(f"{platform.url}/tidegate/v1/transforms", json=job, timeout=30).raise_for_status()
    yield made
    for name in (PLAIN, QUEUED):
        httpx.delete(f"{platform.url}/tidegate/v1/endpoints/{name}?force=1", timeout=30).raise_for_status()


def put_requests(platform: Platform) -> None:
    """Into the database, since accepted requests would be answered before anybody could look."""
    now = time.time()
    with sqlite3.connect(platform.state / "tidegate.db", timeout=30) as database:
        for number in range(WAITING):
            item = {"id": f"q{number}", "endpoint": QUEUED, "inference_id": f"q{number}", "accepted_at": now}
            item |= {"expires_at": now + 9_000, "timeout": 60.0, "output": f"s3://out/ocr/q{number}.out"}
            database.execute(
                "INSERT INTO queue (id, endpoint, state, item, accepted_at, expires_at, due_at, fence, tries, losses)"
                " VALUES (?, ?, 'waiting', ?, ?, ?, ?, 0, 0, 0)",
                (item["id"], QUEUED, json.dumps(item), now, now + 9_000, now + 9_000),
            )


def names(page: Page) -> list[str]:
    return page.locator(".listing tbody th a").all_inner_texts()


def test_a_filter_is_typed_shared_gone_back_from_and_hides_nothing_silently(
    page: Page, platform: Platform, scene: Scene
) -> None:
    page.goto(f"{platform.url}/console")
    shown = page.locator("[data-part=shown]")
    expect(shown).to_have_text("2 of 2 shown", timeout=30_000)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("team=risk")
    expect(shown).to_have_text("1 of 2 shown")
    assert names(page) == [PLAIN]
    expect(page).to_have_url(f"{platform.url}/console?q=team%3Drisk")
    page.reload()
    expect(shown).to_have_text("1 of 2 shown")
    page.locator("#state").select_option("Failed")
    expect(page.get_by_text("No endpoint has that")).to_be_visible()
    page.go_back()
    expect(shown).to_have_text("1 of 2 shown")
    page.get_by_role("searchbox").fill("")
    expect(shown).to_have_text("2 of 2 shown")
    page.get_by_role("searchbox").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name=QUEUED)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{platform.url}/console/endpoints/{QUEUED}")


def test_a_heading_sorts_both_ways_and_says_so_also_on_a_phone(
    page: Page, platform: Platform, scene: Scene
) -> None:
    page.goto(f"{platform.url}/console")
    heading = page.locator("th", has=page.get_by_role("button", name="Endpoint", exact=True))
    for order, expected in (("ascending", [PLAIN, QUEUED]), ("descending", [QUEUED, PLAIN])):
        page.get_by_role("button", name="Endpoint", exact=True).press("Enter")
        expect(heading).to_have_attribute("aria-sort", order)
        assert names(page) == expected
        expect(page.get_by_role("button", name="Endpoint", exact=True)).to_be_focused()
    expect(page).to_have_url(f"{platform.url}/console?sort=-name")
    fits(page, 1200)
    page.set_viewport_size({"width": PHONE, "height": 800})
    expect(page.get_by_role("button", name="Errors", exact=True)).to_be_visible()
    fits(page, PHONE)
    page.set_viewport_size({"width": 1200, "height": 900})


def press_palette_keys(page: Page) -> None:
    """Press the keys that open the palette once the page listens for them, which is when it shows the button."""
    expect(page.get_by_role("button", name="Go to …")).to_be_visible()
    page.keyboard.press("Control+k")


def test_the_palette_goes_anywhere_by_keyboard_alone(page: Page, platform: Platform, scene: Scene) -> None:
    page.goto(f"{platform.url}/console/planner")
    await_result(page)
    press_palette_keys(page)
    box = page.get_by_role("combobox", name="Endpoint, page or action")
    expect(box).to_be_focused()
    expect(page.locator(OPTIONS).first).to_be_visible()
    fits(page, 1200)
    box.press_sequentially("fraud drift")
    expect(page.locator(OPTIONS)).to_have_text([f"{PLAIN}: Drift page"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{platform.url}/console/endpoints/{PLAIN}/drift")
    press_palette_keys(page)
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()


def test_a_page_that_is_still_computed_waits_for_an_open_palette(page: Page, platform: Platform) -> None:
    held: list[Route] = []
    page.route(
        "**/planner?*",
        lambda route: route.continue_() if route.request.is_navigation_request() else held.append(route),
    )
    page.goto(f"{platform.url}/console/planner?example=payroll-fraud&rate=125&name=typed")
    expect(page.locator("[data-waiting]")).to_have_count(1)
    press_palette_keys(page)
    box = page.get_by_role("combobox", name="Endpoint, page or action")
    box.press_sequentially("frau")
    with page.expect_event("requestfinished", lambda request: "/planner?" in request.url):
        held[0].continue_()
    box.press_sequentially("d")
    expect(box).to_have_value("fraud")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", level=1)).to_have_text("typed", timeout=60_000)


def test_the_palette_is_left_without_a_keyboard(page: Page, platform: Platform, scene: Scene) -> None:
    page.set_viewport_size({"width": PHONE, "height": 800})
    page.goto(f"{platform.url}/console/planner")
    await_result(page)
    opener = page.get_by_role("button", name="Go to …")
    opener.click()
    dialog = page.get_by_role("dialog", name="Go to an endpoint, a page or an action")
    fits(page, PHONE)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    page.set_viewport_size({"width": 1200, "height": 900})


def test_a_queue_is_emptied_from_the_palette_with_a_confirmation_that_names_it(
    page: Page, platform: Platform, scene: Scene
) -> None:
    page.goto(f"{platform.url}/console")
    page.get_by_role("button", name="Go to").click()
    page.get_by_role("combobox", name="Endpoint, page or action").press_sequentially("empty")
    page.get_by_role("combobox", name="Endpoint, page or action").press_sequentially(" ocr")
    expect(page.locator(OPTIONS)).to_have_count(1)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Empty the queue: {QUEUED}?")
    expect(dialog).to_contain_text(f"{WAITING} waiting requests of {QUEUED} fail")
    fits(page, 1200)
    dialog.get_by_label("Your name").fill("Ada")
    dialog.get_by_label("Reason").fill("a broken export")
    dialog.get_by_role("button", name="Empty the queue").click()
    expect(page.locator("[data-done]")).to_contain_text(f"{WAITING} requests were taken out")
    expect(page.get_by_role("button", name="Empty the queue")).to_have_count(0)
    queue = page.get_by_role("region", name="Queue")
    expect(queue).to_contain_text("The queue was emptied by Ada: a broken export.", timeout=30_000)


def test_logs_of_all_instances_are_searched(page: Page, platform: Platform, scene: Scene) -> None:
    page.goto(f"{platform.url}/console/endpoints/{PLAIN}")
    page.get_by_text("Logs of its instances").click()
    log = page.get_by_label("Log", exact=True)
    expect(log).to_contain_text("ready")
    page.get_by_label("Lines with").fill("(no such line)+")
    expect(log).to_have_text("No line has that.")
    fits(page, 1200)


def test_a_job_that_failed_is_resumed_from_its_page(page: Page, platform: Platform, scene: Scene) -> None:
    path = f"{platform.url}/tidegate/v1/transforms/nightly"
    wait_until(lambda: httpx.get(path).json()["status"] == "Failed", "the job failed")
    page.goto(f"{platform.url}/console/jobs")
    page.get_by_role("button", name="Resume nightly").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("tidegate batch resume nightly")
    dialog.get_by_label("Your name").fill("Ada")
    fits(page, 1200)
    dialog.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-done]")).to_contain_text("nightly: resumed")
    assert httpx.get(path).json()["resumed"] == 1


def test_lines_of_instances_that_began_together_are_told_apart(
    page: Page, platform: Platform, scene: Scene
) -> None:
    ids = ("r-01m8f0gyaqkh", "r-01m8f0gyaqzz")
    replicas = [{"replica": id, "variant": "v", "generation": 1} for id in ids]
    lines = [{**one, "at": None, "at_of": "last write", "line": "ready"} for one in replicas]
    told = {"searched": 2, "matching": 2, "unread": 3, "replicas": replicas, "lines": lines}
    page.route("**/logs/lines?*", lambda route: route.fulfill(json=told))
    page.goto(f"{platform.url}/console/endpoints/{PLAIN}")
    page.locator("[data-logs] summary").click()
    log = page.locator("[data-log]")
    expect(log).to_contain_text("r-01m8f0gyaqk | ready")
    expect(log).to_contain_text("r-01m8f0gyaqz | ready")
    expect(page.locator("[data-searched]")).to_contain_text("3 older logs were not read")
