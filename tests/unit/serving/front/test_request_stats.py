"""What is counted, and how it is shown."""

import math

import msgspec
import pytest

from tidegate.domain.worker_stats import KEPT_SECONDS, MOST_SERIES, PairRow, StageRow
from tidegate.monitoring import sketch
from tidegate.serving.contract.invocation import Note
from tidegate.serving.front.request_stats import RequestStats, encode_page

SECOND = 1_000_000


class Shown(msgspec.Struct):
    name: str
    dimensions: dict[str, str]
    spread: dict[str, object]


def shown(stats: RequestStats, since: int = 0, before: int = 10**9) -> list[dict[str, object]]:
    return msgspec.json.decode(msgspec.json.encode(stats.seconds(since, before)), type=list[dict[str, object]])


def test_one_record_per_second() -> None:
    stats = RequestStats()
    stats.count(5 * SECOND, 200, 1_000, 10)
    stats.count(5 * SECOND + 999_999, 400, 3_000, 0)
    stats.count(7 * SECOND, 200, 1, 1)
    first, second = shown(stats)
    assert first == {
        "second": 5,
        "invocations": 2,
        "4xx": 1,
        "5xx": 0,
        "model_errors": 1,
        "latency": {
            "count": 2,
            "total": 4_000,
            "low": 1_000,
            "high": 3_000,
            "bins": {str(sketch.index(1_000)): 1, str(sketch.index(3_000)): 1},
        },
        "overhead": {
            "count": 2,
            "total": 10,
            "low": 0,
            "high": 10,
            "bins": {str(sketch.index(10)): 1, str(sketch.ZERO): 1},
        },
        "series": [],
    }
    assert second["second"] == 7


def test_notes_are_kept_by_name_and_dimensions() -> None:
    stats = RequestStats()
    for name, value in (("a", 3), ("b", 5), ("a", 7)):
        stats.note(SECOND, Note("ContainerLatency", value, (("ContainerName", name),)))
    [record] = shown(stats)
    found = msgspec.convert(record["series"], list[Shown])
    assert [
        (one.name, one.dimensions["ContainerName"], one.spread["count"], one.spread["total"]) for one in found
    ] == [
        ("ContainerLatency", "a", 2, 10),
        ("ContainerLatency", "b", 1, 5),
    ]


def test_what_the_model_said_decides_the_class() -> None:
    stats = RequestStats()
    for status in (200, 204, 302, 400, 499, 500, 503, 0):
        stats.count(SECOND, status, 1, 1)
    [record] = shown(stats)
    assert (record["invocations"], record["4xx"], record["5xx"], record["model_errors"]) == (8, 2, 3, 6)


def test_only_what_was_asked_for_and_is_over() -> None:
    stats = RequestStats()
    for second in range(1, 6):
        stats.count(second * SECOND, 200, 1, 1)
    assert [record["second"] for record in shown(stats, since=2, before=5)] == [2, 3, 4]


def test_a_reader_that_goes_on_counts_everything_once() -> None:
    stats = RequestStats()
    seen = 0
    since = 0
    for number in range(3_000):
        stats.count(number * 7_000, 200, number, 0)
        if number % 100 == 0:
            records = shown(stats, since, number * 7_000 // SECOND)
            seen += sum(int(str(record["invocations"])) for record in records)
            since = max((int(str(record["second"])) + 1 for record in records), default=since)
    seen += sum(int(str(record["invocations"])) for record in shown(stats, since))
    assert seen == 3_000


def test_old_seconds_are_forgotten() -> None:
    stats = RequestStats()
    for second in range(0, 3 * KEPT_SECONDS):
        stats.count(second * SECOND, 200, 1, 1)
    seconds = [record["second"] for record in shown(stats)]
    assert seconds == list(range(2 * KEPT_SECONDS, 3 * KEPT_SECONDS))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (math.inf, 2.0**360),
        (-math.inf, -(2.0**360)),
        (1.7e308, 2.0**360),
        (-1.7e308, -(2.0**360)),
        (math.nan, None),
        (-3.0, -3.0),
    ],
)
def test_a_noted_value_is_brought_into_a_finite_range(value: float, kept: float | None) -> None:
    stats = RequestStats()
    stats.count(SECOND, 500, 7, 7)
    for _ in range(300):
        stats.note(SECOND, Note("MirrorDifference", value))
    [record] = shown(stats)
    assert record["5xx"] == 1
    found = msgspec.convert(record["series"], list[Shown])
    if kept is None:
        assert found == []
    else:
        [one] = found
        assert (one.spread["low"], one.spread["high"]) == (kept, kept)
        assert one.spread["total"] == 300 * kept


def test_series_of_a_second_are_bounded() -> None:
    stats = RequestStats()
    for number in range(2 * MOST_SERIES):
        stats.note(SECOND, Note("ContainerLatency", 1.0, (("ContainerName", str(number)),)))
    stats.note(SECOND, Note("ContainerLatency", 1.0, (("ContainerName", "0"),)))
    [record] = shown(stats)
    found = msgspec.convert(record["series"], list[Shown])
    assert len(found) == MOST_SERIES
    assert found[0].spread["count"] == 2


def test_a_clock_that_is_set_back_begins_seconds_anew_that_were_read() -> None:
    stats = RequestStats()
    for second in (97, 98, 99):
        stats.count(second * SECOND, 200, 1, 1)
    assert [record["second"] for record in shown(stats, 97, 100)] == [97, 98, 99]
    assert shown(stats, 100, 100) == []
    stats.rewind(98)
    assert shown(stats, 98, 98) == []
    stats.count(98 * SECOND, 500, 1, 1)
    stats.count(99 * SECOND, 500, 1, 1)
    stats.count(100 * SECOND, 500, 1, 1)
    records = shown(stats, 98, 101)
    assert [(record["second"], record["invocations"], record["5xx"]) for record in records] == [
        (98, 1, 1),
        (99, 1, 1),
        (100, 1, 1),
    ]


def test_what_was_not_read_survives_a_clock_that_is_set_back() -> None:
    stats = RequestStats()
    stats.count(97 * SECOND, 200, 1, 1)
    shown(stats, 98, 98)
    stats.count(99 * SECOND, 500, 1, 1)
    stats.rewind(90)
    assert [record["second"] for record in shown(stats, 90, 100)] == [99]


def test_no_text_whatever_makes_the_page_unreadable() -> None:
    stats = RequestStats()
    bad = "\ud800"
    stage: StageRow = {"stage": bad, "names": [bad], "old": [bad], "new_names": [bad], "new": [1.0]}
    pair: PairRow = {
        **{"with": bad, "old": 0.5, "new": None, "failed": False, "traced": True, "key": 1},  # type: ignore[typeddict-item]
        "slices": [(bad, bad)],
        "stages": [stage],
    }
    stats.add_pair(5_000_000, pair)
    stats.note(5_000_000, Note(bad, 2.0, ((bad, bad),)))
    stats.count(5_000_000, 200, 10, 1)
    document = msgspec.json.decode(encode_page(stats.page(bad, 6.0, 0, 0, 6)))
    (second,) = document["seconds"]
    assert second["invocations"] == 1 and second["latency"]["bins"]
    assert second["pairs"][0]["slices"] == [["?", "?"]]
    assert second["series"][0]["dimensions"] == {"?": "?"}


def test_without_a_fold_what_was_counted_is_bounded() -> None:
    """Measurements that no request brings are folded by nobody else."""
    stats = RequestStats()
    for _ in range(100_000):
        stats.note(SECOND, Note("a", 1))
        stats.count(SECOND, 200, 1, 1)
    assert len(stats._notes) < 2_000 and len(stats._fresh) < 2_000
    (second,) = shown(stats)
    assert second["invocations"] == 100_000


def test_a_fold_changes_no_count() -> None:
    folded, whole = RequestStats(), RequestStats()
    for stats in (folded, whole):
        for number in range(300):
            stats.note_all(SECOND, [Note("a", number % 40), Note("b", -1.5), Note("c", math.nan if number else 2)])
            stats.note(2 * SECOND, Note("a", number))
            if stats is folded and number % 7 == 0:
                stats.fold()
    assert shown(folded) == shown(whole)
    series = {(one["name"], second["second"]): one for second in shown(whole) for one in second["series"]}  # type: ignore[attr-defined]
    assert series["c", 1]["spread"]["count"] == 1
    assert series["a", 1]["spread"]["total"] == sum(number % 40 for number in range(300))
