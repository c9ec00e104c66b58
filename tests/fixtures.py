"""Fixtures of more than one folder: a platform with a client, a browser, an API over HTTP, a database."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser import steady_network
from tests.browser.checks import watched
from tests.scene import Scene, train
from tests.served_wire import Served, serve
from tests.system_packages import lacks
from tidegate.host.platform import Platform
from tidegate.store.database import Database, open_database

STAND_IN = "test/stand-in"
"""Image of ``integration/stand_in_model.py`` in the platform's table."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def images(folder: Path) -> Path:
    """Write a table of images, which has STAND_IN alone, and return its path."""
    program = Path(__file__).with_name("integration") / "stand_in_model.py"
    table = folder / "images.yaml"
    table.write_text(f"images:\n  {STAND_IN}:\n    command: [{sys.executable}, {program}]\n")
    return table


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A whole platform that only the tests of one module use."""
    folder = tmp_path_factory.mktemp("images")
    with Platform(environment={"TIDEGATE_IMAGES": str(images(folder)), "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def scene(platform: Platform) -> Scene:
    """A user with boto3 on the platform."""
    return Scene(platform)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """URLs of two small models."""
    folder = tmp_path_factory.mktemp("models")
    return train(folder, 1, features=4, trees=5), train(folder, 2, features=4, trees=5)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A real Chromium, which does not notice networks that come and go beside it."""
    if CHROMIUM is None:
        pytest.skip(lacks("chromium"))
    program = tmp_path_factory.mktemp("browser") / "chromium"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{steady_network.__file__}" "{CHROMIUM}" "$@"\n')
    program.chmod(0o700)
    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A window of a desktop's size."""
    with browser.new_context(viewport={"width": 1200, "height": 900}) as shared:
        yield shared


@pytest.fixture
def page(context: BrowserContext, platform: Platform) -> Iterator[Page]:
    """A page of the browser. Errors in it, and requests to other hosts, fail the test."""
    made = context.new_page()
    yield from watched(made, platform.url)
    made.close()


@pytest.fixture
def wire(sqlite_url: str) -> Iterator[Served]:
    """The APIs of AWS, served to real clients, without targets. Contract tests show that databases do not differ."""
    with serve(sqlite_url) as served:
        yield served


@pytest.fixture
def sagemaker(wire: Served) -> Any:
    """A boto3 client of SageMaker's API."""
    return wire.client("sagemaker")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database of each kind, with its tables."""
    opened = open_database(database_url, serial=False)
    yield opened
    opened.shut()
