"""A worker's stats page is read field by field: what cannot be used costs itself and nothing else."""

import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidegate.domain.metric import Latency
from tidegate.domain.worker_stats import (
    COMPARED,
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    SERIES_OF_PART,
    SERIES_OF_REPLICA,
    TOKENS_IN_FLIGHT,
)
from tidegate.monitoring import sketch
from tidegate.serving.contract.invocation import Note
from tidegate.serving.front.request_stats import RequestStats
from tidegate.targets.collection.stats_page import (
    AHEAD,
    MOST_BINS,
    MOST_PROBLEMS,
    MOST_SECONDS,
    MOST_SERIES,
    Record,
    ReplicaStats,
    read_page,
)

NOW = 1_800_000_000
CONTAINERS = ("primary", "second")


def spread(*values: float) -> dict[str, Any]:
    bins: dict[str, int] = {}
    for value in values:
        bins[str(sketch.index(value))] = bins.get(str(sketch.index(value)), 0) + 1
    whole = {"total": sum(values), "low": min(values), "high": max(values)} if values else {}
    return {"count": len(values), "total": 0, "low": 0, "high": 0, "bins": bins, **whole}


def second(at: int) -> dict[str, Any]:
    return {
        "second": at,
        "invocations": 5,
        "4xx": 1,
        "5xx": 2,
        "model_errors": 3,
        "latency": spread(10, 20, 30, 40, 50),
        "overhead": spread(1, 2, 3, 4, 0),
        "series": [
            {"name": "FirstChunkLatency", "dimensions": {}, "spread": spread(7, 9)},
            {"name": "ContainerLatency", "dimensions": {"ContainerName": "second"}, "spread": spread(8)},
            {"name": "Invocations", "dimensions": {"TargetModel": "acme.tar.gz"}, "spread": spread(1)},
        ],
    }


def document() -> dict[str, Any]:
    seconds = [second(NOW - 3), second(NOW - 2), second(NOW - 1)]
    return {"replica": "r-1", "now": NOW + 0.05, "in_flight": 4, "answered": 12, "seconds": seconds}


def read(page: object, since: int = NOW - 10) -> ReplicaStats:
    found = read_page(json.dumps(page).encode(), since, since + 60, NOW, CONTAINERS)
    assert found is not None
    return found


GOOD = read(document())
NASTY: list[Any] = [
    *(None, True, "", "x", "7", [], {}, [1], {"a": 1}, -1, -0.5, 0.5, 1.7e308, -1.7e308, 1e300),
    *(math.nan, math.inf, -math.inf, 2**63, 2**64, 10**30, 10**4000, "\ud800", "a\0b", [[[]]] * 9),
]


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a page, the inner ones too."""
    if path:
        yield path
    if isinstance(node, dict):
        for key in node:
            yield from leaves(node[key], (*path, key))
    elif isinstance(node, list):
        for number in range(len(node)):
            yield from leaves(node[number], (*path, number))


def changed(path: tuple[Any, ...], value: Any = None, *, missing: bool = False) -> dict[str, Any]:
    page = document()
    place: Any = page
    for key in path[:-1]:
        place = place[key]
    if missing:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return page


PLACES = [path for path in leaves(document()) if path[:2] in ((path[0],), ("seconds", 1)) and path[0] != "replica"]


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_a_field_that_cannot_be_used_costs_nothing_but_itself(path: tuple[Any, ...]) -> None:
    pages = [changed(path, value) for value in NASTY]
    pages.append(changed(path, missing=True))
    for page in pages:
        found = read_page(json.dumps(page).encode(), NOW - 10, NOW + 50, NOW, CONTAINERS)
        if path == ("seconds",):
            assert found is None or not found.records
            continue
        assert found is not None
        check_is_sane(found)
        others = [record for record in found.records if record.second != NOW - 2]
        if path[0] != "now":
            assert others == [GOOD.records[0], GOOD.records[2]]
        if path[:2] == ("seconds", 1) and len(path) > 2 and path[2] != "second":
            check_second(found, path[2:])


def check_second(page: ReplicaStats, path: tuple[Any, ...]) -> None:
    """The second with the bad field: all other fields are as they were."""
    [record], good = [one for one in page.records if one.second == NOW - 2], GOOD.records[1]
    for key, member in (("4xx", "errors_4xx"), ("5xx", "errors_5xx"), ("overhead", None), ("latency", None)):
        if path[0] != key:
            assert getattr(record, member or key) == getattr(good, member or key)
    if path[0] in ("latency", "overhead", "series"):
        assert (record.invocations, record.model_errors) == (5, 3)
    if path[0] != "series":
        assert record.series == good.series
    elif len(path) > 1:
        assert all(one in record.series for number, one in enumerate(good.series) if number != path[1])


def check_is_sane(page: ReplicaStats) -> None:
    assert page.through <= NOW + AHEAD
    for number in (page.in_flight, page.answered):
        assert number is None or 0 <= number <= 2**53
    for record in page.records:
        assert 0 <= record.errors_4xx + record.errors_5xx <= record.model_errors <= record.invocations <= 4 * 10**9
        for values in (record.latency, record.overhead, *(one.values for one in record.series)):
            if values is not None:
                assert all(map(math.isfinite, (values.total, values.low, values.high, values.count)))
                assert values.low <= values.high
                assert all(sketch.is_bin(key) for key in values.bins)


def test_a_good_page_has_no_problems() -> None:
    assert GOOD.problems == GOOD.doubts == ()
    assert [record.second for record in GOOD.records] == [NOW - 3, NOW - 2, NOW - 1]
    assert all(record.whole for record in GOOD.records)
    assert (GOOD.through, GOOD.in_flight, GOOD.answered) == (NOW, 4, 12)
    assert GOOD.records[0].latency == Latency(
        {sketch.index(value): 1 for value in (10, 20, 30, 40, 50)}, 150, 10, 50
    )


def test_a_second_whose_times_are_infinite_still_has_its_errors() -> None:
    """As workers wrote it that did not bound their values: JSON has no infinite number."""
    page = read(changed(("seconds", 1, "latency", "total"), None))
    record = page.records[1]
    assert (record.invocations, record.errors_5xx, record.latency, record.whole) == (5, 2, None, False)
    assert page.problems == (f"second {NOW - 2}: latency.total: None is not a number in range",)


@pytest.mark.parametrize("key", ["invocations", "4xx", "5xx", "model_errors"])
def test_a_count_that_cannot_be_used_is_the_least_that_the_others_leave(key: str) -> None:
    record = read(changed(("seconds", 1, key), None)).records[1]
    assert not record.whole
    assert record.invocations == 5, "as many as have times"
    assert record.model_errors >= record.errors_4xx + record.errors_5xx > 0


def test_errors_beyond_the_requests_are_believed_and_noted() -> None:
    record = read(changed(("seconds", 1, "5xx"), 9)).records[1]
    assert (record.invocations, record.errors_5xx, record.model_errors, record.whole) == (10, 9, 10, False)


@pytest.mark.parametrize(
    "dimensions",
    [
        {"EndpointName": "other"},
        {"EndpointName": "other", "VariantName": "main", "EndpointConfigName": "v1"},
        {"TargetModel": "m", "EndpointName": "other"},
        {"ContainerName": "of another model"},
        {"ContainerName": ""},
        {"TargetModel": "x" * 2000},
        {"TargetModel": "\0"},
        {},
    ],
)
def test_a_series_cannot_name_another_endpoint(dimensions: dict[str, str]) -> None:
    series = {"name": "Invocation5XXErrors", "dimensions": dimensions, "spread": spread(1)}
    page = read(changed(("seconds", 1, "series", 0), series))
    assert page.records[1].series == GOOD.records[1].series[1:]
    assert len(page.problems) == 1


@pytest.mark.parametrize("name", ["BilledGBSeconds", "RefusedRequests", "CPUUtilization", "Mine", "Invocations"])
def test_only_series_of_a_worker_count(name: str) -> None:
    series = {"name": name, "dimensions": {}, "spread": spread(1)}
    assert read(changed(("seconds", 1, "series", 0), series)).records[1].series == GOOD.records[1].series[1:]


def test_what_a_worker_counts_is_read_whole() -> None:
    """The two sides of the one shape: nothing that the writer shows is doubted, and nothing is left out."""
    stats, at = RequestStats(), NOW - 2
    for status in (200, 404, 500, 0):
        stats.count(at * 1_000_000, status, 2_000, 10)
    for name in SERIES_OF_REPLICA:
        stats.note(at * 1_000_000, Note(name, 3.0))
    stats.note(at * 1_000_000, Note("ContainerLatency", 5.0, (("ContainerName", "second"),)))
    shown = stats.page("r", NOW + 0.5, 3, at, NOW)
    found = read_page(msgspec.json.encode(shown), at, NOW, NOW, CONTAINERS)
    assert found is not None and (found.problems, found.doubts) == ((), ())
    (record,) = found.records
    assert record.whole and len(record.series) == len(SERIES_OF_REPLICA) + 1
    counts = (record.invocations, record.errors_4xx, record.errors_5xx, record.model_errors)
    assert counts == (4, 1, 2, 3)
    assert (found.in_flight, found.answered, found.through) == (3, 0, NOW)


def test_all_that_workers_measure_is_known() -> None:
    source = Path(__file__).parents[4] / "src" / "tidegate"
    folders = (source / "serving", *source.glob("features/*/worker"))
    text = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    constants = {
        "PROMPT_TOKENS": PROMPT_TOKENS,
        "COMPLETION_TOKENS": COMPLETION_TOKENS,
        "TOKENS_IN_FLIGHT": TOKENS_IN_FLIGHT,
    }
    for constant, name in constants.items():
        text = re.sub(rf"\b{constant}\b", f'"{name}"', text)
    for name in (SERIES_OF_REPLICA | SERIES_OF_PART) - COMPARED:  # those have constants, too
        assert f'"{name}"' in text, f"{name} is measured by no worker"


@pytest.mark.parametrize(
    "values",
    [
        {"low": 60.0},
        {"total": 151 + 5 * 50},
        {"total": 9.0},
        {"count": 6},
        {"bins": {}},
        {"bins": {str(sketch.HIGHEST + 1): 5}},
        {"bins": {"7": 4.5}},
        {"bins": {"007": 2, "7": 3}},
        {"bins": {str(number): 5 / (MOST_BINS + 1) for number in range(MOST_BINS + 1)}},
        {"low": -1, "total": 1},
    ],
)
def test_a_spread_that_contradicts_itself_is_left_out(values: dict[str, Any]) -> None:
    record = read(changed(("seconds", 1, "latency"), spread(10, 20, 30, 40, 50) | values)).records[1]
    assert (record.latency, record.invocations, record.errors_5xx, record.whole) == (None, 5, 2, False)


def test_seconds_outside_of_what_was_asked_for_do_not_count() -> None:
    page = document()
    page["seconds"] = [second(at) for at in (-5, NOW - 500, NOW - 11, NOW - 10, NOW - 1, NOW, NOW + 1)]
    found = read(page)
    assert [record.second for record in found.records] == [NOW - 10, NOW - 1]
    assert found.doubts == ()
    earlier = read_page(json.dumps(page).encode(), NOW - 500, NOW - 400, NOW, CONTAINERS)
    assert earlier is not None
    assert ([record.second for record in earlier.records], earlier.doubts) == ([NOW - 500], ()), "of a part of it"
    page["seconds"].append(second(NOW + 10**6))
    assert len(read(page).doubts) == 1


def test_a_second_that_comes_twice_counts_once() -> None:
    page = document()
    page["seconds"].append(second(NOW - 1) | {"invocations": 500})
    found = read(page)
    assert found.records == GOOD.records
    assert len(found.problems) == 1


def test_the_last_page_of_a_worker_shows_the_second_that_is_not_over() -> None:
    page = document()
    page["seconds"].append(second(NOW))
    found = read_page(json.dumps(page).encode(), NOW - 2, None, NOW, CONTAINERS)
    assert found is not None
    assert [record.second for record in found.records] == [NOW - 2, NOW - 1, NOW]


@pytest.mark.parametrize(
    ("made", "through"),
    [(NOW - 0.5, NOW - 1), (NOW + 1.2, NOW + 1), (NOW + 3600, NOW), (NOW - 3600, NOW), (None, NOW), ("x", NOW)],
)
def test_a_page_is_complete_up_to_when_it_was_made(made: object, through: int) -> None:
    assert read(document() | {"now": made}).through == through


def test_a_page_is_bounded() -> None:
    page = document()
    page["seconds"] = [second(NOW - number) for number in range(3 * MOST_SECONDS, 0, -1)]
    page["seconds"][-1]["series"] = [copy.deepcopy(second(NOW)["series"][0]) for _ in range(3 * MOST_SERIES)]
    page["seconds"] += [None] * 300
    found = read_page(json.dumps(page).encode(), 0, NOW, NOW, CONTAINERS)
    assert found is not None
    assert len(found.records) <= MOST_SECONDS
    assert len(found.records[-1].series) <= MOST_SERIES
    assert len(found.doubts) <= MOST_PROBLEMS


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"7", b"[]", b"{}", b"{", b"\xff\xfe", b'{"seconds": 7}', b'{"seconds": {}}', b"NaN"),
        b"[" * 100_000,
        b'{"seconds":' * 100_000,
        b'{"seconds": [' + b"9" * 5000 + b"]}",
    ],
)
def test_what_is_no_page_is_none(body: bytes) -> None:
    assert read_page(body, NOW - 10, NOW, NOW, CONTAINERS) is None


def test_one_number_that_no_parser_takes_costs_only_itself() -> None:
    text = json.dumps(document()).replace('"total": 150', '"total": 1e999', 1)
    found = read_page(text.encode(), NOW - 10, NOW + 50, NOW, CONTAINERS)
    assert found is not None
    assert found.records[0] == Record(**{**GOOD.records[0].__dict__, "latency": None, "whole": False})
    assert found.records[1:] == GOOD.records[1:]


def test_text_without_an_encoding_goes_no_further() -> None:
    row = {
        **{"with": "e/2/main", "old": 0.5, "new": 0.25, "failed": False, "traced": False, "key": 7, "stages": []},
        "slices": [["country", "a\ud800"]],
    }
    body = json.dumps({"now": 1_000, "seconds": [{"second": 999, "pairs": [row]}]}).encode()
    page = read_page(body, 999, 1_000, 1_000, ())
    assert page is not None
    ((_, pair),) = page.records[0].pairs
    assert pair.slices == (("country", "a?"),)
