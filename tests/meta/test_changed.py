"""Which tests a change reaches (``make changed``)."""

from collections.abc import Collection

import pytest

from tests import changed

SOURCES = {
    "src/tidegate/__init__.py": "",
    "src/tidegate/rows.py": "",
    "src/tidegate/judge.py": "from tidegate.rows import read",
    "src/tidegate/console/page.py": "from tidegate import judge\nNAME = 'list.html'",
    "src/tidegate/features/drift/feature.py": "",
    "src/tidegate/features/drift/loop.py": "import tidegate.rows",
    "tests/fixtures.py": "from tidegate.judge import Judge\n\n\ndef judge():\n    return Judge()\n",
    "tests/unit/test_rows.py": "from tidegate.rows import read",
    "tests/unit/test_judge.py": "def test_it(judge): pass",
    "tests/unit/console/test_page.py": "from tidegate.console.page import show",
    "tests/unit/console/test_late.py": "",
    "tests/features/drift/unit/test_loop.py": "",
    "tests/meta/test_guide.py": "PAGE = 'guide.md'",
}


def reach(*paths: str) -> set[str]:
    """Names of the test files."""
    facts = {path: changed.read_facts(text) for path, text in SOURCES.items()}

    def naming(name: str) -> Collection[str]:
        return [path for path, text in SOURCES.items() if name in text]

    found = changed.Reach(facts, SOURCES["tests/fixtures.py"], naming).tests(paths)
    return {path.rpartition("/")[2].removesuffix(".py") for path in found}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/unit/test_rows.py", {"test_rows"}),
        ("src/tidegate/rows.py", {"test_rows", "test_judge", "test_page"}),
        ("src/tidegate/judge.py", {"test_judge", "test_page"}),
        ("src/tidegate/console/page.py", {"test_page", "test_late"}),
        ("src/tidegate/console/templates/list.html", {"test_page", "test_late"}),
        ("src/tidegate/console/static/unnamed.css", {"test_page", "test_late"}),
        ("src/tidegate/features/drift/feature.py", {"test_loop"}),
        ("docs/guide.md", {"test_guide"}),
        ("docs/unknown.md", set()),
    ],
)
def test_a_change_reaches_the_tests_that_import_or_name_it(path: str, expected: set[str]) -> None:
    assert reach(path) == expected


def test_a_change_of_the_requirements_reaches_every_test() -> None:
    assert len(reach("pyproject.toml")) == sum(path.rpartition("/")[2].startswith("test_") for path in SOURCES)


def test_shares_are_of_seconds() -> None:
    assert changed.share(["a"], ["a", "b"], {"a": 3.0}) == pytest.approx(0.75)
