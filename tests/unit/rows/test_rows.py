"""Rows of captured requests, in all forms that clients send."""

import json
from typing import Any

import pytest

from tidegate.rows.captured_rows import CapturedReader, Unusable, parse_value, read_table

COLUMNS = ("amount", "country")


def captured(data: str, encoding: str, answer: str = "0.5", time: str = "2026-03-01T12:00:00Z") -> bytes:
    sides = {
        "endpointInput": {"data": data, "encoding": encoding},
        "endpointOutput": {"data": answer, "encoding": "CSV"},
    }
    return json.dumps({"captureData": sides, "eventMetadata": {"eventId": "e", "inferenceTime": time}}).encode()


def read(line: bytes) -> Any:
    found = CapturedReader(COLUMNS).read(line)
    return found if isinstance(found, Unusable) else found[1]


ROW = {"amount": 1.5, "country": "US"}


@pytest.mark.parametrize(
    ("data", "encoding", "rows"),
    [
        ("1.5,US\n", "CSV", [{**ROW, "prediction": 0.5}]),
        ("amount,country\n1.5,US\n", "CSV", [{**ROW, "prediction": 0.5}]),
        ("1.5,US\n2,\n", "CSV", [ROW, {"amount": 2.0, "country": None}]),
        ('{"amount": 1.5, "country": "US"}', "JSON", [{**ROW, "prediction": 0.5}]),
        ('{"instances": [{"amount": 1.5, "country": "US"}]}', "JSON", [{**ROW, "prediction": 0.5}]),
        ('{"instances": [[1.5, "US"], [1.5, "US"]]}', "JSON", [ROW, ROW]),
        ('{"instances": [{"features": [1.5, "US"]}]}', "JSON", [{**ROW, "prediction": 0.5}]),
        ('[1.5, "US"]', "JSON", [{**ROW, "prediction": 0.5}]),
        ('{"columns": ["a"], "data": [[1], [2]]}', "JSON", [{"a": 1.0}, {"a": 2.0}]),
        ('{"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}', "JSON", [{"a": 1.0}, {"a": 2.0}]),
        ("1.5,US,3\n", "CSV", Unusable.OTHER_COLUMNS),
        ("[[1.5]]", "JSON", Unusable.OTHER_COLUMNS),
        ("", "CSV", Unusable.UNREADABLE),
        ("[]", "JSON", Unusable.UNREADABLE),
        ("7", "JSON", Unusable.UNREADABLE),
        ("{", "JSON", Unusable.UNREADABLE),
        ("AAAA", "BASE64", Unusable.UNREADABLE),
    ],
)
def test_a_captured_request_has_rows_or_a_reason(data: str, encoding: str, rows: Any) -> None:
    assert read(captured(data, encoding)) == rows


def test_a_line_that_is_broken_or_old_is_told() -> None:
    for line in (b"half a li", b"{}", b"[]", b"\xff", captured("1,US", "CSV", time="soon")):
        assert read(line) is Unusable.BROKEN
    assert CapturedReader(COLUMNS, since=2e9).read(captured("1,US", "CSV")) is Unusable.TOO_OLD
    assert CapturedReader(COLUMNS, before=1.0).read(captured("1,US", "CSV")) is Unusable.TOO_NEW


def test_an_answer_without_one_number_is_no_column() -> None:
    assert read(captured("1.5,US", "CSV", answer="yes")) == [ROW]


@pytest.mark.parametrize("answer", ["0.1\n0.2\n", "0.1,0.2"])
def test_each_of_several_rows_has_its_prediction(answer: str) -> None:
    first, second = read(captured("1.5,US\n1.5,US\n", "CSV", answer))
    assert (first["prediction"], second["prediction"]) == (0.1, 0.2)
    assert read(captured("1.5,US\n1.5,US\n", "CSV", "0.1")) == [ROW, ROW]


def test_a_column_may_come_as_a_custom_attribute() -> None:
    document = json.loads(captured("1.5,US", "CSV"))
    document["eventMetadata"]["customAttributes"] = ["region=EU", "country=DE", "secret=1", "trace", 7]
    reader = CapturedReader(COLUMNS, attributes=("region", "country"))
    found = reader.read(json.dumps(document).encode())
    assert not isinstance(found, Unusable)
    [row] = found[1]
    assert row == {**ROW, "region": "EU", "prediction": 0.5}


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        *((" 1.5 ", 1.5), (True, 1.0), (3, 3.0), ("US", "US"), ("", None), (" ", None), (None, None)),
        *((float("nan"), None), ("inf", None), ("NaN", None), ("null", None), ("NA", None), ([1], "[1]")),
    ],
)
def test_values_are_numbers_texts_or_nothing(value: object, parsed: object) -> None:
    assert parse_value(value) == parsed


def test_a_table_has_its_columns_in_the_first_line() -> None:
    assert list(read_table(["amount,country\n", "1.5,US\n", "2,\n"])) == [ROW, {"amount": 2.0, "country": None}]
