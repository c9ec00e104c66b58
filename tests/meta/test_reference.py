"""Pages of the documentation that are generated are those that the code would generate now."""

from pathlib import Path

import pytest

from tidegate.compose import reference
from tidegate.service.prometheus import families, render, render_storage
from tidegate.settings import VARIABLES, Settings
from tidegate.wire import coverage

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("page", "command"), [("reference.md", reference), ("api.md", coverage)])
def test_a_generated_page_is_current(page: str, command: object) -> None:
    written = (DOCS / page).read_text()
    name = command.__name__  # type: ignore[attr-defined]
    assert written == command.render_page(), f"run: python -m {name} > docs/{page}"  # type: ignore[attr-defined]


def test_every_setting_has_a_meaning() -> None:
    meanings = reference.read_docstrings(Settings)
    assert [name for name, _ in VARIABLES.values() if len(meanings.get(name, "")) < 10] == []


def test_metrics_of_the_page_are_listed() -> None:
    text = render({}, [], []) + render_storage(0, 0)
    shown = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert shown and shown <= {name for name, _, _ in families()}
