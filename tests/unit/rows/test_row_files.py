"""Rows as requests: what the model gets, and what is kept back."""

import base64
import json

import pytest

from tidegate.domain.errors import Invalid
from tidegate.rows.row_files import RowTerms, read_captures, read_csv_rows, read_lines_of_rows

TABLE = ["amount,country,fraud\n", '9.50,"US, south",1\n', "\n", "80,DE,\n"]
TERMS = RowTerms(label="fraud", leave_out=frozenset({"country"}))


def test_a_table_becomes_a_request_for_each_row_without_label_and_left_out_columns() -> None:
    found = read_csv_rows(TABLE, TERMS, "rows.csv")
    assert [each.body for each in found.requests] == [b"9.50\n", b"80\n"]
    assert {each.content_type for each in found.requests} == {"text/csv"}
    assert [each.label for each in found.requests] == [1.0, None]
    assert found.requests[0].rows == ({"amount": 9.5, "country": "US, south", "fraud": 1.0},)


def test_values_are_sent_as_they_are_written() -> None:
    found = read_csv_rows(["a,b,c\n", '1e-3,"x, ""y""",\n'], RowTerms(), "rows.csv")
    assert found.requests[0].body == b'1e-3,"x, ""y""",\n'


@pytest.mark.parametrize(
    ("lines", "terms", "said"),
    [
        ([], RowTerms(), "the first line must name the columns"),
        (["1.5,2\n", "3,4\n"], RowTerms(), "it is numbers"),
        (["a,a\n"], RowTerms(), "each once"),
        (["a,b\n", "1\n"], RowTerms(), "rows.csv:2: 1 values for 2 columns"),
        (["a,b\n", "1,2\n"], RowTerms(label="fraud"), "there is no column 'fraud'"),
        (["a,fraud\n", "1,yes\n"], RowTerms(label="fraud"), "rows.csv:2: the label 'yes' is no number"),
        (["a,b\n", '1,"2\n'], RowTerms(), "rows.csv:2"),
    ],
)
def test_a_broken_table_is_refused_by_its_line(lines: list[str], terms: RowTerms, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_csv_rows(lines, terms, "rows.csv")


def test_json_lines_are_objects_or_lists() -> None:
    lines = [b'{"amount": 9.5, "country": "US", "fraud": 1, "tags": ["a"]}\n', b"[1, 2, 3]\n", b"\n"]
    found = read_lines_of_rows(lines, RowTerms(label="fraud"), "rows.jsonl")
    first, second = found.requests
    assert json.loads(first.body) == {"amount": 9.5, "country": "US", "tags": ["a"]} and first.label == 1
    assert json.loads(second.body) == [1, 2, 3]
    assert second.rows == ({"0": 1.0, "1": 2.0, "2": 3.0},)


@pytest.mark.parametrize(
    ("line", "said"),
    [(b"{", "rows.jsonl:1: this line is not JSON"), (b"7", "expected an object or a list"), (b'{"a": 1}', "'b'")],
)
def test_a_line_that_is_no_row_is_refused(line: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_lines_of_rows([line], RowTerms(leave_out=frozenset("b")), "rows.jsonl")


def captured(data: str, encoding: str, kind: str) -> bytes:
    side = {"data": data, "encoding": encoding, "observedContentType": kind}
    about = {"eventId": "e", "inferenceTime": "2026-03-01T12:00:00Z"}
    return json.dumps({"captureData": {"endpointInput": side}, "eventMetadata": about}).encode()


def test_captures_are_sent_as_clients_sent_them() -> None:
    lines = [
        captured("1,US\n2,DE", "CSV", "text/csv"),
        captured('{"amount": 3}', "JSON", "application/json"),
        captured(base64.b64encode(b"\0PAR1").decode(), "BASE64", "application/x-parquet"),
        b"broken",
        b'{"captureData": {}}',
        captured("not base64!", "BASE64", "x"),
    ]
    found = read_captures(lines, RowTerms(columns=("amount", "country")))
    assert [each.body for each in found.requests] == [b"1,US\n2,DE", b'{"amount": 3}', b"\0PAR1"]
    assert found.requests[0].rows == ({"amount": 1.0, "country": "US"}, {"amount": 2.0, "country": "DE"})
    assert found.requests[1].rows == ({"amount": 3.0},) and found.requests[2].rows is None
    assert dict(found.skipped) == {"broken line": 3}


def test_captured_rows_without_known_names_have_no_columns() -> None:
    found = read_captures([captured("1,US", "CSV", "text/csv")], RowTerms())
    assert found.requests[0].rows is None and not found.columns


def test_captures_in_a_file_are_recognised() -> None:
    found = read_lines_of_rows([captured("1,2", "CSV", "text/csv")], RowTerms(), "captured.jsonl")
    assert found.requests[0].body == b"1,2"
