"""Parquet and Arrow tables: what becomes of each type, what is said of a bad one, what a hostile one may do."""

import decimal
import io
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from tests.unit.serving.formats.test_row_decoder import NAMED, NAN, PLAIN, refused, same
from tidegate.serving.formats import arrow_io
from tidegate.serving.formats.row_decoder import ColumnType, Features, ValueKind, write

PARQUET, STREAM, FILE = arrow_io.PARQUET, arrow_io.STREAM, arrow_io.FILE


def table(kind: str, columns: dict[str, Any] | pa.Table, **options: Any) -> bytes:
    whole = columns if isinstance(columns, pa.Table) else pa.table(columns)
    sink = pa.BufferOutputStream()
    if kind in (PARQUET, arrow_io.APACHE_PARQUET):
        pyarrow.parquet.write_table(whole, sink, **options)
    else:
        opened = pyarrow.ipc.new_file if kind == FILE else pyarrow.ipc.new_stream
        with opened(sink, whole.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
            writer.write_table(whole)
    return bytes(sink.getvalue())


def parsed(body: bytes, kind: str) -> pa.Table:
    if kind == FILE:
        return pyarrow.ipc.open_file(io.BytesIO(body)).read_all()
    if kind == STREAM:
        return pyarrow.ipc.open_stream(io.BytesIO(body)).read_all()
    return pyarrow.parquet.read_table(io.BytesIO(body))


@pytest.mark.parametrize("kind", arrow_io.TYPES)
def test_columns_are_matched_by_name_where_the_model_has_names(kind: str) -> None:
    body = table(kind, {"country": [3, 6], "amount": [1.5, 4.0], "hour": [None, 5]})
    same(NAMED.read(body, kind), [[1.5, NAN, 3], [4, 5, 6]])


@pytest.mark.parametrize("kind", arrow_io.TYPES)
def test_columns_are_matched_by_position_otherwise(kind: str) -> None:
    same(PLAIN.read(table(kind, {"z": [1], "b": [2], "a": [3]}), kind), [[1, 2, 3]])


@pytest.mark.parametrize("kind", [PARQUET, STREAM])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, None, 3], pa.int8()), [1, NAN, 3]),
        (pa.array([1, None, 2**24 + 1], pa.int64()), [1, NAN, 2**24]),
        (pa.array([2**63 - 1, -(2**63), 0], pa.int64()), [2.0**63, -(2.0**63), 0]),
        (pa.array([True, False, None]), [1, 0, NAN]),
        (pa.array([1.5, None, float("nan")], pa.float64()), [1.5, NAN, NAN]),
        (pa.array([0.1, None, -2], pa.float32()), [np.float32(0.1), NAN, -2]),
        (pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("-3.50")]), [1.25, NAN, -3.5]),
        (pa.array([7, None, 7], pa.int32()).dictionary_encode(), [7, NAN, 7]),
        (pa.nulls(3), [NAN, NAN, NAN]),
    ],
)
def test_every_type_of_number_becomes_the_nearest_float32(
    kind: str, values: pa.Array, expected: list[float]
) -> None:
    same(Features(1).read(table(kind, {"a": values}), kind), [[value] for value in expected])


@pytest.mark.parametrize("kind", [PARQUET, STREAM, FILE])
@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (
            {"amount": [1], "hour": ["x"], "country": [3]},
            "Row 1, column 2 (hour): the column holds string; send numbers.",
        ),
        ({"amount": [[1]], "hour": [1], "country": [3]}, "Row 1, column 1 (amount): the column holds list<"),
        ({"amount": [1], "hour": [2]}, "The table has no 'country'."),
        (
            {"amount": [1], "hour": [2], "land": [3]},
            "The table has no 'country'; the model has no feature 'land'.",
        ),
        ({"amount": [1], "hour": [2], "country": [3], "x": [4]}, "The table: the model has no feature 'x'."),
        (
            {"amount": [1, 1e39], "hour": [2, 2], "country": [3, 3]},
            "Row 2, column 1 (amount): the value is infinite",
        ),
        ({"amount": pa.array([], pa.int32()), "hour": pa.nulls(0), "country": pa.nulls(0)}, "no rows"),
    ],
)
def test_a_bad_table_is_named_by_row_and_column(kind: str, columns: dict[str, Any], why: str) -> None:
    assert why in refused(NAMED, table(kind, columns), kind)


def test_a_wrong_number_of_columns_is_refused() -> None:
    assert refused(PLAIN, table(PARQUET, {"a": [1]}), PARQUET) == "Row 1 has 1 columns; the model takes 3."


def test_the_index_that_pandas_leaves_is_no_column() -> None:
    same(Features(1).read(table(PARQUET, {"a": [1], "__index_level_0__": [9]}), PARQUET), [[1]])


def test_categories_come_as_text() -> None:
    features = Features(2, ["a", "land"], [ColumnType(), ColumnType(ValueKind.CATEGORY, ("DE", "FR"))])
    body = table(STREAM, {"land": pa.array(["FR", None]).dictionary_encode(), "a": [1, 2]})
    same(features.read(body, STREAM), [[1, 1], [2, NAN]])
    bad = table(STREAM, {"land": ["FR", "XX"], "a": [1, 2]})
    assert "Row 2, column 2 (land): 'XX' is no category" in refused(features, bad, STREAM)


@pytest.mark.parametrize("kind", arrow_io.TYPES)
def test_bytes_that_are_no_arrow_table_are_refused(kind: str) -> None:
    whole = table(kind, {"a": [1.5], "b": [2], "c": [3]})
    for body in (b"", b"PAR1", b"x" * 100, whole[: len(whole) // 2], b"\xff\xff\xff\xff\xff\xff\xff\x7f"):
        message = refused(PLAIN, body, kind)
        assert "not a whole" in message or "no rows" in message
        assert "\n" not in message
    same(PLAIN.read(whole, kind), [[1.5, 2, 3]])


def test_more_rows_than_any_body_could_hold_are_not_unpacked() -> None:
    rows = arrow_io.MOST_CELLS + 1
    repeated = pa.table({"a": pa.array(np.zeros(rows, np.int8))})
    body = table(PARQUET, repeated, compression="zstd")
    assert len(body) < 100_000
    assert f"{rows} rows or more" in refused(Features(1), body, PARQUET)
    nothing = table(STREAM, {"a": pa.nulls(10**9)})
    assert len(nothing) < 1000
    assert "1000000000 rows or more" in refused(Features(1), nothing, STREAM)


@pytest.mark.parametrize("kind", [PARQUET, STREAM])
def test_a_bomb_of_text_ends_at_the_limit_of_memory(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_io, "MEMORY", 100_000_000)
    arrow_io._reader.close()
    texts = pa.table({"land": pa.array(["x" * 50_000_000] * 4, pa.large_string())})
    features = Features(1, ["land"], [ColumnType(ValueKind.CATEGORY, ("DE", "FR"))])
    body = table(kind, texts, compression="zstd", **({"use_dictionary": False} if kind == PARQUET else {}))
    assert len(body) < 1_000_000
    assert "memory" in refused(features, body, kind)
    same(Features(1).read(table(STREAM, {"a": [1]}), STREAM), [[1]])
    arrow_io._reader.close()


@pytest.mark.parametrize("kind", arrow_io.TYPES)
def test_arrow_predictions_are_columns(kind: str) -> None:
    values = np.array([0.5, 0.25], np.float32)
    answer = write(values, kind)
    assert answer.content_type == kind
    assert parsed(answer.body, kind).to_pydict() == {"prediction": [0.5, 0.25]}
    several = parsed(write(values[None], kind).body, kind)
    assert several.to_pydict() == {"prediction_0": [0.5], "prediction_1": [0.25]}
    labels = parsed(write(np.array(["no", "yes"], object), kind).body, kind)
    assert labels.to_pydict() == {"prediction": ["no", "yes"]}


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_io, "find_spec", lambda name: None)
    assert "pip install 'tidegate[arrow]'" in refused(PLAIN, b"", PARQUET, 415)


def test_a_reader_that_is_started_early_is_the_one_that_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    arrow_io._reader.close()
    with monkeypatch.context() as missing:
        missing.setattr(arrow_io, "find_spec", lambda name: None)
        arrow_io.prepare()
    assert arrow_io._reader._process is None
    with monkeypatch.context() as full:
        full.setattr("sys.executable", "/nowhere")
        arrow_io.prepare()
    assert arrow_io._reader._process is None
    arrow_io.prepare()
    early = arrow_io._reader._process
    assert early is not None
    same(Features(1).read(table(STREAM, {"a": [1]}), STREAM), [[1]])
    assert arrow_io._reader._process is early


def test_the_reader_does_without_pandas() -> None:
    """pyarrow imports it with the first array where it is installed, which took longer than the answer."""
    arrow_io._reader.close()
    same(Features(1).read(table(PARQUET, {"a": [1, None, 2.5]}), PARQUET), [[1], [np.nan], [2.5]])
    write(np.array(["no", "yes"], object), PARQUET)
    process = arrow_io._reader._process
    assert process is not None
    mapped = Path(f"/proc/{process.pid}/maps").read_text()
    assert "pyarrow" in mapped
    assert "pandas" not in mapped


def test_a_reader_that_is_killed_is_started_again() -> None:
    body = table(STREAM, {"a": [1]})
    same(Features(1).read(body, STREAM), [[1]])
    process = arrow_io._reader._process
    assert process is not None
    process.kill()
    process.wait()
    same(Features(1).read(body, STREAM), [[1]])


def test_a_table_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    body = table(STREAM, {"a": [1]})
    same(Features(1).read(body, STREAM), [[1]])
    process = arrow_io._reader._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(arrow_io, "TIMEOUT", 0.01)
    assert "took longer" in refused(Features(1), body, STREAM)
