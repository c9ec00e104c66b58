"""Write the lab as a Jupyter notebook, ``docs/lab.ipynb`` of ``docs/lab.md``: ``python -m website.lab_notebook``.

Prose becomes cells of Markdown, and each block of commands a cell that runs in a shell of its own.
"""

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "lab.md"
NOTEBOOK = DOCS / "lab.ipynb"
BLOCK = re.compile(r"^```sh\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
SHELL = "%%bash\nset -e\n"
NOTE = (
    "\n\nEach cell of commands runs in a shell of its own, in this notebook's folder, where what they make "
    "(`tidegate-examples`, `traffic.txt`) lies as well."
)


def main() -> None:
    NOTEBOOK.write_text(notebook(PAGE.read_text()))


def notebook(page: str) -> str:
    """The notebook of a page: the same text for the same page."""
    cells: list[dict[str, Any]] = []
    for place, text in enumerate(BLOCK.split(page)):
        if text.strip():
            cells.append(_commands(text, len(cells)) if place % 2 else _prose(text, len(cells)))
    about = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    made = {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _prose(text: str, place: int) -> dict[str, Any]:
    shown = text.strip() if place else text.strip().replace("\n\n## ", f"{NOTE}\n\n## ", 1)
    return {"cell_type": "markdown", "id": f"cell-{place:02}", "metadata": {}, "source": _lines(shown)}


def _commands(text: str, place: int) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": f"cell-{place:02}",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": _lines(SHELL + text.strip()),
    }


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    main()
