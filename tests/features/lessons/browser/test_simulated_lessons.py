"""Lessons in simulation only, as a learner meets them: found from another chapter, and played with a choice."""

import re

from playwright.sync_api import Page, expect

from tests.browser.checks import await_result
from tidegate.host.platform import Platform


def test_a_failing_container_is_tried_from_the_page_of_many_models(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/console/architectures")
    await_result(page)
    page.get_by_role("link", name="Try a pipeline and a direct endpoint").click()
    await_result(page)
    page.get_by_label("What is wrong").select_option("It fails")
    page.get_by_label("With the container").select_option("check")
    page.get_by_role("button", name="Run it again").click()
    await_result(page)
    expect(page).to_have_url(re.compile("fault=fails&container=check"))
    expect(page.get_by_text(re.compile("Pipeline: .* check: the model raised an exception"))).to_be_visible()
    expect(
        page.get_by_text("A pipeline is for stages that every request needs in one order, a direct endpoint")
    ).to_be_visible()
    expect(page.get_by_role("button", name="Run it live")).to_have_count(0)
    page.get_by_role("link", name="Which alarm sees which fault").click()
    await_result(page)
    expect(page.get_by_role("region", name="Each fault, and the guard that saw it")).to_contain_text("nobody")
