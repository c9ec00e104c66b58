"""The commands of the README set everything up, or say in one line what to do; CI runs the same ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.file_order import TABLE
from tests.system_packages import count_skipped, lacks, read_packages

ROOT = Path(__file__).parents[2]
CI = (ROOT / ".ci" / "run").read_text()


def test_ci_runs_the_readmes_test_command() -> None:
    block = re.search(r"^```sh develop\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    assert f"\ntimed {block[1].strip()} || again\n" in CI


def test_ci_and_the_workflows_install_the_packages_of_the_one_list() -> None:
    texts = [CI, *(one.read_text() for one in (ROOT / ".github" / "workflows").glob("*.yml"))]
    others = set(read_packages()) - {"openssl"}
    assert all("make packages" in text for text in texts if "make test" in text or "matrix.target" in text)
    assert [text for text in texts if re.search(rf"apt-get install.*\b({'|'.join(others)})\b", text)] == []


def test_ci_files_exist_and_take_a_quarter_of_an_hour() -> None:
    """Four processes run at a time on two processors, so a file takes at most half of the time that its process took
    in the run that ``tests/file_seconds.txt`` has."""
    named = [line.split(": ") for line in (ROOT / "tests" / "ci_files.txt").read_text().splitlines()]
    assert all((ROOT / name).is_file() and reason for name, reason in named)
    seconds = dict(line.split()[::-1] for line in TABLE.read_text().splitlines())
    assert sum(int(seconds.get(name, 5)) for name, _ in named) / 2 <= 15 * 60


def test_what_was_skipped_is_told_by_package_with_the_command_that_installs_it() -> None:
    reasons = [lacks("chromium"), lacks("postgresql"), lacks("chromium"), "root may read everything"]
    assert count_skipped([f"Skipped: {one}" for one in reasons]) == [
        "     2 skipped without chromium",
        "     1 skipped without postgresql",
        "make packages installs what is missing",
    ]
    assert count_skipped(["Skipped: root may read everything"]) == []
    with pytest.raises(KeyError):
        lacks("unlisted")


OLD = f"""exec {sys.executable} -c "import sys; sys.version_info = (3, 10, 0); $2" """
BARE = f"""case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@" """
ALONE = """case "$*" in "-m pip "*) echo no route to host >&2; exit 1;; esac"""


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (OLD, "tidegate needs Python 3.11 or newer: make PYTHON=python3.11"),
        (BARE, "has no module venv: apt-get install python3-venv"),
        (ALONE, "name one in PIP_INDEX_URL (pip: no route to host)"),
        (None, "apt-get install python3 python3-venv"),
    ],
)
@pytest.mark.parametrize("target", [".demo", ".test"])
def test_a_machine_without_what_is_needed_is_told_what_to_do(
    target: str, program: str | None, told: str, tmp_path: Path
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    if program is not None:
        python.write_text(f"#!/bin/sh\n{program}\n")
        python.chmod(0o755)
    variables = [f"VENV={tmp_path}", f"PYTHON={python}"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", *variables, f"{tmp_path}/{target}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("make: ***")]
    assert done.returncode and len(said) == 1 and told in said[0]
