"""The runtime that CONTRIBUTING.md describes, added to a copy of the source as it says."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tidegate
from tests.worker_process import Workers, workers
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind

__all__ = ["workers"]

SOURCE = Path(tidegate.__file__).parent
GUIDE = SOURCE.parents[1] / "CONTRIBUTING.md"


def guide_blocks() -> list[str]:
    """The row and the module."""
    section = GUIDE.read_text().partition("### Add a model runtime\n")[2].partition("\n### ")[0]
    return [
        textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```$", section, re.DOTALL | re.M)
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a copy of the package that has one row and one module more."""
    row, module = guide_blocks()
    copy = tmp_path / "source" / "tidegate"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    catalogue = copy / "serving" / "contract" / "catalogue.py"
    text = catalogue.read_text()
    assert text.count("\n    AUTO = ") == 1
    catalogue.write_text(text.replace("\n    AUTO = ", f"\n{textwrap.indent(row, '    ')}    AUTO = "))
    (copy / "serving" / "runtimes" / "weights.py").write_text(module)
    return copy.parent


def test_a_worker_serves_a_runtime_that_is_one_row_and_one_module(
    source: Path, workers: Workers, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "model.weights").write_text("[1, 10, 100]")
    workers.source = source

    async def scene() -> None:
        worker = workers.start(RuntimeChoice(RuntimeKind.AUTO), f"file://{tmp_path}/data/")
        await worker.ready()
        answer = await worker.ask(body=b"1,2,3\n4,5,6\n", headers={"content-type": "text/csv"})
        assert (answer.status, answer.body) == (200, b"321.0\n654.0\n")
        refused = await worker.ask(body=b"1,2\n", headers={"content-type": "text/csv"})
        assert (refused.status, refused.json()["OriginalStatusCode"]) == (424, 400)

    workers.run(scene())


@pytest.mark.parametrize(
    ("script", "output"),
    [
        (
            "from tidegate.serving.contract.images import ImageTable, resolve;"
            "print(resolve('tidegate/weights:1', ImageTable()).kind)",
            "weights",
        ),
        (
            "from tidegate.serving.contract.runtime_tables import image_table;"
            "print('| `tidegate/weights` | one `.weights` file | `script` | rows of numbers |' in image_table())",
            "True",
        ),
    ],
    ids=["image", "docs"],
)
def test_its_image_and_its_line_in_the_docs_come_from_the_row(source: Path, script: str, output: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=source,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == output
