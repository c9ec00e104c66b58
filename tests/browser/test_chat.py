"""The page to chat, in a browser: what is said appears as it is generated."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests import tiny_language_model
from tests.browser.checks import fits
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.timeout(180)
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def deployed(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    model: Path = tmp_path_factory.mktemp("chat") / "tiny.gguf"
    tiny_language_model.write(model)
    model_of = {"image": "tidegate/gguf", "data": model.as_uri()}
    asked = {"spec": {"endpoint": "chat", "model": model_of}, "by": "test"}
    httpx.put(f"{platform.url}/tidegate/v1/deploy", json=asked, timeout=60).raise_for_status()

    def serves() -> bool:
        return bool(httpx.get(f"{platform.url}/tidegate/v1/endpoints/chat").json()["status"] == "InService")

    wait_until(serves, "the endpoint serves", 120)
    return platform


def test_a_question_is_answered_and_a_new_conversation_begins_anew(page: Page, deployed: Platform) -> None:
    page.goto(f"{deployed.url}/console/endpoints/chat")
    page.get_by_role("link", name="Chat with it").click()
    page.get_by_label("Your message").fill(HOSTILE)
    with page.expect_request(lambda asked: asked.url.endswith("/v1/chat/completions")) as streamed:
        page.get_by_role("button", name="Send").click()
    assert '"stream":true' in (streamed.value.post_data or ""), "not InvokeEndpoint, whose answers come whole"
    said = page.locator("[data-said] li")
    expect(said).to_have_count(2)
    expect(said.first.locator("span")).to_have_text(HOSTILE)
    expect(page.locator("[data-measured]")).to_contain_text("First words after", timeout=60_000)
    expect(said.last.locator("span")).not_to_be_empty()
    fits(page, 1200)
    page.set_viewport_size({"width": 390, "height": 900})
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    fits(page, 390)
    page.get_by_role("button", name="New conversation").click()
    expect(said).to_have_count(0)
