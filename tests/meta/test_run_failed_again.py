"""CI runs a few failed tests again, and nothing else."""

import pytest

from tests.run_failed_again import MOST, refuse

NAMES = [f"tests/unit/test_a.py::test_{number}" for number in range(MOST + 1)]


@pytest.mark.parametrize("count", range(1, MOST + 1))
def test_a_few_failed_tests_are_run_again(count: int) -> None:
    assert refuse(NAMES[:count]) == ""


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        ([], "no test failed: the run ended for another reason"),
        (NAMES, "3 tests failed: only up to 2 are run again"),
        (["tests/unit/test_a.py"], "not collected: tests/unit/test_a.py"),
    ],
)
def test_any_other_end_fails_the_build(failed: list[str], reason: str) -> None:
    assert refuse(failed) == reason
