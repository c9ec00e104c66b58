"""How tests are dealt out to processes: whole files, those that take longest first.

pytest-xdist begins with the files that have the most tests. Those that take longest start a whole platform and have
few: begun last, they run at the end beside idle processes. ``file_seconds.txt`` has the seconds of each file that
takes five or more; ``make seconds`` runs everything and writes it again. ``--shorter-than`` leaves files out by it,
and files of ``LONG`` seconds and more are marked ``slow``, but for those in ``FLOWS``: `make test` leaves them to CI.
``--until`` skips, with the reason, what has not begun by then: CI's own time is limited.

Files in ``SHARED_OUT`` are dealt out test by test, after all others: their tests compute for seconds, share no
fixture, and fill the time in which other processes finish their last file.
"""

import sys
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("file_seconds.txt")
SHORTEST = 5.0
"""Seconds; shorter files are not in the table."""
LONG = 10.0
"""Seconds from which a file is left to `make test-all`."""
FLOWS = frozenset(
    f"tests/{name}.py"
    for name in (
        "browser/test_operate",
        "features/batch/integration/test_platform_transform",
        "features/capture/integration/test_platform_capture",
        "features/compare/integration/test_compare",
        "features/containers/integration/test_platform_container_images",
        "features/drift/integration/test_platform_drift",
        "features/evidence/integration/test_platform_evidence",
        "features/labels/integration/test_platform_labels",
        "features/multi_model/integration/test_platform_models",
        "features/release_record/integration/test_platform_release_records",
        "features/services/integration/test_platform_services",
        "features/shadow/integration/test_platform_shadow",
        "integration/test_platform_rollouts",
    )
)
"""Long files that `make test` runs all the same: what it has of each feature, of a rollout and of the console."""
SHARED_OUT = frozenset(
    f"tests/{name}.py"
    for name in (
        "integration/test_features",
        "property/test_loop_mutants",
        "property/test_loop_scenarios",
        "property/test_loop_worlds",
        "property/test_rollout_mutants",
    )
)


def read_table(text: str) -> dict[str, float]:
    """Seconds by path, as a table has them: a number and a path in each line."""
    return {path: float(seconds) for seconds, _, path in (line.partition(" ") for line in text.splitlines())}


def write_table(seconds: Mapping[str, float]) -> str:
    longest = sorted(seconds.items(), key=lambda item: (-item[1], item[0]))
    return "".join(f"{taken:.0f} {path}\n" for path, taken in longest if taken >= SHORTEST)


def count_seconds(report: str) -> dict[str, float]:
    """Seconds by path from a JUnit report, set-up and teardown of fixtures included."""
    found: dict[str, float] = defaultdict(float)
    for case in ET.fromstring(report).iterfind(".//testcase[@classname]"):
        found[f"{case.attrib['classname'].replace('.', '/')}.py"] += float(case.attrib["time"])
    return dict(found)


def path_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def rank(nodeid: str, seconds: Mapping[str, float]) -> float:
    """Sorts tests: long files first, shared ones last. A stable sort keeps the order within a file."""
    path = path_of(nodeid)
    return inf if path in SHARED_OUT else -seconds.get(path, 0.0)


def is_left_to_ci(path: str, seconds: Mapping[str, float]) -> bool:
    return path not in FLOWS and seconds.get(path, 0.0) >= LONG


def scope_of(nodeid: str) -> str:
    """What one process gets as a whole."""
    path = path_of(nodeid)
    return nodeid if path in SHARED_OUT else path


class LongestFirst(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "leave out files that take SECONDS or longer by tests/file_seconds.txt"
    parser.addoption("--shorter-than", type=float, metavar="SECONDS", default=inf, help=told)
    told = "skip tests that have not begun at TIME, in epoch seconds"
    parser.addoption("--until", type=float, metavar="TIME", default=inf, help=told)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files that are left out are not imported either."""
    limit: float = config.getoption("shorter_than")
    if limit == inf or not collection_path.is_relative_to(ROOT):
        return None
    path = collection_path.relative_to(ROOT).as_posix()
    return True if read_table(TABLE.read_text()).get(path, 0.0) >= limit else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seconds = read_table(TABLE.read_text())
    for item in items:
        if is_left_to_ci(path_of(item.nodeid), seconds):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: rank(item.nodeid, seconds))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips before the fixtures of the test's file are made."""
    if time.time() > item.config.getoption("until"):
        pytest.skip("not run: it had not begun at the time that --until names")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # else xdist sorts by the number of tests
    return LongestFirst(config, log)


if __name__ == "__main__":
    TABLE.write_text(write_table(count_seconds(Path(sys.argv[1]).read_text())))
