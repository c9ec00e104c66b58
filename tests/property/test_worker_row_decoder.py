"""Rows survive every form they can be sent in; predictions survive every form they are answered in."""

import io
import json
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tidegate.serving.contract.invocation import Call, ModelFailed
from tidegate.serving.formats.content_types import JSON_LINES
from tidegate.serving.formats.dense_json import Packer
from tidegate.serving.formats.row_decoder import CSV, JSON, NPY, ColumnType, Features, ValueKind, write
from tidegate.serving.formats.typed_rows import TypedInput, TypedRows
from tidegate.serving.runtimes.tabular_scorer import TabularScorer

NUMBERS = st.one_of(st.floats(width=32, allow_infinity=False), st.just(float("nan")))
ROWS = st.tuples(st.integers(1, 8), st.integers(1, 6)).flatmap(
    lambda shape: arrays.arrays("f4", shape, elements=NUMBERS)
)
NAMES = ["a", "b", "c", "d", "e", "f"]


def values(rows: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in rows]


@given(ROWS)
def test_rows_are_the_same_in_every_form(rows: np.ndarray) -> None:
    names = NAMES[: rows.shape[1]]
    features = Features(rows.shape[1], names)
    plain = values(rows)
    text = "\n".join(",".join("" if value is None else repr(value) for value in row) for row in plain)
    quoted = "\n".join('"' + line.replace(",", '","') + '"' for line in text.split("\n"))
    npy = io.BytesIO()
    np.save(npy, rows)
    objects = [dict(reversed(list(zip(names, row, strict=True)))) for row in plain]
    split = {"columns": names[::-1], "data": [row[::-1] for row in plain]}
    sent = [
        (text.encode() + b"\n", CSV),
        (npy.getvalue(), NPY),
        (b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n", CSV),
        (quoted.encode() + b"\n", CSV),
        (b"\n".join(map(msgspec.json.encode, plain)), JSON_LINES),
        (b"".join(msgspec.json.encode(one) + b"\n" for one in objects), JSON_LINES),
        *(
            (msgspec.json.encode(document), JSON)
            for document in (plain, {"instances": plain}, {"inputs": objects}, {"dataframe_split": split})
        ),
    ]
    for body, kind in sent:
        np.testing.assert_array_equal(features.read(body, kind), rows)


BITS = [
    b'{"instances":[[',
    b'{"instances": [[',
    b"]]}",
    b"[[",
    b"]]",
    b"],[",
    b",",
    b" ",
    b"\n",
    b"1",
    b"-2.5",
    b"1e39",
]
BITS += [
    b"null",
    b'"1"',
    b"true",
    b"1e400",
    b"NaN",
    b',"instances":[[3,4]]}',
    b',"inputs":[[3,4]]}',
    b"\xef\xbb\xbf",
    b"-0",
    b"{",
]


@given(st.lists(st.sampled_from(BITS), max_size=12).map(b"".join), st.sampled_from([np.float32, np.float64]))
def test_the_quick_reader_of_json_agrees_with_the_general_one(body: bytes, dtype: Any) -> None:
    features = Features(2, ["a", "b"], dtype=dtype)
    quick = Packer(2, features.dtype.char).rows(body)
    if quick is not None:
        found = np.frombuffer(quick, dtype).reshape(-1, 2)
        np.testing.assert_array_equal(features.read(body, JSON), found)


TYPED = Features(3, ["n", "flag", "x"], [ColumnType(ValueKind.WHOLE), ColumnType(ValueKind.FLAG), ColumnType()])
ODDLY = st.sampled_from([0, 1, 2, -1, 1.0, 1.5, 1.00000001, 2**24 + 1, 1e300, None, True, "1"])


@given(st.lists(st.lists(ODDLY, min_size=2, max_size=4), min_size=1, max_size=4))
def test_the_quick_reader_of_checked_columns_agrees_with_the_general_one(rows: list[list[Any]]) -> None:
    table = TabularScorer(lambda found: found, TYPED, None)
    body = msgspec.json.encode({"instances": rows})
    quick = Packer(3, "f", [0], [1]).rows(body)
    if quick is not None:
        np.testing.assert_array_equal(TYPED.read(body, JSON), np.frombuffer(quick, np.float32).reshape(-1, 3))
        assert table.parse(Call(body, {b"content-type": JSON.encode()})) == quick
    plain = [isinstance(cell, int | float) and not isinstance(cell, bool) for row in rows for cell in row]
    fine = all(len(row) == 3 and row[0] in (0, 1, 2, -1) and row[1] in (0, 1) and row[2] != 1e300 for row in rows)
    assert (quick is not None) or not (all(plain) and fine)


@given(ROWS, st.sampled_from(["f4", "f8"]))
def test_plain_rows_are_read_quickly(rows: np.ndarray, dtype: str) -> None:
    plain = np.nan_to_num(rows).astype(dtype)
    body = msgspec.json.encode({"instances": plain.tolist()})
    quick = Packer(rows.shape[1], plain.dtype.char).rows(body)
    assert quick == plain.tobytes()


@given(ROWS, st.booleans())
def test_predictions_are_the_same_in_every_form(rows: np.ndarray, several: bool) -> None:
    scores = np.nan_to_num(rows if several else rows[:, 0])
    from_json = msgspec.json.decode(write(scores, JSON).body)["predictions"]
    from_csv = [list(map(float, line.split(","))) for line in write(scores, CSV).body.decode().splitlines()]
    np.testing.assert_array_equal(np.array(from_json, dtype="f4"), scores)
    np.testing.assert_array_equal(np.array(from_csv, dtype="f4").reshape(scores.shape), scores)
    np.testing.assert_array_equal(np.load(io.BytesIO(write(scores, NPY).body)), scores)


@given(st.binary(max_size=200), st.sampled_from(["", CSV, JSON, NPY, JSON_LINES]), st.integers(1, 4))
def test_any_bytes_are_rows_or_a_refusal(body: bytes, kind: str, columns: int) -> None:
    try:
        rows = Features(columns, NAMES[:columns]).read(body, kind)
    except ModelFailed as refused:
        assert refused.status == 400
        assert refused.message
    else:
        assert rows.shape[1] == columns
        assert len(rows) > 0
        assert not np.isinf(rows).any()


@given(ROWS, st.integers(0, 500), st.binary(min_size=1, max_size=3))
def test_a_damaged_npy_is_rows_or_a_refusal(rows: np.ndarray, at: int, damage: bytes) -> None:
    stream = io.BytesIO()
    np.save(stream, rows)
    body = bytearray(stream.getvalue())
    place = at % len(body)
    body[place : place + len(damage)] = damage
    try:
        assert Features(rows.shape[1]).read(bytes(body), NPY).shape[1] == rows.shape[1]
    except ModelFailed as refused:
        assert refused.status == 400


LOOSE = Features(2, ["a", "b"], [ColumnType(), ColumnType(ValueKind.CATEGORY, ("x", "y"))])
INPUTS = TypedRows(
    [TypedInput(name, np.dtype(kind)) for name, kind in zip("abcd", ("f4", "i4", "?", "O"), strict=True)]
)
CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.just(-(10**400)), st.floats(), st.text(max_size=3))


@given(
    st.lists(st.one_of(st.lists(CELLS, max_size=5), st.dictionaries(st.sampled_from("abcde"), CELLS)), max_size=3)
)
def test_any_json_is_rows_or_a_refusal(rows: list[object]) -> None:
    body = json.dumps(rows).encode()
    for reader in (Features(2, ["a", "b"]), LOOSE, INPUTS):
        try:
            found = reader.read(body, JSON)
        except ModelFailed as refused:
            assert refused.status == 400
        else:
            several = found.values() if isinstance(found, dict) else [found]
            assert all(len(values) == len(rows) or len(values) == 1 for values in several)


@given(st.binary(max_size=100))
def test_any_csv_is_typed_or_a_refusal(body: bytes) -> None:
    try:
        found = INPUTS.read(body, CSV)
    except ModelFailed as refused:
        assert refused.status == 400
    else:
        assert set(found) == set("abcd")
