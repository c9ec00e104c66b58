"""Lines of several logs in one list: by time, in each log's own order, and never with a time that nobody knows."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.ports.logs import ReplicaLog
from tidegate.service.log_lines import LONGEST, LogSearch, parse_time, search_logs, time_lines

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def log(replica: str, *lines: str, written: float | None = None) -> ReplicaLog:
    return ReplicaLog(1, "main", replica, lines, written)


def shown(*logs: ReplicaLog, **search: object) -> list[tuple[str, str]]:
    found = search_logs(logs, LogSearch(**search))  # type: ignore[arg-type]
    return [(one["replica"], one["line"]) for one in found["lines"]]


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("2030-01-01T12:00:01Z ready", 1),
        ("2030-01-01 12:00:01,500 INFO ready", 1.5),
        ("[2030-01-01T13:00:02.25+01:00] ready", 2.25),
        ("2030-01-01T12:00:03.123456789Z", 3.123456),
        ("2030-01-01T12:00:00-0000 x", 0),
    ],
)
def test_the_usual_forms_of_a_time_are_read(line: str, after: float) -> None:
    assert parse_time(line) == (NOON + timedelta(seconds=after)).timestamp()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ready",
        " 2030-01-01T12:00:01Z",
        "2030-13-01T12:00:00Z",
        "12:00:01 ready",
        "2030-01-01",
        "٢٠٣٠-01-01T12:00:00Z",
    ],
)
def test_what_is_no_time_is_none(line: str) -> None:
    assert parse_time(line) is None


def test_lines_of_all_instances_are_merged_and_a_traceback_stays_with_its_line() -> None:
    first = log("r-1", "2030-01-01T12:00:01Z one", "2030-01-01T12:00:05Z Traceback", "  File x", "KeyError")
    second = log("r-2", "starting", "2030-01-01T12:00:03Z two")
    assert shown(first, second) == [
        ("r-1", "2030-01-01T12:00:01Z one"),
        ("r-2", "starting"),
        ("r-2", "2030-01-01T12:00:03Z two"),
        ("r-1", "2030-01-01T12:00:05Z Traceback"),
        ("r-1", "  File x"),
        ("r-1", "KeyError"),
    ]


def test_a_time_that_no_line_says_is_marked_as_such() -> None:
    untimed = log("r-1", "ready", "score", written=NOON.timestamp())
    told = search_logs([untimed, log("r-2", "ready")], LogSearch())["lines"]
    assert [(one["replica"], one["at"], one["at_of"]) for one in told] == [
        ("r-2", None, "last write"),
        ("r-1", "2030-01-01T12:00:00.000+00:00", "last write"),
        ("r-1", "2030-01-01T12:00:00.000+00:00", "last write"),
    ]
    timed = time_lines(log("r-3", "2030-01-01T12:00:01Z a", "b", "2030-01-01T11:00:00Z set back"))
    assert [one.at_of for one in timed] == ["line", "another line", "another line"]


def test_a_text_is_looked_for_in_any_case_and_is_no_pattern_and_the_rest_is_counted() -> None:
    lines = [*(f"2030-01-01T12:00:0{n}Z Error (a+)+$ {n}" for n in range(5)), "2030-01-01T12:00:06Z well"]
    found = search_logs([log("r-1", *lines), log("r-2", "an ERROR (A+)+$")], LogSearch("error (a+)+$", limit=2))
    assert (found["searched"], found["matching"], len(found["lines"])) == (7, 6, 2)
    assert [one["line"][-1] for one in found["lines"]] == ["3", "4"]
    only = search_logs([log("r-1", *lines), log("r-2", "an ERROR")], LogSearch("error", "r-2"))
    assert [one["line"] for one in only["lines"]] == ["an ERROR"] and len(only["replicas"]) == 2


def test_a_line_without_end_is_cut() -> None:
    ((_, line),) = shown(log("r-1", "x" * 10**6))
    assert len(line) < LONGEST + 100 and line.endswith("1000000 characters in all")


LINES = st.lists(
    st.sampled_from(["plain", "2030-01-01T12:00:01Z a", "2030-01-01T12:00:02Z b", "2030-01-01T11:00:00Z c"]),
    max_size=6,
)


@given(st.lists(LINES, min_size=1, max_size=4), st.none() | st.floats(0, 4e9))
def test_every_line_is_there_once_and_each_log_keeps_its_order(
    logs: list[list[str]], written: float | None
) -> None:
    found = [
        log(f"r-{n}", *(f"{line} #{place}" for place, line in enumerate(lines)), written=written)
        for n, lines in enumerate(logs)
    ]
    merged = shown(*found, limit=1_000)
    for one in found:
        assert [line for replica, line in merged if replica == one.replica] == list(one.lines)
    assert len(merged) == sum(map(len, logs))
