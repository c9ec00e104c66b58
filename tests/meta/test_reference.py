"""The reference of settings, metrics, errors and operations is current and complete."""

from pathlib import Path

from tidegate.compose import reference
from tidegate.service.prometheus import families, render, render_storage
from tidegate.settings import VARIABLES, Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_page_is_what_the_code_would_generate_now() -> None:
    command = "python -m tidegate.compose.reference > docs/reference.md"
    assert PAGE.read_text() == reference.render_page(), f"run: {command}"


def test_every_setting_has_a_meaning() -> None:
    meanings = reference.read_docstrings(Settings)
    assert [name for name, _ in VARIABLES.values() if len(meanings.get(name, "")) < 10] == []


def test_metrics_of_the_page_are_listed() -> None:
    text = render({}, [], []) + render_storage(0, 0)
    shown = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert shown and shown <= {name for name, _, _ in families()}
