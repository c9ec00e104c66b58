"""``tidegate demo`` ends as it should, leaves nothing, and prints what the README shows."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.documentation import read_page

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def mask(line: str) -> str:
    """The line without its times, which differ from run to run."""
    return re.sub(r"\d+(\.\d+)? s\b", "N s", line.strip())


def test_the_demo_ends_well_leaves_nothing_and_prints_what_the_readme_shows() -> None:
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:  # a short path, for sockets
        done = subprocess.run(
            [sys.executable, "-m", "tidegate.cli", "demo"],
            env={**os.environ, "TMPDIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(Path(folder).iterdir()) == []
        commands = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
        assert [one for one in commands if folder in one] == []
    after = read_page("README.md").partition("```sh demo\n")[2]
    (shown,) = re.findall(r"^```text\n(.*?)^```$", after.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    printed = [mask(line) for line in done.stdout.splitlines()]
    assert len(shown.splitlines()) == 8
    assert [line for line in map(mask, shown.splitlines()) if line not in printed] == []
