"""What becomes of a label: one table, and the figures that go with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.features.labels.ledger import (
    DAY,
    MOST_SPANS,
    AnsweringVersion,
    Delays,
    JoinOutcome,
    LabelCoverage,
    LabelKind,
    Ledger,
    SideBySide,
)
from tidegate.features.labels.report import _is_selective
from tidegate.rows.label_lines import Label, Prediction

AT = 1_772_366_400.0
YEAR = 365 * DAY
NOW = 10 * YEAR


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path) as made:
        yield made


PREDICTION = Prediction("a", AT, 0.5)


@pytest.mark.parametrize(
    ("predictions", "labels", "outcomes"),
    [
        ([PREDICTION], [Label("a", 1.0, AT + DAY)], {JoinOutcome.JOINED: 1}),
        ([PREDICTION], [Label("a", 1.0, None)], {JoinOutcome.JOINED: 1}),
        ([PREDICTION], [Label("b", 1.0, AT)], {JoinOutcome.UNKNOWN: 1}),
        ([PREDICTION], [Label("a", 1.0, AT)] * 3, {JoinOutcome.JOINED: 1, JoinOutcome.REPEATED: 2}),
        ([PREDICTION], [Label("a", 1.0, AT), Label("a", 0.0, AT + DAY)], {JoinOutcome.CONTRADICTORY: 2}),
        ([PREDICTION] * 2, [Label("a", 1.0, AT)], {JoinOutcome.AMBIGUOUS: 1}),
        ([PREDICTION], [Label("a", 1.0, AT - 299)], {JoinOutcome.JOINED: 1}),
        ([PREDICTION], [Label("a", 1.0, AT - 301)], {JoinOutcome.BEFORE: 1}),
        ([PREDICTION], [Label("a", 1.0, AT + YEAR)], {JoinOutcome.JOINED: 1}),
        ([PREDICTION], [Label("a", 1.0, AT + YEAR + 1)], {JoinOutcome.LATE: 1}),
        ([PREDICTION], [Label("a", 1.0, AT + DAY, received=AT + DAY - 299)], {JoinOutcome.JOINED: 1}),
        ([PREDICTION], [Label("a", 1.0, AT + DAY, received=AT + DAY - 301)], {JoinOutcome.FUTURE: 1}),
        ([PREDICTION], [Label("a", 1.0, AT + 2 * NOW)], {JoinOutcome.FUTURE: 1}),
        ([PREDICTION], [Label("a", 7.0, AT)], {JoinOutcome.JOINED: 1}),
        ([], [], {}),
        ([PREDICTION], [], {}),
    ],
)
def test_every_label_has_an_outcome(
    ledger: Ledger, predictions: list[Prediction], labels: list[Label], outcomes: dict[JoinOutcome, int]
) -> None:
    ledger.add_predictions(predictions)
    ledger.add_labels(labels)
    found = ledger.join(YEAR, AT + NOW)
    assert {outcome: count for outcome, count in found.items() if count} == outcomes
    assert sum(found.values()) == len(labels)
    assert len(list(ledger.pairs())) == found[JoinOutcome.JOINED]


def test_pairs_come_by_score_with_delay_and_coverage(ledger: Ledger) -> None:
    ledger.add_predictions(Prediction(str(number), AT, number / 100) for number in range(100))
    ledger.add_labels(Label(str(number), number % 2, AT + number * DAY) for number in range(80, 100))
    ledger.join(YEAR)
    assert [score for score, _ in ledger.pairs()] == [number / 100 for number in range(99, 79, -1)]
    assert ledger.only_classes()
    assert ledger.delays() == Delays(20, 89 * DAY, 97 * DAY, 99 * DAY)
    coverage = ledger.coverage()
    assert coverage == LabelCoverage(100, 20, 1.0, 10 / 90)
    assert _is_selective(coverage)
    assert not _is_selective(LabelCoverage(100, 20, 0.2, 0.2)) and not _is_selective(
        LabelCoverage(100, 5, 0.5, 0.0)
    )


def test_without_times_there_is_no_delay_and_amounts_are_no_classes(ledger: Ledger) -> None:
    ledger.add_predictions([PREDICTION])
    ledger.add_labels([Label("a", 1250.5, None)])
    ledger.join(YEAR)
    assert ledger.delays() is None and not ledger.only_classes()
    assert list(ledger.pairs()) == [(0.5, 1250.5)]


def test_many_rows_are_added_in_parts(ledger: Ledger) -> None:
    ledger.add_predictions(Prediction(str(number), AT, 0.5) for number in range(12_345))
    ledger.add_labels(Label(str(number), 1.0, AT) for number in range(12_345))
    assert ledger.join(YEAR)[JoinOutcome.JOINED] == 12_345


@pytest.mark.parametrize(("kind", "others", "outcome"), [
    (LabelKind.CLASSES, 0, JoinOutcome.CLASS),
    (None, 200, JoinOutcome.CLASS),
    (None, 5, JoinOutcome.JOINED),
    (LabelKind.AMOUNTS, 200, JoinOutcome.JOINED),
])  # fmt: skip
def test_a_class_never_seen_is_named_where_labels_are_classes(
    ledger: Ledger, kind: LabelKind | None, others: int, outcome: JoinOutcome
) -> None:
    ledger.add_predictions(Prediction(str(number), AT, 0.5) for number in range(201))
    ledger.add_labels([Label(str(number), float(number % 2), AT) for number in range(others)])
    ledger.add_labels([Label("200", 3.0, AT)])
    found = ledger.join(YEAR, kind=kind)
    assert found[outcome] == (1 if outcome is JoinOutcome.CLASS else others + 1)


def test_versions_are_measured_apart(ledger: Ledger) -> None:
    for version, count in (("v1", 30), ("v2", 10)):
        ledger.add_predictions(
            Prediction(f"{version}-{n}", AT + n, n / 100, version, "blue") for n in range(count)
        )
        ledger.add_labels(Label(f"{version}-{n}", n % 2, AT + DAY, 0.5) for n in range(0, count, 5))
    ledger.join(YEAR)
    old, new = AnsweringVersion("v1", "blue"), AnsweringVersion("v2", "blue")
    assert ledger.versions() == [old, new]
    assert [ledger.coverage(one).labelled for one in (None, old, new)] == [8, 6, 2]
    assert list(ledger.weighted_pairs(new)) == [(0.05, 1.0, 2.0), (0.0, 0.0, 2.0)]
    assert [band.predictions for band in ledger.bands(old)] == [3] * 10
    assert sum(band.labelled for band in ledger.bands(old)) == 6


def test_only_the_time_in_which_both_versions_answered_is_compared(ledger: Ledger) -> None:
    ledger.add_predictions(Prediction(f"old-{n}", AT + 100 * n, 0.5, "v1", "blue") for n in range(10))
    ledger.add_predictions(Prediction(f"new-{n}", AT + 500 + 100 * n, 0.5, "v2", "blue") for n in range(10))
    ledger.add_labels(Label(f"{side}-{n}", 1.0, AT + DAY) for side in ("old", "new") for n in range(10))
    ledger.join(YEAR)
    found = ledger.in_order(SideBySide(AnsweringVersion("v1", "blue"), AnsweringVersion("v2", "blue")))
    assert sorted(one.id for one in found) == [f"{side}-{n}" for side in ("new", "old") for n in range(5)][:5] + [
        f"old-{n}" for n in range(5, 10)
    ]


def test_delays_and_coverage_are_counted_in_steps(ledger: Ledger) -> None:
    """Of ten days of predictions those of the first five have labels, half of them within an hour."""
    days = [AT + DAY * number for number in range(10)]
    ledger.add_predictions([Prediction(f"p{n}", at, 0.5, "v1", "main") for n, at in enumerate(days)])
    ledger.add_predictions([Prediction("other", AT, 0.5, "v2", "main")])
    delays = [1_800.0, 1_800.0, 3 * DAY, 3 * DAY, 300 * DAY]
    ledger.add_labels([Label(f"p{n}", 1.0, days[n] + delay) for n, delay in enumerate(delays)])
    ledger.join(YEAR)
    counted = {one.seconds: one.labels for one in ledger.delay_counts() if one.labels}
    assert counted == {3_600.0: 2, 4 * DAY: 2, None: 1}
    assert ledger.delay_counts(AnsweringVersion("v2", "main")) == []
    spans = ledger.coverage_over_time(AnsweringVersion("v1", "main"))
    assert sum(one.predictions for one in spans) == 10 and sum(one.labelled for one in spans) == 5
    assert [one.labelled for one in spans] == [1] * 5 + [0] * 5
    (other,) = ledger.coverage_over_time(AnsweringVersion("v2", "main"))
    assert (other.at, other.seconds) == (spans[0].at, spans[0].seconds), "all versions have the same spans"


@pytest.mark.parametrize("ends", [(AT, AT), (0.0, 1e10), (AT, AT + 3.5 * YEAR)])
def test_spans_are_few_however_long_the_time(ledger: Ledger, ends: tuple[float, float]) -> None:
    ledger.add_predictions([Prediction(f"p{n}", at, 0.5) for n, at in enumerate(ends)])
    ledger.join(YEAR)
    spans = ledger.coverage_over_time()
    assert sum(one.predictions for one in spans) == 2
    assert all(one.at <= end for one, end in zip(spans, ends, strict=False))
    assert (ends[1] - spans[0].at) / spans[0].seconds <= MOST_SPANS + 1


def test_without_predictions_there_is_no_span(ledger: Ledger) -> None:
    ledger.join(YEAR)
    assert ledger.coverage_over_time() == [] and ledger.delay_counts() == []
