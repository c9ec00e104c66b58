"""Runs moto's own tests against the wire, and compares what failed with the table of reasons."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.served_wire import REGION, Served, answer, listening, looping, world
from tidegate.wire.operation import WireRequest, WireResponse

HERE = Path(__file__).parent
FOLDERS = ("test_sagemaker", "test_sagemakerruntime", "test_applicationautoscaling", "test_cloudwatch")
"""Of moto's tests: those of the services that are served."""
SERVICES = ("SAGEMAKER", "SAGEMAKER_RUNTIME", "APPLICATION_AUTO_SCALING", "CLOUDWATCH")
_REGION = re.compile(r"Credential=[^/,\s]+/\d+/([^/,\s]+)/")


@dataclass(frozen=True)
class Result:
    """``test`` is pytest's name below moto's ``tests``; ``says`` the first line of its failure; ``asked`` whether it
    called an operation that is served."""

    test: str
    outcome: str
    says: str = ""
    asked: bool = True


@dataclass(frozen=True)
class Verdict:
    passed: tuple[Result, ...]
    beside: tuple[Result, ...]
    """Passed, but nothing of it reached an operation that is served: it shows nothing."""
    explained: tuple[tuple[Result, str], ...]
    skipped: tuple[Result, ...]
    """By moto itself."""
    open: tuple[Result, ...]
    """Failed without a reason."""
    stale: tuple[str, ...]
    """Rows of the table that explain nothing: their tests pass, or are no longer there."""


def reasons() -> dict[str, str]:
    """Test, or file of tests -> why it need not pass. Raises ValueError for one that has two reasons."""
    table: dict[str, list[str]] = tomllib.loads((HERE / "reasons.toml").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for why, tests in table.items():
        for test in tests:
            if test in found:
                raise ValueError(f"reasons.toml: {test} has two reasons")
            found[test] = why
    return found


def judge(results: list[Result], table: Mapping[str, str]) -> Verdict:
    explained, unexplained, used = [], [], set()
    for result in results:
        if result.outcome != "failed":
            continue
        row = next((row for row in _rows(result.test) if row in table), None)
        if row is None:
            unexplained.append(result)
        else:
            used.add(row)
            explained.append((result, table[row]))
    return Verdict(
        passed=tuple(result for result in results if result.outcome == "passed" and result.asked),
        beside=tuple(result for result in results if result.outcome == "passed" and not result.asked),
        explained=tuple(explained),
        skipped=tuple(result for result in results if result.outcome == "skipped"),
        open=tuple(unexplained),
        stale=tuple(row for row in table if row not in used),
    )


def _rows(test: str) -> tuple[str, str, str]:
    """The test with its parameters, without them, and its file."""
    return test, test.partition("[")[0], test.partition("::")[0]


def run(tests: Path, python: str = sys.executable, only: str = "") -> list[Result]:
    """``tests`` is the folder of that name in moto's source distribution. ``python`` has moto, pytest and freezegun;
    ``only`` is a pytest expression (``-k``)."""
    with TemporaryDirectory() as folder, _servers(Path(folder)) as url:
        results = Path(folder) / "results"
        results.touch()
        command = [python, "-m", "pytest", "-p", "child", "-p", "no:cacheprovider", "-p", "no:xdist", "-q"]
        command += ["-c", os.devnull, "--rootdir", str(tests), "-k", only, *FOLDERS]
        subprocess.run(
            command, cwd=tests, env=_environment(tests, url, results), stdout=subprocess.DEVNULL, check=False
        )
        lines = results.read_text(encoding="utf-8").splitlines()
    return [Result(**json.loads(line)) for line in lines]


def _environment(tests: Path, url: str, results: Path) -> dict[str, str]:
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_MAX_ATTEMPTS": "1"}
    return {
        **os.environ,
        **credentials,
        **{f"AWS_ENDPOINT_URL_{service}": url for service in SERVICES},
        "PYTHONPATH": os.pathsep.join((str(tests.parent), str(HERE))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MOTO_REPLAY_SERVER": url,
        "MOTO_REPLAY_RESULTS": str(results),
    }


@contextmanager
def _servers(folder: Path) -> Iterator[str]:
    with looping() as loop:
        regions: dict[str, Served] = {}
        databases = iter(range(1_000_000))

        def empty() -> None:
            while regions:
                served = regions.popitem()[1]
                served.run(served.store.close())

        def handle(request: WireRequest) -> WireResponse:
            if request.path == "/reset":
                empty()
                return WireResponse(200, {}, b"")
            signed = _REGION.search(request.headers.get("authorization", ""))
            region = signed[1] if signed else REGION
            if region not in regions:
                url = f"sqlite:///{folder / str(next(databases))}"
                regions[region] = world(loop, url, region=region)
            return _answer(regions[region], request)

        try:
            with listening(handle) as url:
                yield url
        finally:
            empty()


def _answer(served: Served, request: WireRequest) -> WireResponse:
    """Endpoints that the request has changed are at rest before it is answered: moto's take no time."""
    served.clock.present = datetime.fromisoformat(request.headers["x-replay-now"])
    answered = answer(served, request)
    while served.kicked:
        served.settle(served.kicked.pop())
    return answered
