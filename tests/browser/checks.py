"""What every page of the console is held to."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect


def watched(page: Page, url: str) -> Iterator[Page]:
    """A page of the server at ``url``, whose trouble and whose requests to elsewhere fail the test."""
    trouble: list[str] = []
    page.on("console", lambda told: trouble.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    here = urlsplit(url).netloc

    def asked(address: str) -> None:
        if urlsplit(address).netloc != here:
            trouble.append(f"asked {address}")

    page.on("request", lambda request: asked(request.url))
    yield page
    assert trouble == []


def fits(page: Page, width: int) -> None:
    """Accessible, and not wider than the screen, once it is computed."""
    expect(page.locator("[data-waiting]")).to_have_count(0, timeout=60_000)
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
