"""Rows of captured requests, in all forms that clients send."""

import json
from typing import Any

import pytest

from tidegate.advisor.drift.rows import Unusable, parse_value, read_captured, read_table

COLUMNS = ("amount", "country")


def captured(data: str, encoding: str, answer: str = "0.5", time: str = "2026-03-01T12:00:00Z") -> bytes:
    sides = {
        "endpointInput": {"data": data, "encoding": encoding},
        "endpointOutput": {"data": answer, "encoding": "CSV"},
    }
    return json.dumps({"captureData": sides, "eventMetadata": {"eventId": "e", "inferenceTime": time}}).encode()


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
    assert read_captured(captured(data, encoding), COLUMNS, "", 0.0) == rows


def test_a_line_that_is_broken_or_old_is_told() -> None:
    for line in (b"half a li", b"{}", b"[]", b"\xff", captured("1,US", "CSV", time="soon")):
        assert read_captured(line, COLUMNS, "", 0.0) is Unusable.BROKEN
    assert read_captured(captured("1,US", "CSV"), COLUMNS, "", 2e9) is Unusable.TOO_OLD


def test_an_answer_without_one_number_is_no_column() -> None:
    assert read_captured(captured("1.5,US", "CSV", answer="yes"), COLUMNS, "", 0.0) == [ROW]


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
