"""Bytes to rows and predictions to bytes: every form, and what is said about a bad one."""

import io

import msgspec
import numpy as np
import pytest

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.row_decoder import CSV, JSON, NPY, ColumnType, Features, ValueKind, choose, write

NAN = float("nan")
PLAIN = Features(3)
NAMED = Features(3, ["amount", "hour", "country"])


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def same(found: np.ndarray, expected: list[list[float]]) -> None:
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))


def refused(features: Features, body: bytes, kind: str = CSV, status: int = 400) -> str:
    with pytest.raises(ModelFailed) as caught:
        features.read(body, kind)
    assert caught.value.status == status
    return caught.value.message


@pytest.mark.parametrize("body", [b"1,2.5,-3e2", b"1,2.5,-3e2\n", b"1,2.5,-3e2\r\n", b" 1 ,2.5, -3e2"])
def test_a_csv_row_with_or_without_its_end(body: bytes) -> None:
    same(PLAIN.read(body, CSV), [[1, 2.5, -300]])


def test_csv_rows_with_missing_values() -> None:
    same(PLAIN.read(b"1,,3\n,,\nnan,5,6\n", CSV), [[1, NAN, 3], [NAN, NAN, NAN], [NAN, 5, 6]])


def test_one_column_may_be_missing_too() -> None:
    same(Features(1).read(b"1\n\n3\n", CSV), [[1], [NAN], [3]])


@pytest.mark.parametrize("kind", ["", "text/csv; charset=utf-8", "Text/CSV"])
def test_csv_is_what_nothing_else_is_said_of(kind: str) -> None:
    same(PLAIN.read(b"1,2,3", kind), [[1, 2, 3]])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no rows"),
        (b"1,2", "Row 1 has 2 columns; the model takes 3."),
        (b"1,2,3\n1,2,3,4", "Row 2 has 4 columns; the model takes 3."),
        (b"1,2,3\n\n1,2,3", "Row 2 has 0 columns"),
        (b"1,2,3\n1,abc,3", "Row 2, column 2: 'abc' is not a number."),
        (b"amount,hour,country\n1,2,3", "Row 1, column 1: 'amount' is not a number."),
        (b"1,1_000,3", "Row 1, column 2: '1_000' is not a number."),
        (b"1,_,", "Row 1, column 2: '_' is not a number."),
        (b"1,2,inf", "Row 1, column 3: the value is infinite"),
        (b"1,1e39,3", "Row 1, column 2: the value is infinite or beyond float32"),
        (b"1,\xff\xfe,3", "Row 1, column 2"),
    ],
)
def test_bad_csv_is_named_by_row_and_column(body: bytes, why: str) -> None:
    assert why in refused(PLAIN, body)


def test_a_column_is_named_where_its_name_is_known() -> None:
    assert refused(NAMED, b"1,x,3") == "Row 1, column 2 (hour): 'x' is not a number."


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [[1, 2.5, null], [4, 5, 6]]}',
        b'{"inputs": [[1, 2.5, null], [4, 5, 6]]}',
        b'{"dataframe_split": {"index": [0, 1], "data": [[1, 2.5, null], [4, 5, 6]]}}',
        b" [[1, 2.5, null], [4, 5, 6]]",
        b'{"instances": [[1, 2.5, null], [4, 5, 6]], "parameters": {"x": 1}}',
    ],
)
def test_json_lists_of_lists_are_rows(body: bytes) -> None:
    same(PLAIN.read(body, JSON), [[1, 2.5, NAN], [4, 5, 6]])


@pytest.mark.parametrize("body", [b"[1, null, 3]", b'{"instances": [1, null, 3]}'])
def test_a_flat_list_is_one_row(body: bytes) -> None:
    same(PLAIN.read(body, JSON), [[1, NAN, 3]])


@pytest.mark.parametrize(
    "body",
    [
        b'[{"country": 3, "amount": 1, "hour": null}, {"amount": 4, "hour": 5, "country": 6}]',
        b'{"dataframe_split": {"columns": ["country", "amount", "hour"], "data": [[3, 1, null], [6, 4, 5]]}}',
    ],
)
def test_features_by_name_come_in_any_order(body: bytes) -> None:
    same(NAMED.read(body, JSON), [[1, NAN, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "body is empty"),
        (b"{", "cut off"),
        (b"\xff", "cannot be used"),
        (b"[NaN, 1, 2]", "NaN (byte 1) is no JSON"),
        (b"{}", "none of 'instances', 'inputs', 'dataframe_split' and 'dataframe_records'"),
        (b'{"instances": []}', "no rows"),
        (b'{"dataframe_split": {"data": []}}', "no rows"),
        (b'{"instances": [[1, 2]]}', "Row 1 has 2 columns; the model takes 3."),
        (
            b'{"instances": [[1, 2, 3], [1, 2, "x"]]}',
            "Row 2, column 3 (country): expected a number or null, got `str`",
        ),
        (b'{"instances": [[1, true, 3]]}', "Row 1, column 2 (hour): expected a number or null, got `bool`"),
        (b'{"instances": [[1, 2, 3], 4]}', "Row 2 is a single value"),
        (b'{"instances": [1, [2], 3]}', "Row 1, column 2 (hour): expected a number"),
        (b'{"instances": [[1, 2, 1e300]]}', "Row 1, column 3 (country): the value is infinite or beyond float32"),
        (b'[{"amount": 1, "hour": 2}]', "Row 1 has no 'country'"),
        (b'[{"amount": 1, "hour": 2, "country": 3, "x": 4}]', "Row 1: the model has no feature 'x'"),
        (b'{"dataframe_split": {"columns": ["amount", "hour", "x"], "data": [[1, 2, 3]]}}', "'country'"),
        (b'{"dataframe_split": {"columns": ["amount", "hour", "hour"], "data": [[1, 2, 3]]}}', "'country'"),
        (
            b'{"dataframe_split": {"columns": ["amount", "hour", "country", "hour"], "data": [[1, 2, 3]]}}',
            "given twice",
        ),
        (b'{"dataframe_split": {"columns": ["amount", "hour", "country"], "data": [[1, 2]]}}', "Row 1 has 2"),
    ],
)
def test_bad_json_is_named_by_row_and_column(body: bytes, why: str) -> None:
    assert why in refused(NAMED, body, JSON)


def test_objects_need_a_model_with_names() -> None:
    assert "has no feature names" in refused(PLAIN, b'[{"a": 1, "b": 2, "c": 3}]', JSON)


@pytest.mark.parametrize("type_", ["f2", "f4", "f8", ">f8", "i8", "u1", "?"])
def test_npy_of_any_kind_of_number(type_: str) -> None:
    rows = np.array([[1, 0, 1], [0, 1, 1]], dtype=type_)
    same(PLAIN.read(npy(rows), NPY), rows.astype(float).tolist())
    same(PLAIN.read(npy(np.asfortranarray(rows)), NPY), rows.astype(float).tolist())


def test_an_npy_vector_is_one_row() -> None:
    same(PLAIN.read(npy(np.array([1.0, np.nan, 3.0])), NPY), [[1, NAN, 3]])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not an npy array"),
        (b"\x93NUMPY", "not an npy array"),
        (npy(np.zeros((2, 3)))[:-1], "should have 48 bytes, found 47"),
        (npy(np.zeros((2, 3))) + b"x", "found 49"),
        (npy(np.zeros((2, 4))), "Row 1 has 4 columns"),
        (npy(np.zeros((0, 3))), "expected rows and columns"),
        (npy(np.zeros((1, 1, 3))), "expected rows and columns"),
        (npy(np.array(["a", "b", "c"])), "send numbers"),
        (npy(np.array([1, 2, 3], dtype="c16")), "send numbers"),
        (npy(np.array([[1, 2, np.inf]])), "Row 1, column 3"),
    ],
)
def test_bad_npy_is_refused(body: bytes, why: str) -> None:
    assert why in refused(PLAIN, body, NPY)


def test_a_pickle_in_npy_is_not_opened() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([[1, 2, object()]], dtype=object), allow_pickle=True)
    assert "send numbers" in refused(PLAIN, stream.getvalue(), NPY)


def test_a_claimed_size_is_not_believed() -> None:
    body = npy(np.zeros((1, 3))).replace(b"(1, 3)", b"(9999999999999, 3)".ljust(6))
    assert "npy array" in refused(PLAIN, body, NPY)


def test_another_content_type_is_refused() -> None:
    assert "'text/libsvm' is not supported" in refused(PLAIN, b"1:1", "text/libsvm", 415)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV", CSV),
        ("application/x-npy", NPY),
        ("text/*", CSV),
        ("application/*", JSON),
        ("text/html, text/csv;q=0.5, application/json;q=0.4", CSV),
        ("text/csv;q=0, */*;q=0.1", JSON),
    ],
)
def test_the_answer_has_the_preferred_accepted_type(accept: str, kind: str) -> None:
    assert choose(accept, JSON) == kind


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/json;q=0", "text/csv;q=x"])
def test_an_accept_that_cannot_be_met_is_refused(accept: str) -> None:
    with pytest.raises(ModelFailed) as caught:
        choose(accept, JSON)
    assert caught.value.status == 406


def test_predictions_are_formatted_in_every_content_type() -> None:
    values = np.array([0.5, 0.25], dtype=np.float32)
    assert write(values, JSON) == (b'{"predictions":[0.5,0.25]}', JSON, (), 200)
    assert write(values, CSV) == (b"0.5\n0.25\n", CSV, (), 200)
    np.testing.assert_array_equal(np.load(io.BytesIO(write(values, NPY).body)), values)


def test_several_classes_make_a_row() -> None:
    values = np.array([[0.5, 0.25, 0.25], [1, 0, 0]], dtype=np.float32)
    assert msgspec.json.decode(write(values, JSON).body) == {"predictions": [[0.5, 0.25, 0.25], [1, 0, 0]]}
    assert write(values, CSV).body == b"0.5,0.25,0.25\n1.0,0.0,0.0\n"


@pytest.mark.parametrize(
    "body",
    [b"country,amount,hour\n3,1,2\n6,4,5\n", b'"country", "amount" ,hour\r\n3,1,2\r\n6,4,5'],
)
def test_a_header_that_names_the_features_puts_them_in_order(body: bytes) -> None:
    same(NAMED.read(body, CSV), [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"country,amount\n3,1", "The header line has no 'hour'."),
        (b"country,amount,our\n3,1,2", "The header line has no 'hour'; the model has no feature 'our'."),
        (
            b"land,betrag,stunde\n3,1,2",
            "The first line is no row, since 'land' is not a number, and no header, since",
        ),
        (b'"so,uth",x,y\n3,1,2', "The first line is no row, since 'so,uth' is not a number, and no header, since"),
        (b"country,amount,hour,x\n3,1,2,4", "The header line: the model has no feature 'x'."),
        (b"country,amount,hour,hour\n3,1,2,4", "The header line: the column 'hour' is given twice."),
        (b"country,amount,hour\n", "The request has no rows."),
        (b"country,amount,hour\n3,1,2\n3,x,2", "Row 2, column 2 (amount): 'x' is not a number."),
        (
            b"country,amount,hour\n3,1,2\ncountry,amount,hour",
            "Row 2, column 1 (country): 'country' is not a number.",
        ),
        (b"country,amount,hour\n3,inf,2", "Row 1, column 2 (amount): the value is infinite"),
    ],
)
def test_a_header_is_checked_and_its_columns_are_named(body: bytes, why: str) -> None:
    assert refused(NAMED, body).startswith(why)


@pytest.mark.parametrize("key", ["dataframe_records", "instances", "inputs"])
@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (
            '[{"amount": 1, "hour": 2, "country": "DE"}]',
            "Row 1, column 3 (country): expected a number or null, got `str`.",
        ),
        ('[{"amount": 1, "hour": 2, "country": 3}, {"amount": 1, "hour": 2}]', "Row 2 has no 'country'"),
        ('[{"amount": 1, "hour": 2, "country": 3, "x": "y"}]', "Row 1: the model has no feature 'x'."),
        (
            '[{"amount": 1, "hour": true, "country": 3}]',
            "Row 1, column 2 (hour): expected a number or null, got `bool`.",
        ),
    ],
)
def test_objects_are_named_by_row_and_column(key: str, rows: str, why: str) -> None:
    assert refused(NAMED, f'{{"{key}": {rows}}}'.encode(), JSON).startswith(why)
    assert refused(NAMED, rows.encode(), JSON).startswith(why)


def test_records_are_rows() -> None:
    body = b'{"dataframe_records": [{"country": 3, "amount": 1, "hour": null}]}'
    same(NAMED.read(body, JSON), [[1, NAN, 3]])


def test_raw_bytes_are_refused_with_the_accepted_types() -> None:
    said = refused(PLAIN, b"x", "application/octet-stream", 415)
    assert said.startswith("Raw bytes are not rows of a table; send application/json, text/csv")


KINDS = [
    ColumnType(ValueKind.WHOLE),
    ColumnType(ValueKind.FLAG),
    ColumnType(ValueKind.CATEGORY),
    ColumnType(ValueKind.CATEGORY, (10.0, 20.0)),
    ColumnType(),
]
OF_KINDS = Features(5, ["n", "flag", "code", "size", "amount"], KINDS)


def test_typed_columns_accept_values_of_their_type() -> None:
    same(OF_KINDS.read(b"3,1,7,20,1.5\n-3,0,0,10,\n,,,,", CSV), [[3, 1, 7, 1, 1.5], [-3, 0, 0, 0, NAN], [NAN] * 5])


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1.5,0,0,10,0", "Row 2, column 1 (n): 1.5 is not a whole number."),
        ("1,2,0,10,0", "Row 2, column 2 (flag): 2 is not 0 or 1."),
        ("1,0,-1,10,0", "Row 2, column 3 (code): -1 is no category's code; send a whole number from 0."),
        ("1,0,0.5,10,0", "Row 2, column 3 (code): 0.5 is no category's code"),
        ("1,0,0,15,0", "Row 2, column 4 (size): 15 is no category that the model knows."),
    ],
)
def test_a_value_of_another_type_than_its_column_is_refused(row: str, why: str) -> None:
    assert refused(OF_KINDS, f"1,1,1,10,1\n{row}".encode()).startswith(why)
    assert refused(OF_KINDS, f"[[1,1,1,10,1],[{row}]]".encode(), JSON).startswith(why)


LANDS = Features(2, ["amount", "land"], [ColumnType(), ColumnType(ValueKind.CATEGORY, ("DE", "FR"))])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"1,FR\n2,\n3,0", CSV),
        (b'land,amount\n"FR",1\n,2\nDE,3', CSV),
        (b'[[1, "FR"], [2, null], [3, "DE"]]', JSON),
        (b'[{"land": "FR", "amount": 1}, {"land": null, "amount": 2}, {"land": "DE", "amount": 3}]', JSON),
    ],
)
def test_categories_of_text(body: bytes, kind: str) -> None:
    same(LANDS.read(body, kind), [[1, 1], [2, NAN], [3, 0]])


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"1,FR\n2,XX", CSV, "Row 2, column 2 (land): 'XX' is no category that the model knows ('DE', 'FR')."),
        (b'[[1, "FR"], [2, "fr"]]', JSON, "Row 2, column 2 (land): 'fr' is no category"),
        (
            b'[[1, "FR"], [2, 2]]',
            JSON,
            "Row 2, column 2 (land): 2 is no category's code; send a whole number from 0 to 1.",
        ),
        (b'[["x", "FR"]]', JSON, "Row 1, column 1 (amount): expected a number or null, got `str`."),
        (b"[[1, true]]", JSON, "Row 1, column 2 (land): expected a number or null, got `bool`."),
        (b"x,FR", CSV, "Row 1, column 1 (amount): 'x' is not a number."),
    ],
)
def test_bad_categories_of_text(body: bytes, kind: str, why: str) -> None:
    assert refused(LANDS, body, kind).startswith(why)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"predictions": [0.5, 0.25]}', "application/json"),
        (b"[0.5, 0.25]", "application/json"),
        (npy(np.array([0.5, 0.25])), "application/x-npy"),
        (b"0.5\n0.25", "text/csv"),
    ],
)
def test_a_models_single_values_are_rows_for_a_model_of_one_column(body: bytes, kind: str) -> None:
    assert Features(1).read(body, kind).tolist() == [[0.5], [0.25]]


def test_what_a_model_answered_can_be_asked_of_the_next() -> None:
    rows = Features(2).read(b'{"predictions": [[1, 2], [3, null]]}', "application/json")
    assert rows.shape == (2, 2) and rows[0].tolist() == [1, 2] and np.isnan(rows[1, 1])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        np.arange(6.0).reshape(3, 2).T,
        np.array([True, False]),
        np.zeros((0, 3), np.float32),
        np.array(["a", "bc"]),
    ],
)
def test_arrays_are_written_as_numpy_reads_them(array: np.ndarray) -> None:
    for _ in range(2):  # the second time the header is known
        found = np.load(io.BytesIO(write(array, NPY).body), allow_pickle=False)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_json_lines_are_rows_and_get_a_line_each() -> None:
    rows = Features(2, ["a", "b"]).read(b"[1,2]\n[3,null]\n", "application/jsonlines")
    np.testing.assert_array_equal(rows, [[1, 2], [3, np.nan]])
    named = Features(2, ["a", "b"]).read(b'{"b":1,"a":2}\n', "application/jsonlines")
    np.testing.assert_array_equal(named, [[2, 1]])
    answer = write(np.array([0.5, 0.25], np.float32), "application/jsonlines")
    assert answer.body == b'{"prediction":0.5}\n{"prediction":0.25}\n'
    with pytest.raises(ModelFailed):
        Features(2).read(b"[1,2]\n[3,\n", "application/jsonlines")


@pytest.mark.parametrize("rows", [1, 2, 511, 512, 600])
@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "labels", "missing", "table"])
def test_each_row_of_a_csv_answer_ends_its_line(rows: int, kind: str) -> None:
    """However it is written: there is a quick way for many numbers, and another for all else."""
    made = np.arange(rows, dtype=np.float64)
    predictions = {
        "labels": np.array([f"label {n}" for n in range(rows)]),
        "missing": np.where(made == 0, NAN, made),
        "table": np.stack([made, made], axis=1),
    }.get(kind)
    answer = write(made.astype(kind) if predictions is None else predictions, CSV).body
    assert answer.endswith(b"\n") and not answer.endswith(b"\n\n")
    assert answer.count(b"\n") == rows
