"""The pages on evidence, drift, labels, captures and shadows in a real browser, with names chosen badly."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.checks import fits, watched
from tests.insight_scene import HOSTILE, NAME, InsightScene
from tidegate.domain.drift import DriftVerdict

TITLES = ("Rollout", "Metrics", "Versions", "Evidence", "Drift", "Labels", "Captures", "Shadow", "Card")
PAGES = ("evidence", "drift", "labels", "captures", "shadow")
LIVE = ("evidence", "drift", "labels", "shadow")
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> InsightScene:
    made = InsightScene(tmp_path_factory.mktemp("state"))
    made.prepare()
    return made


@pytest.fixture(scope="module")
def url(scene: InsightScene) -> Iterator[str]:
    with scene.served() as address:
        yield address


@pytest.fixture
def page(context: BrowserContext, url: str) -> Iterator[Page]:
    made = context.new_page()
    yield from watched(made, url)
    made.close()


def address(url: str, name: str) -> str:
    return f"{url}/console/endpoints/{NAME}/{name}"


@pytest.mark.parametrize("name", PAGES)
def test_nothing_bars_anybody_and_no_name_is_markup(page: Page, url: str, name: str) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(address(url, name))
    if name in LIVE:
        expect(page.locator("[data-pulse]")).to_have_text("live")
    fits(page, 1200)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 900})
    fits(page, 390)
    assert page.locator("img").count() == 0
    if name != "shadow":
        expect(page.locator("main")).to_contain_text(HOSTILE.replace("\u202e", "\ufffd"))


def test_the_pages_are_walked_through_by_keyboard(page: Page, url: str) -> None:
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(f"{url}/console/endpoints/{NAME}")
    tabs = page.get_by_role("navigation", name=f"Pages of {NAME}")
    assert tabs.get_by_role("link").all_inner_texts() == list(TITLES)
    for title in TITLES[1:]:
        tabs.get_by_role("link", name=title).focus()
        page.keyboard.press("Enter")
        expect(tabs.get_by_role("link", name=title)).to_have_attribute("aria-current", "page")


def test_what_another_look_finds_comes_to_the_open_page(page: Page, url: str, scene: InsightScene) -> None:
    page.goto(address(url, "drift"))
    expect(page.locator("main .badge").first).to_have_text("drift")
    try:
        scene.drift_again(DriftVerdict.NO_DRIFT)
        expect(page.locator("main .badge").first).to_have_text("no drift", timeout=10_000)
    finally:
        scene.drift_again(DriftVerdict.DRIFT)


def test_a_server_that_restarts_is_told_and_the_page_goes_on(browser: Browser, scene: InsightScene) -> None:
    page = browser.new_page()  # the browser itself reports what is not answered
    with scene.served() as first:
        page.goto(address(first, "evidence"))
        expect(page.locator("[data-pulse]")).to_have_text("live")
    notice = page.locator("[data-connection]")
    expect(notice).to_contain_text("The server does not answer", timeout=30_000)
    with scene.served(urlsplit(first).port or 0):
        expect(notice).to_contain_text("The server was started again", timeout=30_000)
        expect(page.locator("[data-pulse]")).to_have_text("live")
        page.close()
