"""Save a picture of every page of a running console, in two widths and both themes:
``python -m website.screenshots FOLDER [PATH ...]``. TIDEGATE_URL says where the server is."""

import os
import shutil
import sys
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import httpx
from playwright.sync_api import Page, sync_playwright

from tidegate.console.chapters import CHAPTERS
from tidegate.console.rendering import ENDPOINT_PAGES, PAGES

SIZES = (1440, 900), (390, 844)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PATIENCE = 60_000
"""Milliseconds for a page that is computed."""


def main(folder: str, *paths: str) -> None:
    url = os.environ.get("TIDEGATE_URL", "http://127.0.0.1:8471")
    Path(folder).mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width, height in SIZES:
            for scheme in SCHEMES:
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                for path in paths or list_paths(url):
                    take(page, url + path, Path(folder, f"{name_file(path)}-{width}-{scheme}.png"))
                page.close()
        browser.close()


def list_paths(url: str) -> list[str]:
    """Pages of the menu, those of Learn, and all of the first endpoint."""
    found = [one.path for one in (*PAGES, *CHAPTERS)] + ["/console/audit", "/console/nowhere"]
    endpoints = httpx.get(f"{url}/tidegate/v1/endpoints").raise_for_status().json()["endpoints"]
    for one in endpoints[:1]:
        found += [f"/console/endpoints/{quote(one['name'], safe='')}{path}" for path, _ in ENDPOINT_PAGES]
    return list(dict.fromkeys(found))


def name_file(path: str) -> str:
    return path.removeprefix("/console").strip("/").replace("/", "-") or "endpoints"


def take(page: Page, address: str, picture: Path) -> None:
    page.goto(address)
    page.wait_for_selector("body:not(:has([data-waiting]))", timeout=PATIENCE)
    page.screenshot(path=picture, full_page=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
