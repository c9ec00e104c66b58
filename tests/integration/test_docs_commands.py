"""Pages whose commands are run as they stand: every ``sh`` block in order, with the files that the page shows.

A block is a fence with its language and, for a file, its name: ``yaml fraud.yaml``. ``sh install`` needs a
package index or a clone and is not run here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.testing.platform import free_port

pytestmark = pytest.mark.e2e
BIN = Path(os.environ.get("TIDEGATE_TEST_BIN") or Path(sys.executable).parent)
"""Whose commands: of this environment, or of one with a wheel (make wheel)."""
DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(\w+)(?: ([\w.-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:8471"
"""Where the pages expect the server; the test has a port of its own."""


START = "getting-started.md"
MODELS = "python3 train.py\ncp v1.ubj model.ubj"
"""What has been done with the files of the first page where another one begins."""
EXPECTED = {START: ["exit status 1: it was rolled back", "InService"], "ci-cd.md": ["fraud", "InService"]}


def script(page: str, port: int) -> str:
    """What a reader would type, in one shell that ends at the first command that fails."""
    pages = [page] if page == START else [START, page]
    lines = ["set -eu"]
    for each in pages:
        for language, name, text in FENCE.findall((DOCS / each).read_text()):
            here = text.replace(ADDRESS, f"127.0.0.1:{port}")
            if language == "sh" and not name and each == page:
                lines.append(here)
            elif language != "sh" and name:
                lines.append(f"cat > {name} <<'END OF FILE'\n{here}END OF FILE")
        if each != page:
            lines.append(MODELS)
    return "\n".join(lines)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", EXPECTED)
def test_the_commands_of_a_page_work_in_their_order(page: str, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))},
        "PATH": f"{BIN.resolve()}:{os.environ['PATH']}",
        "TIDEGATE_STATE": str(tmp_path / "state"),
        "TIDEGATE_PORT": str(port),
        "TIDEGATE_URL": f"http://127.0.0.1:{port}",
    }
    work = tmp_path / "work"
    work.mkdir()
    try:
        ran = subprocess.run(
            ["bash", "-c", script(page, port)], cwd=work, env=environment, capture_output=True, text=True
        )
    finally:
        subprocess.run([BIN / "tidegate", "down"], env=environment, cwd=work, capture_output=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [text for text in EXPECTED[page] if text not in ran.stdout] == []
