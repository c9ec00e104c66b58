"""The first row of a body, by its content type."""

import io

import numpy as np
import pytest

from tidegate.serving.front.first_row import LARGEST, LONGEST, MOST_COLUMNS, NPY, read_first_row

JSON, CSV = "application/json", "text/csv; charset=utf-8"


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
