"""moto's own tests against the wire: each passes or has its reason (``tests/moto_replay/reasons.toml``)."""

import os
from pathlib import Path

import pytest

from tests.moto_replay.replay import Result, judge, reasons, run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MOTO = Path(os.environ.get("TIDEGATE_TEST_MOTO") or ROOT / ".venv-moto")
PYTHON = MOTO / "bin" / "python"


@pytest.mark.skipif(not PYTHON.exists(), reason="needs moto's tests: make .venv-moto/.done")
@pytest.mark.timeout(1800)
def test_each_of_motos_tests_passes_or_has_its_reason() -> None:
    verdict = judge(run(MOTO / "moto" / "tests", str(PYTHON)), reasons())
    assert verdict.open == ()
    assert verdict.stale == ()
    assert len(verdict.passed) > 70, "most tests were not collected"


def test_a_failure_is_explained_by_its_test_or_its_file_and_nothing_else() -> None:
    failed = [Result(f"a.py::{test}", "failed") for test in ("one", "two[x]", "two[y]", "three[x]", "four")]
    others = [Result("b.py::one", "failed"), Result("b.py::two", "passed"), Result("c.py", "skipped")]
    table = {"a.py::one": "A", "a.py::two": "B", "a.py::three[x]": "C", "a.py::four[x]": "D", "b.py": "E"}
    verdict = judge([*failed, *others], table)
    assert [(result.test, why) for result, why in verdict.explained] == [
        ("a.py::one", "A"),
        ("a.py::two[x]", "B"),
        ("a.py::two[y]", "B"),
        ("a.py::three[x]", "C"),
        ("b.py::one", "E"),
    ]
    assert [result.test for result in verdict.open] == ["a.py::four"]
    assert [result.test for result in verdict.passed] == ["b.py::two"]
    assert verdict.stale == ("a.py::four[x]",)


def test_a_reason_whose_test_passes_or_is_gone_is_stale() -> None:
    verdict = judge([Result("a.py::one", "passed")], {"a.py::one": "A", "b.py": "B", "a.py::gone": "C"})
    assert verdict.open == ()
    assert verdict.stale == ("a.py::one", "b.py", "a.py::gone")


def test_a_test_that_asks_nothing_of_tidegate_does_not_count_as_passed() -> None:
    verdict = judge([Result("a.py::one", "passed", asked=False), Result("a.py::two", "passed")], {})
    assert [result.test for result in verdict.passed] == ["a.py::two"]
    assert [result.test for result in verdict.beside] == ["a.py::one"]


def test_the_table_has_one_reason_for_each_test() -> None:
    assert all(why.endswith(".") and test.startswith("test_") for test, why in reasons().items())
