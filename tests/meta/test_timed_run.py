"""The table of what ran, when and how long it took has the last run of each command."""

import datetime

import pytest

from tests.timed_run import HEAD, PAGE, TimedRun, record_run, summarize

NOON = datetime.datetime(2026, 12, 7, 12, tzinfo=datetime.UTC)


def test_a_run_takes_the_place_of_the_earlier_run_of_the_same_command() -> None:
    first = TimedRun("make test", NOON, "abc", 2, 0.25, 9.26, "10 passed")
    other = TimedRun("make lint", NOON, "abc", 2, 0.25, 1, "exit status 0")
    last = TimedRun("make test", NOON, "def", 2, 0.25, 8, "11 passed")
    page = f"# Title\n\n{HEAD}\nText\n"
    for run in (first, other, last):
        page = record_run(page, run)
    assert page == (
        f"# Title\n\n{HEAD}"
        "| `make lint` | 2026-12-07 12:00 | abc | 2, 0.2 | 1.0 | exit status 0 |\n"
        "| `make test` | 2026-12-07 12:00 | def | 2, 0.2 | 8.0 | 11 passed |\n"
        "\nText\n"
    )
    with pytest.raises(ValueError, match="no table"):
        record_run("# Title\n", first)


def test_the_page_has_the_table() -> None:
    assert HEAD in PAGE.read_text()


@pytest.mark.parametrize(
    ("code", "lines", "result"),
    [
        (
            0,
            ["......\n", "681 passed in 18.01s\n", "10 passed, 2 skipped in 9.00s\n"],
            "681 passed; 10 passed, 2 skipped",
        ),
        (2, ["== 1 failed, 9 passed in 3.00s ==\n"], "1 failed, 9 passed; exit status 2"),
        (0, ["built\n"], "exit status 0"),
    ],
)
def test_a_run_ends_with_what_pytest_counted(code: int, lines: list[str], result: str) -> None:
    assert summarize(code, lines) == result
