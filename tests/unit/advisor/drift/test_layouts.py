"""Whether the first column of a baseline is the answer."""

import json
from typing import Any

from tidegate.features.drift.layouts import LayoutReader
from tidegate.rows.captured_rows import CapturedReader, Unusable

COLUMNS = ("label", "a", "b")


def line(request: str, answer: str = "0.5") -> bytes:
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
    assert read(reader, line("1,2")) == [{"label": 0.5, "a": 1.0, "b": 2.0}]
    assert read(reader, line("1,2\n3,4", "0.1\n0.2")) == [
        {"label": 0.1, "a": 1.0, "b": 2.0},
        {"label": 0.2, "a": 3.0, "b": 4.0},
    ]
    assert read(reader, line("7,1,2")) is Unusable.OTHER_COLUMNS
    assert read(reader, line("1,2", "no number")) is Unusable.OTHER_COLUMNS


def test_a_request_with_all_columns_settles_that_they_are_its_own() -> None:
    reader = LayoutReader(CapturedReader(COLUMNS))
    assert read(reader, b"broken") is Unusable.BROKEN
    assert read(reader, line("7,1,2")) == [{"label": 7.0, "a": 1.0, "b": 2.0, "prediction": 0.5}]
    assert read(reader, line("1,2")) is Unusable.OTHER_COLUMNS


def test_rows_of_neither_length_are_of_other_columns() -> None:
    reader = LayoutReader(CapturedReader(COLUMNS))
    assert read(reader, line("1,2,3,4")) is Unusable.OTHER_COLUMNS
    assert read(reader, line("1,2")) == [{"label": 0.5, "a": 1.0, "b": 2.0}]
    assert read(LayoutReader(CapturedReader(("a",))), line("1,2")) is Unusable.OTHER_COLUMNS
