"""The pages for users: README, docs and the how-to guides, and their text with the blocks of lists unindented."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "how-to").glob("*.md"))
PAGES = {path.name: path for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md")), *GUIDES)}
"""By their names, which differ in all folders."""
_INDENTED = re.compile(r"^ {2,4}```.*?^ {2,4}```$", re.MULTILINE | re.DOTALL)


def read_page(name: str) -> str:
    """A page whose fenced blocks all begin in the first column."""
    return _INDENTED.sub(lambda found: textwrap.dedent(found[0]), PAGES[name].read_text())
