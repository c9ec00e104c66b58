"""The lab in a real browser, clicked through on a live system with short bakes: every state is the platform's own."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.checks import fits, watched
from tidegate.host.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
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


def part(page: Page, name: str) -> Locator:
    return page.locator(f'[data-part="step-{name}"]')


def press(page: Page, name: str, label: str, bake: str = "") -> None:
    part(page, name).get_by_role("button", name=label).click(timeout=SLOW)
    dialog = page.get_by_role("dialog")
    dialog.locator("#by").fill("ann")
    expect(dialog.locator("#bake")).to_be_visible(visible=bool(bake))
    if bake:
        dialog.locator("#bake").fill(bake)
    dialog.locator("#reason").fill("<b>to learn</b>")
    dialog.get_by_role("button", name=label).click()
    expect(dialog).to_be_hidden(timeout=SLOW)


def done(page: Page, name: str) -> None:
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
    page.goto(f"{platform.url}/console/lessons/lab")
    expect(page.locator("[data-pulse]")).to_have_text("live", timeout=SLOW)
    look(page)
    page.set_viewport_size({"width": 1200, "height": 900})
    press(page, "train", "Train three versions", bake="1")
    done(page, "train")
    expect(part(page, "train").get_by_role("row")).to_have_count(4)
    press(page, "first", "Deploy v1")
    done(page, "first")
    press(page, "traffic", "Send requests")
    done(page, "traffic")

    second = browser.new_page()  # another operator, without anything that the first one's browser knows
    second.goto(f"{platform.url}/console/lessons/lab")
    expect(part(second, "traffic").locator(".badge").first).to_have_text("done")
    part(second, "better").locator("[data-step]").click(timeout=SLOW)
    press(page, "better", "Deploy the better version")
    expect(second.locator("[data-moved]")).to_contain_text("somebody else did it", timeout=SLOW)
    expect(second.locator("[data-confirm]")).to_be_disabled()
    second.close()
    expect(part(page, "better").locator(".stages")).to_be_visible()
    done(page, "better")
    press(page, "worse", "Ship the bad version")
    done(page, "worse")
    expect(part(page, "worse")).to_contain_text("differs: predictions of variant")
    done(page, "evidence")
    expect(part(page, "evidence").get_by_role("table")).to_contain_text("predictions")
    done(page, "price")
    expect(part(page, "price")).to_contain_text("$")
    page.reload()
    done(page, "worse")
    look(page)
    assert page.locator("main b").filter(has_text="to learn").count() == 0

    press(page, "end", "End the lab")
    expect(part(page, "end")).to_contain_text("There is nothing to remove", timeout=SLOW)
    expect(part(page, "train").locator("[data-step]")).to_have_text("Train three versions")
    with httpx.Client(base_url=platform.url, timeout=30) as client:
        assert client.get("/tidegate/v1/endpoints").json() == {"endpoints": []}
        assert client.get("/tidegate/v1/alarms").json() == {"alarms": []}
    assert not (platform.state / "live-runs" / "lab").exists()
