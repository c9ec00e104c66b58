"""Rendering of every page of the console. It imports little, since the first page of a server waits for the
import."""

import asyncio
import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tidegate import __version__
from tidegate.console import chapters
from tidegate.console.figures import format_dollars
from tidegate.console.identity import identify_reader, page_headers
from tidegate.domain.feature import Menu
from tidegate.gateway.dependencies import Gateway
from tidegate.host.features import features
from tidegate.prices import Catalogue, price_folder

PAGES = chapters.list_links(Menu.TOP)


def _find_templates() -> list[PackageLoader]:
    """Return the loaders of templates: that of the core, then those of the features that are on."""
    packages = (one.package for one in features())
    there = (package for package in packages if files(package).joinpath("templates").is_dir())
    return [PackageLoader("tidegate.console"), *(PackageLoader(package) for package in there)]


def _pages_of_features() -> list[tuple[str, str]]:
    """Return the pages of features with a title in a manifest, in the order of the path through an update."""
    found = [tab for one in features() for tab in one.feature.tabs]
    return [(path, title) for _, path, title in sorted(found)]


ENDPOINT_PAGES = (
    ("", "Rollout"),
    ("/metrics", "Metrics"),
    ("/history", "Versions"),
    *_pages_of_features(),
    ("/card", "Card"),
)
"""Path after that of the endpoint, and title, of the pages that every endpoint has."""
REGION = "us-east-1"

UNSEEN = dict.fromkeys(
    [char for low, high in ((0, 8), (11, 12), (14, 31), (127, 159)) for char in range(low, high + 1)]
    + [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\ufffd",
)
"""Control characters, and those that turn the direction of a text: a name with one of them would turn the words that
follow it, such as a verdict."""


def show_unseen(value: Any) -> Any:
    """Replace invisible characters in a value that a page prints with a visible mark."""
    return value.translate(UNSEEN) if type(value) is str else value


TEMPLATES = Environment(
    loader=ChoiceLoader(_find_templates()),
    autoescape=True,
    finalize=show_unseen,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def add_word_breaks(text: str) -> Markup:
    """Allow line breaks between the words of names such as InvocationsPerInstance, and between the parts of paths and
    keys."""
    return Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])|(?<=[/_])|(?<=[A-Za-z]\.)", text))


TEMPLATES.filters["soft"] = add_word_breaks
TEMPLATES.globals["dollars"] = format_dollars
TEMPLATES.globals["endpoint_pages"] = ENDPOINT_PAGES
TEMPLATES.globals["people_pages"] = chapters.list_links(Menu.PEOPLE)
TEMPLATES.globals["has_page"] = chapters.has_page


def render_page(name: str, request: Request, catalogue: Catalogue, **context: Any) -> Response:
    """Render a template as a page."""
    text = TEMPLATES.get_template(f"{name}.html").render(
        pages=PAGES,
        here=request.url.path,
        chapters=chapters.CHAPTERS,
        neighbours=chapters.neighbours(request.url.path),
        place=chapters.find_place(request.url.path),
        learning=chapters.is_in_story(request.url.path),
        version=__version__,
        who=identify_reader(request),
        region=REGION,
        prices_of=max(rate.date for rate in catalogue.rates()).isoformat(),
        **context,
    )
    return HTMLResponse(text, headers=page_headers(request))


async def load_catalogue(gateway: Gateway) -> Catalogue:
    """Load the prices. The result is the same object until the files change. Files are read and parsed in a thread,
    not on the platform's event loop."""
    return await asyncio.to_thread(_load, price_folder(gateway.settings.prices, gateway.settings.state))


def _load(folder: Path | None) -> Catalogue:
    if folder is None or not folder.is_dir():
        return _parse(folder, ())
    seen = [(one.name, one.stat()) for one in sorted(folder.iterdir())]
    return _parse(folder, tuple((name, found.st_mtime_ns, found.st_size, found.st_ino) for name, found in seen))


@lru_cache(maxsize=2)
def _parse(folder: Path | None, seen: tuple[tuple[str, int, int, int], ...]) -> Catalogue:
    """Parse the prices. ``seen`` changes when the files do."""
    return Catalogue.load(folder)
