"""The rows of a parquet object in batches, and tables that are answers made one again."""

import gzip
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as parquet
import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.features.batch.runner import table_io
from tidegate.features.batch.runner.table_io import ParquetSource, slicer
from tidegate.features.batch.runner.table_records import assemble, frame
from tidegate.storage.files import tag_of
from tidegate.transform.splitting import Batch, Oversized

ROWS = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Four row groups."""
    table = pa.table({"a": pa.array(range(ROWS)), "b": pa.array([f"t{number}" for number in range(ROWS)])})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=300)
    return tmp_path / "rows.parquet"


def opened(path: Path) -> ParquetSource:
    return ParquetSource(path, tag_of(os.stat(path)))


def read(body: bytes) -> Any:
    return parquet.read_table(io.BytesIO(body))


def numbers(batches: list[Batch]) -> list[int]:
    return [number for batch in batches for number in read(batch.body).column("a").to_pylist()]


@pytest.mark.parametrize("aim", [64 * table_io.MIN_CELL_SIZE, 1_000_000])
@pytest.mark.parametrize("done", [0, 1, 299, 300, 950, ROWS])
def test_the_rows_from_any_one_on_come_once_and_in_order(path: Path, aim: int, done: int) -> None:
    found = list(opened(path).batches(done, aim, 10**6, single=False))
    assert numbers(found) == list(range(done, ROWS))
    assert [batch.end for batch in found] == [
        done + sum(b.count for b in found[: n + 1]) for n in range(len(found))
    ]


def test_rows_are_sent_one_by_one_where_that_is_wanted(path: Path) -> None:
    found = list(opened(path).batches(990, 10**6, 10**6, single=True))
    assert [batch.count for batch in found] == [1] * 10


def test_a_batch_above_the_limit_is_cut_and_a_row_above_it_is_refused(path: Path) -> None:
    found = list(opened(path).batches(0, 10**6, 2500, single=False))
    assert numbers(found) == list(range(ROWS))
    assert all(len(batch.body) <= 2500 for batch in found)
    with pytest.raises(Oversized):
        list(opened(path).batches(0, 10**6, 100, single=False))


def test_an_object_without_rows_is_for_the_model_to_judge(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "none")
    [batch] = opened(tmp_path / "none").batches(0, 1, 10**6, single=False)
    assert (batch.count, batch.end, read(batch.body).num_rows) == (1, 1, 0)
    assert not list(opened(tmp_path / "none").batches(1, 1, 10**6, single=False))


def test_what_is_no_table_or_was_changed_is_refused(path: Path) -> None:
    tag = tag_of(os.stat(path))
    body = path.read_bytes()
    for damaged in (b"", b"PAR1", gzip.compress(body), body[:-20], b"x" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="not a whole parquet table"):
            list(opened(path).batches(0, 100, 10**6, single=False))
    path.write_bytes(body + b"more")
    with pytest.raises(ArtifactError, match="changed meanwhile"):
        ParquetSource(path, tag)


def test_numbers_of_a_batch_are_written_as_they_are_and_repeated_text_is_not(tmp_path: Path) -> None:
    """A dictionary of numbers and their statistics take most of the time of writing."""
    floats = [0.1, float("nan"), None, -0.0] * 250
    columns = {"x": pa.array(floats), "n": pa.array([2**53 + 1, None] * 500), "t": pa.array(["long text"] * ROWS)}
    parquet.write_table(pa.table(columns), tmp_path / "rows")
    [batch] = opened(tmp_path / "rows").batches(0, 10**6, 10**6, single=False)
    group = parquet.ParquetFile(io.BytesIO(batch.body)).metadata.row_group(0)
    assert [group.column(at).has_dictionary_page for at in range(3)] == [False, False, True]
    assert not group.column(0).is_stats_set
    for name, column in columns.items():
        assert str(read(batch.body).column(name).to_pylist()) == str(column.to_pylist())


def test_lists_in_a_batch_may_repeat(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"x": [1.0] * ROWS, "tags": [["long text"] * 9] * ROWS}), tmp_path / "rows")
    [batch] = opened(tmp_path / "rows").batches(0, 10**6, 10**6, single=False)
    assert len(batch.body) < 50_000


def test_a_part_of_a_batch_is_a_batch(path: Path) -> None:
    assert read(slicer(path.read_bytes())(10, 13)).column("a").to_pylist() == [10, 11, 12]


def written(table: Any, form: str) -> bytes:
    sink = io.BytesIO()
    if form == "parquet":
        parquet.write_table(table, sink)
    else:
        with getattr(pyarrow.ipc, f"new_{form}")(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("form", ["parquet", "file", "stream"])
def test_tables_that_are_answers_become_one(form: str, tmp_path: Path) -> None:
    parts = [pa.table({"prediction": pa.array([float(n), n + 0.5])}) for n in range(5)]
    (tmp_path / "answers").write_bytes(b"".join(frame(written(part, form)) for part in parts))
    assemble(tmp_path / "answers", tmp_path / "out")
    body = (tmp_path / "out").read_bytes()
    found = read(body) if form == "parquet" else getattr(pyarrow.ipc, f"open_{form}")(io.BytesIO(body)).read_all()
    assert found.equals(pa.concat_tables(parts))


def test_other_answers_stand_one_after_the_other_and_one_alone_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "answers").write_bytes(frame(b"1\n") + frame(b"2\n"))
    assemble(tmp_path / "answers", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"1\n2\n"
    (tmp_path / "answers").write_bytes(frame(b"PAR1, or so it says"))
    assemble(tmp_path / "answers", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"PAR1, or so it says"


def test_tables_that_do_not_fit_together_are_an_error(tmp_path: Path) -> None:
    parts = [pa.table({"prediction": [0.5]}), pa.table({"other": ["a"]})]
    (tmp_path / "answers").write_bytes(b"".join(frame(written(part, "parquet")) for part in parts))
    with pytest.raises(ArtifactError, match="no tables of one form"):
        assemble(tmp_path / "answers", tmp_path / "out")
