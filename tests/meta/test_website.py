"""The documentation site: every page is in its navigation, every link leads somewhere, nothing is fetched."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from website.build import ROOT, build
from website.diagrams import DIAGRAMS, DOCS, draw

FETCHED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//", re.IGNORECASE)


def test_every_page_is_in_the_navigation_once() -> None:
    config = tomllib.loads((ROOT / "website" / "zensical.toml").read_text())
    named = list(pages(config["project"]["nav"]))
    written = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(named) == sorted(
        {*written, "index.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md"}
    )


def pages(navigation: list[Any]) -> Iterator[str]:
    for entry in navigation:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from pages(value) if isinstance(value, list) else [value]


def test_the_site_is_built_with_every_link_checked_and_fetches_nothing(tmp_path: Path) -> None:
    assert build(tmp_path) == 0, "the output above says what is wrong"
    built = list((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "evidence.html"} <= {path.name for path in built}
    assert [path.name for path in built if FETCHED.search(path.read_text())] == []


@pytest.mark.parametrize("name", DIAGRAMS)
def test_diagrams_are_current_and_shown_with_their_title(name: str) -> None:
    path = DOCS / f"diagram-{name}.svg"
    assert path.read_text() == draw(DIAGRAMS[name]), "run: python -m website.diagrams"
    shown = f"![{DIAGRAMS[name].title}]({path.name})"
    assert [page for page in DOCS.glob("*.md") if shown in page.read_text()]


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "RELEASING.md", "SECURITY.md"):
        (tmp_path / name).write_text("[gone](docs/gone.md)\n" if name == "README.md" else "")
    for name in ("docs", "examples", "website"):
        (tmp_path / name).mkdir()
    (tmp_path / "website" / "zensical.toml").write_text('[project]\nsite_name = "x"\ndocs_dir = "pages"\n')
    monkeypatch.setattr("website.build.ROOT", tmp_path)
    assert build(tmp_path / "build") != 0
