"""The lab in a real browser, clicked through on a live system with short bakes: every state is the platform's own."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.checks import fits, watched
from tidegate.features.lessons.lab.progress import StepName
from tidegate.testing.platform import Platform

pytestmark = pytest.mark.timeout(300)
SLOW = 120_000
"""Milliseconds that a step may take on a loaded machine."""


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "3"}) as started:
        yield started


@pytest.fixture
def page(context: BrowserContext, platform: Platform) -> Iterator[Page]:
    made = context.new_page()
    yield from watched(made, platform.url)
    made.close()


def part(page: Page, name: StepName) -> Locator:
    return page.locator(f'[data-part="step-{name}"]')


def press(page: Page, name: StepName, label: str, bake: str = "") -> None:
    part(page, name).get_by_role("button", name=label).click(timeout=SLOW)
    dialog = page.get_by_role("dialog")
    dialog.locator("#by").fill("ann")
    expect(dialog.locator("#bake")).to_be_visible(visible=bool(bake))
    if bake:
        dialog.locator("#bake").fill(bake)
    dialog.locator("#reason").fill("<b>to learn</b>")
    dialog.get_by_role("button", name=label).click()
    expect(dialog).to_be_hidden(timeout=SLOW)


def done(page: Page, name: StepName) -> None:
    expect(part(page, name).locator(".badge").first).to_have_text("done", timeout=SLOW)


def look(page: Page) -> None:
    """Accessible in both themes, and on a phone."""
    for scheme, width in (("light", 1200), ("dark", 390)):
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark", reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 900})
        fits(page, width)


def test_the_whole_lab_is_clicked_through_on_a_live_system(
    page: Page, platform: Platform, browser: Browser
) -> None:
    page.goto(f"{platform.url}/console/lab")
    expect(page.locator("[data-pulse]")).to_have_text("live", timeout=SLOW)
    look(page)
    page.set_viewport_size({"width": 1200, "height": 900})
    press(page, StepName.TRAIN, "Train three versions", bake="1")
    done(page, StepName.TRAIN)
    expect(part(page, StepName.TRAIN).get_by_role("row")).to_have_count(4)
    press(page, StepName.FIRST, "Deploy v1")
    done(page, StepName.FIRST)
    press(page, StepName.TRAFFIC, "Send requests")
    done(page, StepName.TRAFFIC)

    second = browser.new_page()  # another operator, without anything that the first one's browser knows
    second.goto(f"{platform.url}/console/lab")
    expect(part(second, StepName.TRAFFIC).locator(".badge").first).to_have_text("done")
    part(second, StepName.BETTER).locator("[data-step]").click(timeout=SLOW)
    press(page, StepName.BETTER, "Deploy the better version")
    expect(second.locator("[data-moved]")).to_contain_text("somebody else did it", timeout=SLOW)
    expect(second.locator("[data-confirm]")).to_be_disabled()
    second.close()
    expect(part(page, StepName.BETTER).locator(".stages")).to_be_visible()
    done(page, StepName.BETTER)
    press(page, StepName.WORSE, "Ship the bad version")
    done(page, StepName.WORSE)
    expect(part(page, StepName.WORSE)).to_contain_text("differs: predictions of variant")
    done(page, StepName.EVIDENCE)
    expect(part(page, StepName.EVIDENCE).get_by_role("table")).to_contain_text("predictions")
    done(page, StepName.PRICE)
    expect(part(page, StepName.PRICE)).to_contain_text("$")
    page.reload()
    done(page, StepName.WORSE)
    look(page)
    assert page.locator("main b").filter(has_text="to learn").count() == 0

    press(page, StepName.END, "End the lab")
    expect(part(page, StepName.END)).to_contain_text("There is nothing to remove", timeout=SLOW)
    expect(part(page, StepName.TRAIN).locator("[data-step]")).to_have_text("Train three versions")
    with httpx.Client(base_url=platform.url, timeout=30) as client:
        assert client.get("/tidegate/v1/endpoints").json() == {"endpoints": []}
        assert client.get("/tidegate/v1/alarms").json() == {"alarms": []}
    assert not (platform.state / "live-runs" / "lab").exists()
