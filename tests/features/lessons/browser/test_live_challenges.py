"""A live challenge as an operator meets it: started by a click, followed as it goes, its story read afterwards."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.checks import fits
from tidegate.host.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_an_incident_is_run_by_a_click_and_told_by_journal_and_audit(page: Page, platform: Platform) -> None:
    other = page.context.new_page()
    other.goto(f"{platform.url}/console/lessons/drift")
    expect(other.locator("[data-live]")).to_contain_text("It has not been run here yet", timeout=60_000)
    page.goto(f"{platform.url}/console/lessons/incident")
    live = page.locator("[data-live]")
    # The page waits for its simulation first.
    expect(live).to_contain_text("It has not been run here yet", timeout=60_000)
    live.get_by_role("button", name="Run it live").click()
    page.get_by_label("Your name").fill("dana <b>")
    page.get_by_role("dialog").get_by_role("button", name="Run it live").click()
    expect(live.get_by_role("button", name="Stop it")).to_be_visible(timeout=20_000)
    expect(live.locator("li:has([aria-current])")).to_contain_text("requests a second", timeout=60_000)
    expect(live).to_contain_text("tidegate events tidegate-live-incident-")
    expect(other.locator("[data-live]")).to_contain_text("Another one is under way: incident", timeout=60_000)
    expect(other.get_by_role("button", name="Run it live")).to_have_count(0)
    other.close()
    verdict = live.locator("[data-verdict]")
    expect(verdict).to_have_attribute("data-verdict", re.compile("shown|failed|stopped"), timeout=120_000)
    expect(verdict).to_contain_text("requests met the bad version, which was rolled back by itself")
    journal = live.get_by_role("list", name="Journal of the live run")
    expect(journal).to_contain_text("in ALARM state")
    expect(journal).to_contain_text("asked for by dana <b>")
    expect(live.get_by_role("region", name="Audit of the live run")).to_contain_text("challenge incident: retry")
    expect(live.get_by_role("img", name=re.compile("Share of the new version"))).to_be_visible()
    expect(live.get_by_role("button", name="Run it live again")).to_be_visible(timeout=60_000)
    fits(page, 1200)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 900})
    fits(page, 390)
    page.set_viewport_size({"width": 1200, "height": 900})
