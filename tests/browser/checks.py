"""What every page of the console is held to."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

PHONE = 480
expect.set_options(timeout=60_000)  # simulated pages take seconds, and many more on a busy machine
WIDE_TABLES = """[...document.querySelectorAll(".scroll")]
  .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.ariaLabel)"""
BROKEN_TIMES = """[...document.querySelectorAll("td time")]
  .filter((one) => one.getClientRects().length > 1)
  .map((one) => one.textContent)"""


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
    assert trouble == [], "; ".join(trouble)


def await_result(page: Page) -> None:
    """Return once the page shows its result. A page that is still being computed loads again by itself, and one that
    is only half read has no footer yet."""
    expect(page.locator("body:has(footer):not(:has([data-waiting]))")).to_have_count(1, timeout=60_000)


def fits(page: Page, width: int) -> None:
    """Once it is computed: accessible, neither the page nor a table wider than the screen, no time broken."""
    await_result(page)
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width < PHONE:
        assert page.evaluate(WIDE_TABLES) == []
    else:
        assert page.evaluate(BROKEN_TIMES) == []
