"""Parquet: an object's rows as batches that are tables themselves, and the tables of the answers as one.

Row groups are read a few pages at a time, so that memory does not grow with the object. Sizes are bytes.
"""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.storage.files import check_tag, unreadable
from tidegate.transform.joining import ARROW, PARQUET
from tidegate.transform.splitting import Batch, Oversized

MAX_ROWS = 16_384
"""Of a batch: compression may put very many rows into a few bytes."""
MIN_CELL_SIZE = 8
"""Bytes that a cell counts as, at least."""
MIN_GROUP_ROWS = 64 * 1024
"""Rows of an output's row groups, at least."""
_BUFFER = 256 * 1024
_LIMITS = {"thrift_string_size_limit": 1024 * 1024, "thrift_container_size_limit": 100_000}


class ParquetSource:
    """A parquet file. Raises ArtifactError if it is not one, or was changed since ``tag`` was made."""

    def __init__(self, path: Path, tag: str | None) -> None:
        self._tag = tag
        with ExitStack() as broken:
            try:
                self._file = broken.enter_context(path.open("rb"))
                self._check()
                self._opened = pyarrow.parquet.ParquetFile(
                    self._file, pre_buffer=False, buffer_size=_BUFFER, **_LIMITS
                )
            except (OSError, pyarrow.ArrowException) as error:
                raise _unreadable(error) from None
            broken.pop_all()
        self.rows: int = self._opened.metadata.num_rows

    def batches(self, done: int, aim: int, limit: int, single: bool) -> Iterator[Batch]:
        """The rows from ``done`` on; offsets are numbers of rows. Raises ArtifactError, and Oversized for a
        row above the limit. An object without rows is one batch, for the model to judge."""
        try:
            if not self.rows and not done:
                yield Batch(_to_parquet(self._opened.read()), 1, 1, 1)
            for part in self._parts(done, 1 if single else self._rows_per_batch(aim)):
                self._check()
                for body, count in _split_to_limit(pyarrow.Table.from_batches([part]), limit):
                    yield Batch(body, done + 1, count, done + count)
                    done += count
        except (OSError, pyarrow.ArrowException) as error:
            raise _unreadable(error) from None
        finally:
            self._file.close()

    def _parts(self, done: int, rows: int) -> Iterator[Any]:
        metadata = self._opened.metadata
        ends = list(accumulate(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)))
        left = [number for number, end in enumerate(ends) if end > done]
        skip = done - (ends[left[0] - 1] if left and left[0] else 0)
        for part in self._opened.iter_batches(rows, row_groups=left, use_threads=False) if left else ():
            if skip < part.num_rows:
                yield part.slice(skip)
            skip = max(0, skip - part.num_rows)

    def _rows_per_batch(self, aim: int) -> int:
        metadata = self._opened.metadata
        size: int = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
        each = max(size // max(1, self.rows), MIN_CELL_SIZE * int(metadata.num_columns), 1)
        return max(1, min(MAX_ROWS, aim // each))

    def _check(self) -> None:
        if self._tag is not None:
            check_tag(self._file.fileno(), self._tag)


def _split_to_limit(table: Any, limit: int) -> Iterator[tuple[bytes, int]]:
    """Split a table into parts that fit the limit, halving it as often as necessary; yield each part with its number
    of rows."""
    body = _to_parquet(table)
    if len(body) <= limit:
        yield body, table.num_rows
    elif table.num_rows < 2:
        raise Oversized(limit)
    else:
        middle = table.num_rows // 2
        yield from _split_to_limit(table.slice(0, middle), limit)
        yield from _split_to_limit(table.slice(middle), limit)


def slicer(body: bytes) -> Callable[[int, int], bytes]:
    """Returns a function from a range of rows of ``body`` to a batch with them."""
    table = _read_parquet(body)
    return lambda low, high: _to_parquet(table.slice(low, high - low))


def _to_parquet(table: Any) -> bytes:
    """Write a table as Parquet. Numbers are written as they are, and without statistics, which would take most of the
    time, since the worker reads the table once. Text may repeat, and would grow without a dictionary."""
    fields = list(table.schema)
    dictionary: bool | list[str] = True
    if not any(pyarrow.types.is_nested(field.type) for field in fields):
        dictionary = [field.name for field in fields if not pyarrow.types.is_primitive(field.type)] or False
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="none", use_dictionary=dictionary, write_statistics=False)
    return bytes(sink.getvalue())


# --- output ---


def join(answers: Iterator[bytes], first: bytes, sink: IO[bytes]) -> None:
    """Write tables with the schema of ``first`` as one. Raises ArtifactError for tables that do not fit together."""
    try:
        _join(answers, first, sink)
    except (pyarrow.ArrowException, ValueError) as error:
        raise ArtifactError(f"the answers are no tables of one form: {_line(error)}") from None


def _join(answers: Iterator[bytes], first: bytes, sink: IO[bytes]) -> None:
    schema = _table(first).schema
    with _writer(first, sink, schema) as writer:
        waiting: list[Any] = []
        for answer in answers:
            waiting.append(_table(answer).cast(schema))
            if sum(table.num_rows for table in waiting) >= MIN_GROUP_ROWS:
                writer.write_table(pyarrow.concat_tables(waiting).combine_chunks())
                waiting = []
        if waiting:
            writer.write_table(pyarrow.concat_tables(waiting).combine_chunks())


def _writer(first: bytes, sink: IO[bytes], schema: Any) -> Any:
    if first.startswith(PARQUET):
        return pyarrow.parquet.ParquetWriter(sink, schema)
    return pyarrow.ipc.new_file(sink, schema) if first.startswith(ARROW) else pyarrow.ipc.new_stream(sink, schema)


def _table(answer: bytes) -> Any:
    if answer.startswith(PARQUET):
        return _read_parquet(answer)
    opened = pyarrow.ipc.open_file if answer.startswith(ARROW) else pyarrow.ipc.open_stream
    return opened(answer).read_all()


def _read_parquet(body: bytes) -> Any:
    """Read a table from Parquet. ``read_table`` would take the bytes for a data set, import pandas for it, and need
    0.5 ms more for each table."""
    return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(body)).read(use_threads=False)


def _unreadable(error: Exception) -> TidegateError:
    if isinstance(error, OSError) and error.strerror:
        return unreadable(error)
    return ArtifactError(f"it is not a whole parquet table: {_line(error)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


# --- a parquet file as lines of CSV, the first of which names the columns ---


ROWS = 16_384
"""Of a batch."""


def parquet_lines(source: IO[bytes]) -> Iterator[str]:
    """Raises ArtifactError for a file that is none. Missing values are empty cells, truth values 1 and 0."""
    try:
        with pyarrow.parquet.ParquetFile(source) as file:
            yield _write_line(file.schema_arrow.names)
            for batch in file.iter_batches(ROWS):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    yield _write_line([_cell(value) for value in row])
    except (OSError, pyarrow.ArrowException) as error:
        raise ArtifactError(f"it cannot be read as parquet: {error}") from None


def _cell(value: object) -> object:
    if value is None:
        return ""
    return int(value) if isinstance(value, bool) else value


def _write_line(cells: list[object] | list[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
