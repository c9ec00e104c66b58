"""One look of a schedule: what it finds, and what it says where it cannot."""

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.features.drift.unit.drift_looks import END, WINDOW, Folder, MakeRow, analyse, baseline, line, usual
from tidegate.domain.drift import DriftVerdict
from tidegate.features.drift.analysis import LayoutReader
from tidegate.features.drift.shapes import make_statistics
from tidegate.rows.captured_rows import CapturedReader, Unusable
from tidegate.rows.profile import TableProfile


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def changed(**values: Any) -> MakeRow:
    """``usual`` with columns set, each by a function of chance or to a value."""

    def make(draw: random.Random) -> dict[str, Any]:
        row = usual(draw)
        for name, value in values.items():
            row[name] = value(draw, row) if callable(value) else value
        return row

    return make


def onboard(draw: random.Random) -> dict[str, Any]:
    """A new country, with eight of a hundred rows, whose amounts are larger."""
    row = usual(draw)
    return {**row, "country": "BR", "amount": draw.gauss(160, 10)} if draw.random() < 0.08 else row


def sparse(draw: random.Random) -> dict[str, Any]:
    row = usual(draw)
    return row if draw.random() < 0.6 else {name: row[name] for name in row if name != "tenure"}


FOUND: list[tuple[str, MakeRow, DriftVerdict, set[tuple[str, str]]]] = [
    ("nothing has changed", usual, DriftVerdict.NO_DRIFT, set()),
    (
        "a column is in other units",
        changed(amount=lambda draw, row: row["amount"] * 100),
        DriftVerdict.DRIFT,
        {("amount", "baseline_drift_check")},
    ),
    (
        "predictions have changed",
        changed(prediction=lambda draw, row: row["prediction"] ** 3),
        DriftVerdict.DRIFT,
        {("prediction", "baseline_drift_check")},
    ),
    (
        "a column is constant",
        changed(tenure=0.0),
        DriftVerdict.DRIFT,
        {("tenure", "baseline_drift_check")},
    ),
    (
        "a constant column is another one",
        changed(constant=2.0),
        DriftVerdict.DRIFT,
        {("constant", "baseline_drift_check")},
    ),
    (
        "a class that was never seen",
        onboard,
        DriftVerdict.DRIFT,
        {
            ("country", "categorical_values_check"),
            ("country=BR", "categorical_values_check"),
            ("amount", "baseline_drift_check"),
        },
    ),
    (
        "an output that is no number",
        changed(prediction=lambda draw, row: "n/a" if draw.random() < 0.3 else row["prediction"]),
        DriftVerdict.DRIFT,
        {("prediction", "completeness_check")},
    ),
    (
        "no output that is a number",
        changed(prediction="NaN"),
        DriftVerdict.DRIFT,
        {("prediction", "missing_column_check")},
    ),
    ("values are missing", sparse, DriftVerdict.DRIFT, {("tenure", "completeness_check")}),
    (
        "texts among numbers",
        changed(tenure=lambda draw, row: "many" if draw.random() < 0.02 else row["tenure"]),
        DriftVerdict.DRIFT,
        {("tenure", "data_type_check")},
    ),
    (
        "a baseline of another schema",
        lambda draw: {"wage": draw.random(), "prediction": draw.random()},
        DriftVerdict.DRIFT,
        {
            ("wage", "extra_column_check"),
            *((name, "missing_column_check") for name in ("amount", "tenure", "country", "constant")),
        },
    ),
]


@pytest.mark.parametrize(
    ("make", "verdict", "findings"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND]
)
def test_each_change_is_found_by_its_name(
    folder: Folder, make: MakeRow, verdict: DriftVerdict, findings: set[tuple[str, str]]
) -> None:
    folder.capture(folder.rows(make, 800), END - WINDOW)
    outcome = analyse(folder.task(baseline()))
    assert (outcome.verdict, outcome.rows, outcome.baseline_rows) == (verdict, 800, 3_000)
    assert {(one.column, one.check) for one in outcome.findings} == findings and outcome.total >= len(findings)


def test_a_new_country_is_found_although_the_whole_looks_the_same(folder: Folder) -> None:
    def two_percent(draw: random.Random) -> dict[str, Any]:
        row = usual(draw)
        return {**row, "country": "BR", "tenure": float(draw.randrange(3))} if draw.random() < 0.02 else row

    folder.capture(folder.rows(two_percent, 3_000), END - WINDOW)
    outcome = analyse(folder.task(baseline()))
    assert outcome.verdict is DriftVerdict.DRIFT and outcome.distances["tenure"] < 0.05
    assert {(one.column, "BR" in one.description) for one in outcome.findings} == {
        ("country=BR", True),
        ("tenure", True),
    }
    assert analyse(folder.task(by=())).verdict is DriftVerdict.NO_DRIFT


def test_a_slice_may_be_named_by_an_attribute_of_the_request(folder: Folder) -> None:
    def nameless(draw: random.Random) -> dict[str, Any]:
        return {name: value for name, value in usual(draw).items() if name != "country"}

    draw = random.Random(5)
    lines = []
    for number in range(2_000):
        row = nameless(draw)
        row["amount"] += 40 * (number % 20 == 0)
        where = "country=IN" if number % 20 == 0 else "country=US"
        lines.append(line(row, END - WINDOW * (number + 1) / 2_001, customAttributes=[where]))
    folder.capture(lines, END - WINDOW)
    outcome = analyse(folder.task(baseline(nameless)))
    assert [(one.column, one.check) for one in outcome.findings] == [("amount", "baseline_drift_check")]
    assert "of slice country=IN" in outcome.findings[0].description


def columns(make: MakeRow = usual) -> TableProfile:
    draw, table = random.Random(1), TableProfile(random.Random(1).randrange)
    for _ in range(3_000):
        table.add(make(draw))
    return table


def test_statistics_of_sagemaker_are_a_baseline(folder: Folder) -> None:
    folder.capture(folder.rows(onboard, 800), END - WINDOW)
    outcome = analyse(folder.task(make_statistics(columns())))
    assert ("country=BR", "categorical_values_check") in {(one.column, one.check) for one in outcome.findings}
    assert analyse(folder.task(make_statistics(columns(onboard)))).verdict is DriftVerdict.NO_DRIFT


def test_a_known_slice_with_few_rows_in_the_baseline_is_not_compared_with_the_whole(folder: Folder) -> None:
    def make(share: float) -> MakeRow:
        def row(draw: random.Random) -> dict[str, Any]:
            where = "LU" if draw.random() < share else "US"
            return {"country": where, "amount": draw.gauss(300 if where == "LU" else 100, 10)}

        return row

    folder.capture(folder.rows(make(0.07), 1_000), END - WINDOW)
    outcome = analyse(folder.task(baseline(make(0.012))))
    assert outcome.verdict is DriftVerdict.NO_DRIFT
    assert any(one.startswith("slice country=LU: ") and "in the baseline" in one for one in outcome.unsaid)


BROKEN = [b"half a li", b"\xff\xfe", b"{}", b"[]", json.dumps({"captureData": 1}).encode()]


def test_broken_lines_are_counted_and_many_of_them_are_no_good_news(folder: Folder) -> None:
    folder.capture([*BROKEN, *folder.rows()], END - WINDOW)
    outcome = analyse(folder.task(baseline()))
    assert (outcome.verdict, outcome.skipped) == (DriftVerdict.NO_DRIFT, {"broken line": 5})
    folder.capture([*BROKEN * 20, *folder.rows()], END - WINDOW)
    outcome = analyse(folder.task())
    assert outcome.verdict is DriftVerdict.UNKNOWN
    assert outcome.reason == "100 captures of this window could not be used"


def test_captures_of_other_times_are_none_of_the_window(folder: Folder) -> None:
    """Hosts whose clocks differ write into other windows; what is later than the window is the next one's."""
    ahead, behind = timedelta(minutes=4), timedelta(minutes=20)
    folder.capture(folder.rows(changed(amount=0.0), end=END + WINDOW), END + ahead - WINDOW, 1)
    folder.capture(folder.rows(changed(amount=0.0), end=END - behind), END - behind - WINDOW, 2)
    folder.capture(folder.rows(), END - WINDOW)
    outcome = analyse(folder.task(baseline()))
    assert (outcome.verdict, outcome.rows, outcome.skipped) == (DriftVerdict.NO_DRIFT, 600, {})


def test_a_window_over_a_full_hour_has_files_of_both(folder: Folder) -> None:
    end = END + timedelta(minutes=2)
    lines = folder.rows(count=600, end=end)
    folder.capture(lines[400:], END - timedelta(minutes=3), 1)
    folder.capture(lines[:400], END, 2)
    outcome = analyse(folder.task(baseline(), start=end - WINDOW, end=end))
    assert (outcome.verdict, outcome.rows) == (DriftVerdict.NO_DRIFT, 600)


UNKNOWN: list[tuple[str, dict[str, Any], object, int, str]] = [
    ("an endpoint without capture", {"addresses": ()}, baseline(), 600, "the endpoint has no data capture"),
    ("an empty window", {}, baseline(), 0, "no captured row in this window"),
    ("too few rows", {}, baseline(), 49, "49 rows and 3000 in the baseline: at least 50"),
    ("a baseline of too few rows", {}, baseline(rows=20), 600, "600 rows and 20 in the baseline"),
    ("a baseline that is none", {}, b"amount,tenure\n1,2\n", 600, "the baseline is no JSON"),
    ("statistics that are none", {}, {"features": []}, 600, "this is no statistics.json"),
    (
        "a baseline that is not there",
        {"baseline": "file:///nowhere/baseline.json"},
        baseline(),
        600,
        "it lies outside the folders that may be used",
    ),
    (
        "an unreachable bucket",
        {"addresses": ("s3://captures/fraud/main/",), "s3_endpoint": "http://127.0.0.1:9", "region": "us-east-1"},
        baseline(),
        600,
        "captures: S3 cannot be",
    ),
    (
        "other columns",
        {"columns": ("x", "y")},
        baseline(lambda draw: {"z": draw.random()}),
        600,
        "none of the columns",
    ),
]


@pytest.mark.parametrize(
    ("changes", "document", "rows", "reason"), [row[1:] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN]
)
def test_what_cannot_be_said_is_unknown_with_its_reason(
    folder: Folder, changes: dict[str, Any], document: object, rows: int, reason: str
) -> None:
    folder.capture(folder.rows(count=rows), END - WINDOW)
    outcome = analyse(folder.task(document, **changes))
    assert outcome.verdict is DriftVerdict.UNKNOWN and reason in outcome.reason
    assert outcome.findings == () and outcome.total == 0


def test_only_constant_columns_say_nothing(folder: Folder) -> None:
    def still(draw: random.Random) -> dict[str, Any]:
        return {"constant": 1.0}

    folder.capture(folder.rows(still), END - WINDOW)
    outcome = analyse(folder.task(baseline(still)))
    assert (outcome.verdict, outcome.reason) == (DriftVerdict.UNKNOWN, "no column could be compared")


COLUMNS = ("label", "a", "b")


def captured_line(request: str, answer: str = "0.5") -> bytes:
    sides = {
        "endpointInput": {"data": request, "encoding": "CSV"},
        "endpointOutput": {"data": answer, "encoding": "CSV"},
    }
    return json.dumps({"captureData": sides, "eventMetadata": {"inferenceTime": "2026-03-04T12:00:00Z"}}).encode()


def read(reader: LayoutReader, line: bytes) -> Any:
    found = reader.read(line)
    return found if isinstance(found, Unusable) else found[1]


def test_a_request_with_one_column_less_has_the_answer_first() -> None:
    reader = LayoutReader(CapturedReader(COLUMNS))
    assert read(reader, captured_line("1,2")) == [{"label": 0.5, "a": 1.0, "b": 2.0}]
    assert read(reader, captured_line("1,2\n3,4", "0.1\n0.2")) == [
        {"label": 0.1, "a": 1.0, "b": 2.0},
        {"label": 0.2, "a": 3.0, "b": 4.0},
    ]
    assert read(reader, captured_line("7,1,2")) is Unusable.OTHER_COLUMNS
    assert read(reader, captured_line("1,2", "no number")) is Unusable.OTHER_COLUMNS


def test_a_request_with_all_columns_settles_that_they_are_its_own() -> None:
    reader = LayoutReader(CapturedReader(COLUMNS))
    assert read(reader, b"broken") is Unusable.BROKEN
    assert read(reader, captured_line("7,1,2")) == [{"label": 7.0, "a": 1.0, "b": 2.0, "prediction": 0.5}]
    assert read(reader, captured_line("1,2")) is Unusable.OTHER_COLUMNS


def test_rows_of_neither_length_are_of_other_columns() -> None:
    reader = LayoutReader(CapturedReader(COLUMNS))
    assert read(reader, captured_line("1,2,3,4")) is Unusable.OTHER_COLUMNS
    assert read(reader, captured_line("1,2")) == [{"label": 0.5, "a": 1.0, "b": 2.0}]
    assert read(LayoutReader(CapturedReader(("a",))), captured_line("1,2")) is Unusable.OTHER_COLUMNS
