"""The pages of those who operate, clicked through on a live rollout: commands, two operators, a restart."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.checks import fits
from tests.scene import Scene, train
from tidegate.host.platform import Platform

NAME = "operated"
HOSTILE = "odd <img src=x onerror=alert(1)>"
CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            "WaitIntervalInSeconds": 900,
        },
        "TerminationWaitInSeconds": 900,
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "operated-errors"}]},
}
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def scene(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An endpoint whose rollout bakes with half of the traffic."""
    made, folder = Scene(platform), tmp_path_factory.mktemp("models")
    dimensions = [{"Name": "EndpointName", "Value": NAME}, {"Name": "VariantName", "Value": "AllTraffic"}]
    made.alarm("operated-errors", "Invocation5XXErrors", 0.02, Dimensions=dimensions)
    made.create(NAME, made.config(train(Path(folder), 1), instances=2))
    made.update(NAME, made.config(train(Path(folder), 2), instances=2), CANARY)
    yield made
    httpx.delete(f"{platform.url}/tidegate/v1/endpoints/{NAME}?force=1", timeout=30).raise_for_status()


def steer(platform: Platform, command: str) -> None:
    """What another operator does."""
    path = f"{platform.url}/tidegate/v1/endpoints/{NAME}/rollout/{command}"
    httpx.post(path, json={"by": "Bob"}, timeout=30).raise_for_status()


def journal(page: Page) -> str:
    return page.get_by_role("list", name=f"Journal of {NAME}").inner_text()


def test_the_list_is_live_and_leads_to_the_rollout(page: Page, platform: Platform, scene: Scene) -> None:
    page.goto(f"{platform.url}/console")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=NAME))
    expect(row).to_contain_text("baking, stage 1 of 2", timeout=30_000)
    expect(page.locator("[data-pulse]")).to_have_text("live")
    row.get_by_role("link", name=NAME).click()
    expect(page.get_by_role("list", name="Stages").locator("[aria-current=step]")).to_contain_text("50 %")
    expect(page.get_by_text("of the bake left")).to_be_visible()
    expect(page.get_by_role("region", name="Alarms, as a table")).to_contain_text("above 2 %")


@pytest.mark.parametrize(
    "path", ["", "/new", f"/endpoints/{NAME}", f"/endpoints/{NAME}/history", f"/endpoints/{NAME}/metrics"]
)
def test_nothing_bars_anybody_from_a_live_page(page: Page, platform: Platform, scene: Scene, path: str) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(f"{platform.url}/console{path}")
    if path in ("", f"/endpoints/{NAME}"):
        expect(page.locator("[data-pulse]")).to_have_text("live")
    fits(page, 1200)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 900})
    fits(page, 390)
    assert page.locator("header.top").evaluate("header => header.clientHeight") < 60, "one row"


def test_a_new_endpoint_is_made_by_the_form_and_its_curves_follow(
    page: Page, platform: Platform, tmp_path: Path
) -> None:
    page.goto(f"{platform.url}/console")
    page.get_by_role("link", name="New endpoint").click()
    page.get_by_label("Name of the endpoint").fill("by-form")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("status")).to_contain_text("one of the two")
    page.get_by_label("Model file of this computer").set_input_files(urlsplit(train(tmp_path, 1)).path)
    page.get_by_role("button", name="Deploy").click()
    page.get_by_role("link", name="Open by-form").click()
    expect(page.locator("[data-part=headline]")).to_contain_text("InService", timeout=60_000)
    expect(page.get_by_role("region", name="Alarms, as a table")).to_contain_text("above 2 %")
    page.get_by_role("link", name="Metrics").click()
    expect(page.get_by_role("img", name="CPU per instance")).to_be_visible()
    httpx.delete(f"{platform.url}/tidegate/v1/endpoints/by-form?force=1", timeout=30).raise_for_status()


def test_a_request_is_sent_and_the_logs_are_followed(page: Page, platform: Platform, scene: Scene) -> None:
    page.goto(f"{platform.url}/console/endpoints/{NAME}")
    page.get_by_label("Body of the request").fill(",".join(["0.1"] * 30))
    page.get_by_role("button", name="Send one request").click()
    expect(page.locator("[data-answer]")).to_contain_text("Status 200")
    page.get_by_text("Logs of its instances").click()
    expect(page.get_by_label("Log", exact=True)).to_contain_text("ready")


def test_the_sample_request_is_one_that_the_model_answers(page: Page, platform: Platform, scene: Scene) -> None:
    page.goto(f"{platform.url}/console/endpoints/{NAME}")
    ask = page.get_by_role("region", name="Ask it")
    expect(ask).to_contain_text("The model takes rows of 30 columns without names.")
    sample = ask.get_by_label("Sample request").inner_text()
    ask.get_by_text("From a program").click()
    expect(ask.get_by_label("curl")).to_contain_text(f"--data-binary {sample}")
    page.get_by_label("Body of the request").fill(sample)
    page.get_by_role("button", name="Send one request").click()
    expect(page.locator("[data-answer]")).to_contain_text("Status 200")


def test_a_request_that_the_model_refuses_shows_its_own_message(
    browser: Browser, platform: Platform, scene: Scene
) -> None:
    page = browser.new_page()  # not watched: the browser itself reports the status 424
    page.goto(f"{platform.url}/console/endpoints/{NAME}")
    page.get_by_label("Body of the request").fill('1,"2')
    page.get_by_role("button", name="Send one request").click()
    expect(page.locator("[data-answer] .notice")).to_contain_text(": Row 1, column 2")
    expect(page.get_by_label("The answer")).to_contain_text('"OriginalStatusCode": 400')
    page.close()


def test_a_pause_is_confirmed_with_a_reason_that_is_only_text(
    page: Page, platform: Platform, scene: Scene
) -> None:
    page.goto(f"{platform.url}/console/endpoints/{NAME}")
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Reason").fill(HOSTILE)
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.locator("[data-done]")).to_contain_text("Pause: accepted")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.get_by_role("list", name=f"Journal of {NAME}")).to_contain_text(
        f"pause asked for by Ada: {HOSTILE}"
    )
    assert page.locator("img").count() == 0


def test_the_keyboard_alone_changes_its_mind_and_then_resumes(
    page: Page, platform: Platform, scene: Scene
) -> None:
    page.goto(f"{platform.url}/console/endpoints/{NAME}")
    page.evaluate("localStorage.setItem('tidegate-name', 'Ada')")
    dialog = page.get_by_role("dialog")
    for reason, key in (("not yet", "Escape"), ("it was nothing", "Enter")):
        page.get_by_role("button", name="Resume").focus()
        page.keyboard.press("Enter")
        expect(dialog.get_by_label("Reason")).to_be_focused()
        page.keyboard.type(reason)
        page.keyboard.press(key)
        expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("list", name=f"Journal of {NAME}")).to_contain_text("it was nothing")
    assert "not yet" not in journal(page)


def test_a_browser_that_slept_is_told_and_shows_what_happened_meanwhile(
    page: Page, platform: Platform, scene: Scene
) -> None:
    page.clock.install()
    page.goto(f"{platform.url}/console/endpoints/{NAME}")
    expect(page.locator("[data-pulse]")).to_have_text("live")
    steer(platform, "pause")
    page.clock.fast_forward(20 * 60 * 1000)
    expect(page.locator("[data-connection]")).to_contain_text("This page rested for 20 min")
    expect(page.get_by_role("region", name="Rollout")).to_contain_text("paused by Bob")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    steer(platform, "resume")


def test_of_two_operators_the_second_is_told(page: Page, platform: Platform, scene: Scene) -> None:
    """Here the rollout is rolled back while somebody is about to let it through."""
    page.goto(f"{platform.url}/console/endpoints/{NAME}")
    page.get_by_role("button", name="Skip this bake").click()
    steer(platform, "abort")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This can no longer be done")
    expect(dialog).to_contain_text("Bob")
    expect(dialog.get_by_role("button", name="Skip this bake")).to_be_disabled()
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Retry")).to_be_visible(timeout=30_000)
    assert "abort asked for by Bob" in journal(page)


def test_a_server_that_restarts_is_told_and_the_page_goes_on(
    browser: Browser, platform: Platform, scene: Scene
) -> None:
    page = browser.new_page()  # not watched: the browser itself reports what is not answered
    page.goto(f"{platform.url}/console/endpoints/{NAME}")
    expect(page.locator("[data-pulse]")).to_have_text("live")
    platform.kill_controller()
    try:
        notice = page.locator("[data-connection]")
        expect(notice).to_contain_text("The server does not answer", timeout=20_000)
        expect(page.locator("[data-pulse]")).to_have_text("not live")
    finally:
        platform.start()
    expect(notice).to_contain_text("The server was started again", timeout=30_000)
    expect(page.locator("[data-pulse]")).to_have_text("live")
    page.close()
