"""One definition of each form: what is a line, a row, a header, a key; what is exact; what is refused."""

import io
import struct

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.serving.formats.test_arrow_io import table
from tests.unit.serving.formats.test_row_decoder import npy, refused
from tidegate.serving.contract.invocation import Call, ModelFailed
from tidegate.serving.formats import arrow_io
from tidegate.serving.formats.content_types import JSON_LINES
from tidegate.serving.formats.row_decoder import CSV, JSON, NPY, ColumnType, Features, ValueKind
from tidegate.serving.formats.typed_rows import TypedInput, TypedRows
from tidegate.serving.runtimes.tabular_scorer import TabularScorer

THREE = Features(3, ["a", "b", "c"])
TWO = Features(2)
NAN = float("nan")
BOM = b"\xef\xbb\xbf"


def rows(features: Features, body: bytes, kind: str = CSV) -> list[list[float]]:
    found: list[list[float]] = features.read(body, kind).tolist()
    return found


# --- JSON Lines ---


BAD_LINES = [
    (b"[1,2,3],[4,5,6]\n", "Row 1: "),
    (b"[1,2,3] [4,5,6]\n", "Row 1: "),
    (b"[1,2,3]\n[4,5,6][7,8,9]\n", "Row 2: "),
    (b'[1,2,3,4]],"inputs":[[7,8,9,1]\n', "Row 1: "),
    (b"[1,2,3]\n[1,2,3\n,4]\n", "Row 2: The JSON is cut off"),
    (b"[1,2,3]\n\n[1,2,3]\n", "Row 2: the line is empty"),
    (b"[1,2,3]\n   \n[1,2,3]\n", "Row 2: the line is empty"),
    (b"[1,2,3]\n[1,2,3]\n\n", "Row 3: the line is empty"),
    (b"[1,2,3]\r[1,2,3]\n", "Row 1: "),
    (b"[1,2,3]\n[1,2]\n", "Row 2 has 2 columns; the model takes 3."),
    (b'[1,2,3]\n[1,2,"3"]\n', "Row 2, column 3 (c): expected a number or null, got `str`."),
    (b"[1,2,3]\n[1,true,3]\n", "Row 2, column 2 (b): expected a number or null, got `bool`."),
    (b"[1,2,3]\n[[1,2,3]]\n", "Row 2"),
    (b"[1,2,3]\n[1,NaN,3]\n", "Row 2: NaN (byte 3) is no JSON"),
    (b'[1,2,3]\n{"a":1,"b":2,"c":3,"a":4}\n', "Row 2: The key 'a' is given twice"),
    (b'[1,2,3]\n{"a":1,"b":2}\n', "Row 2 has no 'c'"),
    (b'{"instances":[[1,2,3],[4,5,6]]}\n', "Row 1"),
    (b"[1,2,3]\n1\n", "Row 2 is a single value"),
    (b"", "The request has no rows."),
]


@pytest.mark.parametrize(("body", "said"), BAD_LINES)
def test_each_line_of_json_lines_is_one_value_and_one_row(body: bytes, said: str) -> None:
    assert refused(THREE, body, JSON_LINES).startswith(said)


def test_json_lines_are_rows() -> None:
    body = b'[1,2,3]\r\n {"c":6,"b":5,"a":4} \n[7,null,9]'
    np.testing.assert_array_equal(rows(THREE, body, JSON_LINES), [[1, 2, 3], [4, 5, 6], [7, NAN, 9]])
    assert rows(Features(1), b"1\n2.5\n", JSON_LINES) == [[1], [2.5]]


# --- lines and fields of CSV ---


@pytest.mark.parametrize("odd", ["\u2028", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2029"])
def test_only_a_line_feed_ends_a_line(odd: str) -> None:
    features = Features(2, ["n", "t"], [ColumnType(), ColumnType(ValueKind.CATEGORY, ("x", f"a{odd}b"))])
    assert rows(features, f"1,a{odd}b\n2,x\n".encode()) == [[1, 1], [2, 0]]
    typed = TypedRows([TypedInput("n", np.dtype("f8")), TypedInput("t", np.dtype(object))])
    assert typed.read(f"1,a{odd}b\n2,x\n".encode(), CSV)["t"].tolist() == [f"a{odd}b", "x"]


@pytest.mark.parametrize("body", [b"1,2,3\r4,5,6\r", b"1,2,3\r4,5,6\r7,8,9\n"])
def test_a_carriage_return_alone_ends_no_line(body: bytes) -> None:
    assert "a carriage return stands alone" in refused(THREE, body)


def test_text_with_a_lone_carriage_return_is_no_row() -> None:
    typed = TypedRows([TypedInput("t", np.dtype(object))])
    with pytest.raises(ModelFailed, match="a carriage return stands alone"):
        typed.read(b"a\rb\rc", CSV)
    assert typed.read(b'"a\rb"\r\n', CSV)["t"].tolist() == ["a\rb"]


def test_quotes_are_how_a_field_is_written_and_no_type() -> None:
    np.testing.assert_array_equal(rows(THREE, b'"1","",3\n"4" , "5",6\n'), [[1, NAN, 3], [4, 5, 6]])
    features = Features(2, ["n", "t"], [ColumnType(), ColumnType(ValueKind.CATEGORY, ("a,b", 'c"d', "e"))])
    assert rows(features, b'1,"a,b"\n2,"c""d"\n"3","e"\n') == [[1, 0], [2, 1], [3, 2]]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'1,2,"3\n4,5,6"\n', "Row 1, column 3 (c): a quote stands where none may"),
        (b'1,2,3\n1,2"2,3\n', "Row 2, column 2 (b): a quote stands where none may"),
        (b'1,"2"2,3\n', "Row 1, column 2 (b): a quote stands where none may"),
        (b"1,2;3,4\n", "Row 1, column 2 (b): '2;3' is not a number."),
        (b"1,5;2,5;3,5\n", "Row 1 has 4 columns"),
        (b"1 000,2,3\n", "Row 1, column 1 (a): '1 000' is not a number."),
        ("1,２,3\n".encode(), "Row 1, column 2 (b): '２' is not a number."),
        (b"1,true,3\n", "Row 1, column 2 (b): 'true' is not a number."),
        (b"1,0x10,3\n", "Row 1, column 2 (b): '0x10' is not a number."),
        (b"   \n", "Row 1 has 0 columns; the model takes 3."),
        (b"1,2,3\n   \n", "Row 2 has 0 columns; the model takes 3."),
    ],
)
def test_a_field_that_is_no_number_is_named(body: bytes, said: str) -> None:
    assert refused(THREE, body).startswith(said)


# --- the byte order mark ---


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"1,2,3\n", CSV),
        (b"c,b,a\n3,2,1\n", CSV),
        (b"[[1,2,3]]", JSON),
        (b'{"instances": [[1,2,3]]}', JSON),
        (b"[1,2,3]\n", JSON_LINES),
        (b'{"c":3,"b":2,"a":1}\n', JSON_LINES),
    ],
)
def test_a_byte_order_mark_may_stand_first(body: bytes, kind: str) -> None:
    assert rows(THREE, BOM + body, kind) == [[1, 2, 3]]


def test_a_byte_order_mark_in_the_middle_is_no_space() -> None:
    assert "Row 2, column 1" in refused(THREE, b"1,2,3\n" + BOM + b"4,5,6\n")


def test_another_encoding_is_not_guessed() -> None:
    assert rows(THREE, b"1,2,3", "text/csv; charset=latin-1") == [[1, 2, 3]]
    features = Features(1, ["t"], [ColumnType(ValueKind.CATEGORY, ("é", "Ã©"))])
    assert rows(features, "é".encode(), "text/csv; charset=UTF-8") == [[0]]
    assert "send it in UTF-8" in refused(features, "é".encode("latin-1"), "text/csv; charset=iso-8859-1", 415)
    assert "is not UTF-8" in refused(features, "é".encode("latin-1"))


# --- headers ---

NUMBERED = Features(4, ["0", "1", "2", "3"])


def test_a_line_of_the_models_own_names_is_a_header_though_they_are_numbers() -> None:
    body = b"0,1,2,3\n" + b"5,6,7,8\n" * 5
    assert rows(NUMBERED, body) == [[5, 6, 7, 8]] * 5
    assert rows(NUMBERED, BOM + body.replace(b"\n", b"\r\n")) == [[5, 6, 7, 8]] * 5
    assert rows(NUMBERED, b'"0","1","2","3"\n5,6,7,8\n') == [[5, 6, 7, 8]]
    large = b"0,1,2,3\n" + b"".join(b"%d,6.5,7,8\n" % number for number in range(9000))
    assert rows(NUMBERED, large)[-1] == [8999, 6.5, 7, 8]
    assert len(rows(NUMBERED, large)) == 9000


def test_numbers_that_are_names_in_another_order_may_be_either() -> None:
    body = b"3,2,1,0\n5,6,7,8\n"
    assert "it may be a header or a row" in refused(NUMBERED, body)
    assert rows(NUMBERED, body, "text/csv; header=present") == [[8, 7, 6, 5]]
    assert rows(NUMBERED, body, "text/csv; header=absent") == [[3, 2, 1, 0], [5, 6, 7, 8]]
    assert rows(NUMBERED, b"0,1,2,3\n5,6,7,8\n", "text/csv; header=absent") == [[0, 1, 2, 3], [5, 6, 7, 8]]
    assert rows(NUMBERED, b"3,2,1,1\n5,6,7,8\n") == [[3, 2, 1, 1], [5, 6, 7, 8]]
    assert "expected present or absent" in refused(NUMBERED, body, "text/csv; header=maybe", 415)


def test_a_row_of_one_or_two_small_numbers_is_not_taken_for_a_header() -> None:
    for names, body in ((["0"], b"0\n5\n"), (["0", "1"], b"0,1\n1,1\n")):
        features = Features(len(names), names)
        assert "it may be a header or a row" in refused(features, body)
        assert len(rows(features, body, "text/csv; header=present")) == 1
        assert len(rows(features, body, "text/csv; header=absent")) == 2


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        ([TypedInput("0", np.dtype("i8"))], b"0"),
        ([TypedInput("0", np.dtype("f4")), TypedInput("1", np.dtype("i4"))], b"1,0"),
        ([TypedInput("0", np.dtype(object))], b"0"),
        ([TypedInput("a", np.dtype(object)), TypedInput("0", np.dtype("i8"))], b"a,0"),
        ([TypedInput("a", np.dtype(object), texts=frozenset({"a", "b"}))], b"a"),
        ([TypedInput("true", np.dtype(bool))], b"true"),
    ],
)
def test_typed_columns_do_not_lose_a_row_that_looks_like_a_header(inputs: list[TypedInput], line: bytes) -> None:
    typed, name = TypedRows(inputs), inputs[0].name
    for body in (line, line + b"\n" + line):
        with pytest.raises(ModelFailed, match="it may be a header or a row"):
            typed.read(body, CSV)
        assert len(typed.read(body, "text/csv; header=absent")[name]) == body.count(b"\n") + 1
    with pytest.raises(ModelFailed, match="it may be a header or a row"):
        typed.header(line)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        (ColumnType(ValueKind.CATEGORY, ("a", "b")), "a"),
        (ColumnType(ValueKind.CATEGORY, (0, 1)), "0"),
        (ColumnType(ValueKind.FLAG), "true"),
        (ColumnType(ValueKind.FLAG), "1"),
    ],
)
def test_a_value_that_is_its_columns_name_is_not_lost(column: ColumnType, name: str) -> None:
    features, line = Features(1, [name], [column]), name.encode()
    for body in (line, line + b"\n" + line):
        assert "it may be a header or a row" in refused(features, body)
        assert len(rows(features, body, "text/csv; header=absent")) == body.count(b"\n") + 1
    with pytest.raises(ModelFailed, match="it may be a header or a row"):
        features.header(line)


def test_the_names_of_columns_that_take_any_text_are_a_header() -> None:
    typed = TypedRows([TypedInput("t", np.dtype(object)), TypedInput("u", np.dtype(object))])
    assert typed.read(b"u,t\n1,2\n", CSV)["t"].tolist() == ["2"]


def test_a_name_in_a_free_text_is_a_row_where_a_number_shows_it() -> None:
    typed = TypedRows([TypedInput("0", np.dtype("f8")), TypedInput("t", np.dtype(object))])
    assert typed.read(b"1.5,t\n2,x\n", CSV)["t"].tolist() == ["t", "x"]
    assert typed.read(b"t,0\nt,3\n", CSV)["t"].tolist() == ["t"]
    with pytest.raises(ModelFailed, match="The header line has no 't'"):
        typed.read(b"0,c\n1,x\n", "text/csv; header=present")


def test_a_header_alone_has_no_rows() -> None:
    assert refused(NUMBERED, b"0,1,2,3\n") == "The request has no rows."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"a,b", "The header line has no 'c'."),
        (b"a,b,c,d", "The header line: the model has no feature 'd'."),
        (b"a,b,b", "The header line has no 'c'."),
        (b"a,b,c,c", "The header line: the column 'c' is given twice."),
        (b"a,b,C", "The header line has no 'c'; the model has no feature 'C'."),
    ],
)
def test_a_wrong_header_is_refused(line: bytes, said: str) -> None:
    assert refused(THREE, line + b"\n1,2,3\n") == said
    assert refused(THREE, line + b"\n1,2,3\n", "text/csv; header=present") == said


def test_a_name_in_a_row_of_categories_makes_no_header() -> None:
    features = Features(
        2,
        ["land", "size"],
        [ColumnType(ValueKind.CATEGORY, ("size", "x")), ColumnType(ValueKind.CATEGORY, ("S", "land"))],
    )
    assert rows(features, b"size,S\nx,land\n") == [[0, 0], [1, 1]]
    assert "it may be a header or a row" in refused(features, b"size,land\nS,size\n")
    assert rows(features, b"size,land\nS,size\n", "text/csv; header=present") == [[0, 0]]
    assert "The header line has no 'land'" in refused(features, b"size,what\nS,size\n")


def test_names_with_commas_are_one_field() -> None:
    assert rows(Features(2, ["a,b", 'c"d']), b'"c""d","a,b"\n1,2\n') == [[2, 1]]


# --- JSON ---


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"instances": [[1,2,3]], "inputs": [[4,5,6]]}', "The JSON has both 'instances' and 'inputs'; send one"),
        (b'{"inputs": [[1,2,3]], "dataframe_split": {"data": [[4,5,6]]}}', "The JSON has both"),
        (b'{"instances": [[1,2,3]], "instances": [[4,5,6]]}', "The key 'instances' is given twice"),
        (b'{"instances": [[1,2,3]], "\\u0069nstances": [[4,5,6]]}', "The key 'instances' is given twice"),
        (b'[{"a":1,"b":2,"c":3},{"a":1,"b":2,"c":3,"b":9}]', "The key 'b' is given twice"),
        (b'{"instances": [{"a":1,"a":1,"b":2,"c":3}]}', "The key 'a' is given twice"),
        (b'{"dataframe_split": {"data": [[1,2,3]], "data": [[4,5,6]]}}', "The key 'data' is given twice"),
        (
            b'{"dataframe_split": {"columns": ["a","b","c"], "columns": ["c","b","a"], "data": [[1,2,3]]}}',
            "The key 'columns' is given twice",
        ),
        (b"[[1,2,3]] x", "The JSON cannot be used"),
        (b"[[1,2,3]][[4,5,6]]", "The JSON cannot be used"),
        (b'{"instances": [[1,2,3]]}}', "The JSON cannot be used"),
        (b"[[[1,2,3]]]", "Row 1, column 1 (a): expected a number or null, got `array`."),
        (b"[[1,2,Infinity]]", "Infinity (byte 6) is no JSON"),
        (b"[[1,2,1e400]]", "Row 1, column 3 (c): expected a number or null, got a number that is too large."),
        (b"[[1,2,01]]", "The JSON cannot be used"),
        (b'[["1",2,3]]', "Row 1, column 1 (a): expected a number or null, got `str`."),
        (b'{"x":' * 90_000, "The JSON is nested too deeply."),
        (b'{"instances": [[1,2,3]], "more": ' + b"[" * 90_000, "The JSON is nested too deeply."),
    ],
)
def test_json_that_says_a_thing_twice_or_more_than_one_value_is_refused(body: bytes, said: str) -> None:
    assert refused(THREE, body, JSON).startswith(said)
    table = TabularScorer(lambda found: found[:, 0], THREE, None)
    with pytest.raises(ModelFailed):
        table.parse(Call(body, {b"content-type": JSON.encode()}))


def test_colons_in_names_and_text_are_no_keys() -> None:
    features = Features(2, ["a:b", "t"], [ColumnType(), ColumnType(ValueKind.CATEGORY, ("x:y", "z"))])
    assert rows(features, b'[{"a:b": 1, "t": "x:y"}, {"a:b": 2, "t": "z"}]', JSON) == [[1, 0], [2, 1]]
    body = b'{"dataframe_split": {"index": ["12:30"], "columns": ["t", "a:b"], "data": [["z", 5]]}}'
    assert rows(features, body, JSON) == [[5, 1]]


def test_a_form_that_is_null_holds_no_rows() -> None:
    assert rows(THREE, b'{"instances": null, "inputs": [[1,2,3]]}', JSON) == [[1, 2, 3]]


# --- numbers ---


def test_a_model_that_computes_in_doubles_gets_doubles() -> None:
    exact = Features(2, ["t", "x"], dtype=np.float64)
    unix = 1_700_000_001.25
    sent = [
        (f"{unix!r},0.1\n".encode(), CSV),
        (f'{{"instances": [[{unix!r}, 0.1]]}}'.encode(), JSON),
        (f"[{unix!r}, 0.1]\n".encode(), JSON_LINES),
        (npy(np.array([[unix, 0.1]])), NPY),
        (table(arrow_io.PARQUET, {"t": [unix], "x": [0.1]}), arrow_io.PARQUET),
        (table(arrow_io.STREAM, {"x": [0.1], "t": pa.array([unix])}), arrow_io.STREAM),
    ]
    for body, kind in sent:
        assert rows(exact, body, kind) == [[unix, 0.1]], kind
    scorer = TabularScorer(lambda found: found[:, 0], exact, None)
    packed = scorer.parse(Call(sent[1][0], {b"content-type": JSON.encode()}))
    assert packed == struct.pack("=2d", unix, 0.1)
    assert scorer.score([packed])[0].tolist() == [unix]


def test_whole_numbers_of_a_large_csv_are_exact_in_doubles() -> None:
    body = b"".join(b"%d,-%d,\n" % (16_777_217 + number, 99_999 + number) for number in range(3000))
    found = Features(3, dtype=np.float64).read(body, CSV)
    assert found[:, 0].tolist() == [16_777_217 + number for number in range(3000)]
    assert found[:, 1].tolist() == [-99_999 - number for number in range(3000)]
    assert np.isnan(found[:, 2]).all()


def test_a_number_beyond_the_models_type_is_refused() -> None:
    for body, kind in ((b"1e39,1\n", CSV), (b"[[1e39,1]]", JSON), (npy(np.array([[1e39, 1]])), NPY)):
        assert "infinite or beyond float32" in refused(TWO, body, kind)
        assert rows(Features(2, dtype=np.float64), body, kind) == [[1e39, 1]]


@pytest.mark.parametrize("kind", [ValueKind.WHOLE, ValueKind.FLAG])
def test_whether_a_number_is_whole_is_asked_before_it_is_rounded(kind: ValueKind) -> None:
    features = Features(1, ["n"], [ColumnType(kind)])
    odd = 1.00000001
    for body, form in ((b"1.00000001", CSV), (b"[[1.00000001]]", JSON), (npy(np.array([[odd]])), NPY)):
        assert f"is not {kind.value}" in refused(features, body, form)
    assert "is not" in refused(features, table(arrow_io.PARQUET, {"n": [odd]}), arrow_io.PARQUET)


def test_booleans_are_read_as_0_and_1() -> None:
    """As pandas writes columns of them, which XGBoost trains as 0 or 1."""
    features = Features(2, ["flag", "x"], [ColumnType(ValueKind.FLAG), ColumnType()])
    for body, kind in (
        (b"True,1\nfalse,2\n1,3\n", CSV),
        (b"[[true,1],[false,2],[1,3]]", JSON),
        (b'[{"flag":true,"x":1},{"flag":false,"x":2},{"flag":1,"x":3}]', JSON),
        (b"[true,1]\n[false,2]\n[1,3]\n", JSON_LINES),
        (table(arrow_io.PARQUET, {"flag": [True, False, True], "x": [1, 2, 3]}), arrow_io.PARQUET),
    ):
        assert rows(features, body, kind) == [[1, 1], [0, 2], [1, 3]], kind
    assert "expected a number or null, got `bool`" in refused(features, b"[[true,true]]", JSON)
    assert "'true' is not a number" in refused(features, b"1,1\ntrue,true\n")
    flags = Features(2, ["a", "b"], [ColumnType(ValueKind.FLAG), ColumnType(ValueKind.FLAG)])
    assert rows(flags, b"True,False\nFalse,True\n") == [[1, 0], [0, 1]]
    assert rows(flags, b"b,a\nFalse,True\n") == [[1, 0]]


def test_the_quick_reader_of_json_leaves_checked_columns_alone() -> None:
    features = Features(1, ["size"], [ColumnType(ValueKind.CATEGORY, (10, 20))])
    scorer = TabularScorer(lambda found: found[:, 0], features, None)
    call = Call(b'{"instances": [[20]]}', {b"content-type": JSON.encode()})
    assert scorer.score([scorer.parse(call)])[0].tolist() == [1]


def test_typed_columns_of_an_npy_array_are_exact() -> None:
    typed = TypedRows([TypedInput("n", np.dtype("i8")), TypedInput("x", np.dtype("f8"))])
    found = typed.read(npy(np.array([[2**24 + 1, 5]])), NPY)
    assert found["n"].tolist() == [2**24 + 1]
    assert typed.read(npy(np.array([[3, 0.1]])), NPY)["x"].tolist() == [0.1]
    with pytest.raises(ModelFailed, match=r"expected a whole number, got 1\.5"):
        typed.read(npy(np.array([[1.5, 0.1]])), NPY)


def test_doubles_of_a_table_stay_doubles() -> None:
    typed = TypedRows([TypedInput("x", np.dtype("f8"))])
    assert typed.read(table(arrow_io.PARQUET, {"x": [1_700_000_001.25]}), arrow_io.PARQUET)["x"].tolist() == [
        1_700_000_001.25
    ]


@pytest.mark.parametrize(
    "array",
    [
        np.array(1.0),
        np.array([[1, 2]], object),
        np.array([(1.0, 2.0)], dtype=[("a", "f4"), ("b", "f4")]),
        np.array([["1", "2"]]),
        np.array([["2020-01-01", "2020-01-02"]], "M8[D]"),
        np.array([[1j, 2]]),
        np.zeros((1, 2, 1)),
        np.zeros((2, 0)),
    ],
)
def test_an_npy_array_that_is_no_table_of_numbers_is_refused(array: np.ndarray) -> None:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=True)
    assert "npy array" in refused(TWO, sink.getvalue(), NPY) or "columns" in refused(TWO, sink.getvalue(), NPY)


@pytest.mark.parametrize("kind", [">f8", "<f2", ">i2", "u8", "?", "f16"])
def test_an_npy_array_of_any_order_and_type_is_read(kind: str) -> None:
    values = np.array([[1, 0], [0, 1], [1, 1]])
    assert rows(TWO, npy(np.asfortranarray(values.astype(kind))), NPY) == values.tolist()
