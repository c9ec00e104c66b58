"""The documents name everything that a person can use, and what they show works."""

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from website.commands import FOLDER, list_commands, render_pages

from tests.documentation import PAGES, ROOT, read_page
from tidegate import spec
from tidegate.cli.commands import ALIASES, FORMER_NAMES, MEMBER_NAMES, TASKS
from tidegate.features.asynchronous.spec import AsyncSpec
from tidegate.features.autoscaling import spec_build as scaling_structures
from tidegate.features.capture import spec as capture
from tidegate.spec import structures
from tidegate.spec.admission import QuotasSpec
from tidegate.spec.sections import spec_file

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def test_every_command_has_a_page_that_is_current_with_an_example_and_a_link() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*.md")} == render_pages(), (
        "run: python -m website.commands"
    )
    for name, _, leaves in list_commands():
        rows = "\n".join(line for line in page("cli.md").splitlines() if f"](commands/{name}.md)" in line)
        for words, command in leaves:
            assert words.removesuffix(" list") in command.help.partition("Example")[2], words
            member = words.split()[1:3][-1]
            assert f"`{member}`" in rows or f"`{name} {member}`" in rows or f"[`{member}`]" in rows, words


KINDS = (
    spec_file(),
    structures.ModelSpec,
    structures.ContainerSection,
    structures.VariantSection,
    structures.ShadowSpec,
    AsyncSpec,
    structures.ServerlessSpec,
    scaling_structures.AutoscalingSpec,
    scaling_structures.PeakSpec,
    scaling_structures.ForecastSpec,
    QuotasSpec,
    structures.RolloutSpec,
    capture.CaptureSection,
    capture.RedactSpec,
    structures.AlarmSpec,
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_spec_is_in_its_page(kind: type[msgspec.Struct]) -> None:
    text = page("spec.md")
    assert [f.name for f in msgspec.structs.fields(kind) if f"`{f.encode_name}`" not in text] == []


@pytest.mark.parametrize("path", PAGES.values(), ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target


def shown(kind: str) -> list[tuple[str, str]]:
    """Blocks of code: (page, text)."""
    fence = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(name, text) for name in PAGES for word, text in fence.findall(read_page(name)) if word == kind]


def test_every_spec_that_is_shown_is_a_good_one() -> None:
    found = [(name, block) for name, block in shown("yaml") if re.search("^endpoint:", block, re.MULTILINE)]
    assert {name for name, _ in found} >= {"README.md", "getting-started.md"}
    for name, block in found:
        loaded = spec.load(block, name)
        assert loaded.wish(NOW, spec.resolve(loaded.data, "/somewhere")).endpoint == "fraud"


def test_every_python_that_is_shown_compiles() -> None:
    blocks = shown("python")
    assert blocks
    for name, block in blocks:
        compile(block, name, "exec")


def test_every_command_line_that_is_shown_exists() -> None:
    known = {entry.name for task in TASKS.values() for entry in task} | set(ALIASES)
    lines = [
        word
        for _, block in (*shown(""), *shown("sh"))
        for word in re.findall(r"^(?:\w+=\S+ )?tidegate ([\w-]+)", block, re.M)
    ]
    assert len(lines) > 10
    assert set(lines) <= known


def test_nothing_tells_people_to_use_a_former_name() -> None:
    """Pages of the documentation, messages and the console; a name that is a group today must be followed by one of
    the group's, or end there."""
    names = "|".join(sorted(FORMER_NAMES, key=len, reverse=True))
    call = re.compile(rf"\btidegate ({names})(?=[ `'\"])(?: ([\w{{\"<-]+))?")
    sources = [path for kind in ("py", "html", "js") for path in (ROOT / "src").rglob(f"*.{kind}")]
    found = []
    for path in (*PAGES.values(), *sources):
        for name, word in call.findall(path.read_text()):
            group = MEMBER_NAMES.get(name, frozenset())
            if name not in MEMBER_NAMES or (
                word and word.rstrip('"') not in group and not word.startswith("--help")
            ):
                found.append(f"{path.relative_to(ROOT)}: tidegate {name} {word}")
    assert [one for one in found if "tidegate drift baseline" not in one] == [], "but for the mark of a file"


def test_messages_that_troubleshooting_quotes_are_said() -> None:
    """A quotation of three words or more, in parts around its dots, is somewhere in the source."""
    source = " ".join(
        re.sub(r'"\s*\n\s*f?"', "", path.read_text()) for path in sorted((ROOT / "src").rglob("*.py"))
    )
    quoted = re.findall(r"^\| ([^|]+) \|", page("troubleshooting.md"), re.MULTILINE)
    parts = [
        part.strip()
        for row in quoted
        for quotation in re.findall(r"`([^`]+)`", row)
        if len(quotation.split()) >= 3
        for part in quotation.split("...")
        if part.strip()
    ]
    assert len(parts) > 10
    assert [part for part in parts if part not in source] == []
