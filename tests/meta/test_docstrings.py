"""First lines of docstrings make sense on their own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "tidegate"
FRAGMENTS = ("What", "Of", "Nothing", "Where", "As", "Without", "That", "Whose", "Such", "Beside")
"""A docstring that begins with one of these continues the name of its function instead of saying what it does."""
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def find_fragments(text: str, name: str) -> Iterator[str]:
    """Lines of a file whose docstring begins with a fragment."""
    for node in ast.walk(ast.parse(text)):
        docstring = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        if docstring and docstring.split(maxsplit=1)[0].rstrip(",.:") in FRAGMENTS:
            yield f"{name}:{getattr(node, 'lineno', 1)}: {docstring.splitlines()[0]}"


@pytest.mark.parametrize(
    ("docstring", "refused"),
    [
        ("What the server imports.", True),
        ("Of one version.", True),
        ("Whatever fails.", False),
        ("Start it.", False),
    ],
)
def test_a_fragment_is_found(docstring: str, refused: bool) -> None:
    assert list(find_fragments(f'def f():\n    """{docstring}"""\n', "f.py")) == (
        [f"f.py:1: {docstring}"] if refused else []
    )


def test_first_lines_of_docstrings_make_sense_on_their_own() -> None:
    found = [
        one
        for path in sorted(SOURCE.rglob("*.py"))
        for one in find_fragments(path.read_text(), path.relative_to(SOURCE).as_posix())
    ]
    assert found == []
