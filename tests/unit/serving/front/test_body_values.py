"""Values in bodies: the first row by its columns; which numbers of an answer are compared, by rows and outputs."""

import io
import json

import numpy as np
import pytest

from tidegate.domain.worker_stats import MOST_OUTPUTS, MOST_ROWS
from tidegate.serving.front.body_values import (
    LARGEST,
    LONGEST,
    MOST_COLUMNS,
    NPY,
    count_rows,
    read_first_row,
    read_numbers,
)

JSON, CSV, LINES = "application/json", "text/csv; charset=utf-8", "application/jsonlines"
Table = list[list[float | None]]


def table(body: bytes | object, form: str = JSON, asked: int = 0) -> Table:
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = read_numbers(given, form, lambda: asked)
    made: dict[int, list[float | None]] = {}
    for row, _, value in found.numbers:
        made.setdefault(row, []).append(value)
    assert len(made) == found.rows
    return list(made.values())


@pytest.mark.parametrize(
    ("body", "asked", "expected"),
    [
        (0.5, 1, [[0.5]]),
        ([0.5], 1, [[0.5]]),
        ([1, 2, 3], 3, [[1], [2], [3]]),
        ([1, 2, 3], 4, [[1], [2], [3]]),  # a header among them
        ([1, 2, 3], 1, [[1, 2, 3]]),
        ([1, 2, 3, 4], 2, [[1, 2], [3, 4]]),
        ([1, 2, 3], 0, [[1], [2], [3]]),
        ([[1, 2], [3, 4]], 0, [[1, 2], [3, 4]]),
        ({"predictions": [[0.1, 0.9]]}, 0, [[0.1, 0.9]]),
        ({"predictions": {"a": [1, 2], "b": [[3], [4]]}}, 0, [[1, 3], [2, 4]]),
        ({"predictions": [{"score": 0.7, "label": "IN"}, {"score": None, "label": "US"}]}, 0, [[0.7], [None]]),
        ({"predictions": [0.5], "took_ms": 12.5, "model": {"version": 3}}, 1, [[0.5]]),
        ([{"score": 0.5, "latency_ms": 3.1, "id": 7}], 1, [[0.5]]),
        ({"score": 0.5, "interval": [0.2, 0.8]}, 1, [[0.5, 0.2, 0.8]]),
        ({"outputs": [{"name": "y", "shape": [2, 2], "data": [1, 2, 3, 4]}]}, 0, [[1, 2], [3, 4]]),
        (
            {"outputs": [{"shape": [2], "data": [1, 2]}, {"shape": [2, 1], "data": [[3], [4]]}]},
            0,
            [[1, 3], [2, 4]],
        ),
        ([True, False], 2, [[1], [0]]),
        ("a text", 1, []),
        ({"generated_text": "7 days"}, 1, []),
        ([], 0, []),
    ],
)  # fmt: skip
def test_rows_and_outputs_follow_from_the_form(body: object, asked: int, expected: Table) -> None:
    assert table(body, asked=asked) == expected


@pytest.mark.parametrize(
    ("body", "form", "asked", "expected"),
    [
        (b"0.5\n0.25\n", CSV, 2, [[0.5], [0.25]]),
        (b"0.5,0.25", CSV, 2, [[0.5], [0.25]]),
        (b"0.5,0.25", CSV, 1, [[0.5, 0.25]]),
        (b"1,2\n3,nan\n", CSV, 2, [[1, 2], [3, None]]),
        (b"score\n0.5\n", CSV, 1, [[0.5]]),
        (b'{"a": 1}\n{"a": 2}\n', LINES, 2, [[1], [2]]),
        (b"[NaN, Infinity, 1]", JSON, 3, [[None], [None], [1]]),
        (b"[1, 1e999]", JSON, 2, [[1], [None]]),
        (b"[0.5, oops", JSON, 1, [[0.5]]),
        (b"\xff\xfe", CSV, 1, []),
        (b"0.5", "text/plain", 1, []),
        (b"[" * 100_000, JSON, 1, []),
    ],
)
def test_any_body_is_read_or_has_no_numbers(body: bytes, form: str, asked: int, expected: Table) -> None:
    assert table(body, form, asked) == expected


@pytest.mark.parametrize(
    ("body", "form", "rows"),
    [
        (b"1,2\n3,4\n\n", CSV, 2),
        (b'{"instances": [[1, 2], [3, 4], [5, 6]]}', JSON, 3),
        (b'{"instances": [1, 2, 3]}', JSON, 1),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}', JSON, 2),
        (b'{"inputs": {"a": [1, 2], "b": [3, 4]}}', JSON, 2),
        (b'{"a": 1, "b": "x"}', JSON, 1),
        (b"{}\n{}\n{}", LINES, 3),
        (b"{", JSON, 0),
        (b"\x00", "image/png", 0),
    ],
)
def test_rows_of_a_request_are_counted_as_far_as_its_form_says(body: bytes, form: str, rows: int) -> None:
    assert count_rows(body, form) == rows


def test_of_many_rows_and_outputs_some_are_chosen_by_the_key_alone() -> None:
    """The first and the last row are among them, each other one in some request; the versions choose alike."""
    made = [[row * 1000.0 + output for output in range(50)] for row in range(40)]
    other = [[-value for value in row] for row in made]
    rows, outputs = set[int](), set[int]()
    for key in range(1, 400):
        found = read_numbers(json.dumps(made).encode(), JSON, key=key)
        places = [(row, output) for row, output, _ in found.numbers]
        assert places == [
            (row, output) for row, output, _ in read_numbers(json.dumps(other).encode(), JSON, key=key).numbers
        ]
        chosen = {row for row, _ in places}
        assert len(chosen) == MOST_ROWS and {0, 39} <= chosen
        assert all(sum(one == row for one, _ in places) == MOST_OUTPUTS and (row, 0) in places for row in chosen)
        assert all(value == row * 1000 + output for row, output, value in found.numbers)
        rows |= chosen
        outputs |= {output for _, output in places}
    assert rows == set(range(40)) and outputs == set(range(50))


def test_of_a_large_answer_the_first_number_is_read() -> None:
    body = b"[0.5" + b", 0.25" * LARGEST + b"]"
    found = read_numbers(body, JSON)
    assert (found.rows, found.numbers) == (0, [(0, 0, 0.5)]), "not one row: how many it has is unknown"


def npy(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "kind", "names", "values"),
    [
        (b"1,2.5\n3,4\n", CSV, ["0", "1"], [1.0, 2.5]),
        (b'IN, "US",,nan,inf', CSV, ["0", "1", "2", "3", "4"], ["IN", "US", None, "nan", "inf"]),
        (b"[[1, null, true], [4, 5, 6]]", JSON, ["0", "1", "2"], [1.0, None, 1.0]),
        (b'{"instances": [{"a": 1, "b": "x"}, {}]}', JSON, ["a", "b"], [1.0, "x"]),
        (b'{"predictions": [[0.5, 0.25]]}', JSON, ["0", "1"], [0.5, 0.25]),
        (b'{"columns": ["a", "b"], "data": [[1, 2]]}', JSON, ["a", "b"], [1.0, 2.0]),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', JSON, ["a"], [1.0]),
        (b"[7, 8]", JSON, ["0", "1"], [7.0, 8.0]),
        (npy([[1.5, np.nan], [3, 4]]), NPY, ["0", "1"], [1.5, "nan"]),
        (npy([1.5, 2.5]), NPY, ["0"], [1.5]),
        (b'["' + b"x" * 500 + b'"]', JSON, ["0"], ["x" * LONGEST]),
        (b"[1" + b"0" * 400 + b"]", JSON, ["0"], ["inf"]),
    ],
)
def test_the_first_row_is_read(body: bytes, kind: str, names: list[str], values: list[object]) -> None:
    assert read_first_row(body, kind) == (names, values)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", CSV),
        (b"{", JSON),
        (b"3", JSON),
        (b"[]", JSON),
        (b"{}", JSON),
        (b"[" * 100_000, JSON),
        (b'{"columns": ["a", "b"], "data": [[1]]}', JSON),
        (b"\xff\xfe", CSV),
        (b"1,2", "application/octet-stream"),
        (b"not numpy", NPY),
        (npy(np.zeros((0, 3))), NPY),
        (b",".join([b"1"] * (MOST_COLUMNS + 1)), CSV),
        (b"1" * (LARGEST + 1), CSV),
    ],
)
def test_what_is_no_row_is_none(body: bytes, kind: str) -> None:
    assert read_first_row(body, kind) is None


@pytest.mark.parametrize(
    "body",
    [
        rb'{"\ud800": "a\udfff"}',
        rb'{"columns": ["\ud800"], "data": [["a\udfff"]]}',
        b'[{"\xed\xa0\x80": "a\xed\xbf\xbf"}]',
        '{"\\ud800": "a\\udfff"}'.encode("utf-16"),
    ],
)
def test_text_without_an_encoding_is_made_encodable(body: bytes) -> None:
    found = read_first_row(body, JSON)
    assert found is not None
    names, values = found
    assert names[0].encode() == b"?" * len(names[0])
    assert isinstance(values[0], str) and values[0].encode().startswith(b"a?")


def test_names_of_columns_are_cut() -> None:
    found = read_first_row(b'{"columns": ["' + b"x" * 500 + b'"], "data": [[1]]}', JSON)
    assert found == (["x" * LONGEST], [1.0])
