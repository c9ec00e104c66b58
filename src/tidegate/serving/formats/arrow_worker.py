"""The process that reads and writes parquet and Arrow tables for a worker: ``frames`` starts it and speaks to it.

On its standard input come requests (a line of JSON, then bytes), on its standard output go answers of the same
form. Its memory is limited before the first byte is read. It ends when its input does.
"""

import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.ipc
import pyarrow.parquet

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.arrow_io import (
    CODED,
    DOUBLE,
    EXACT,
    FILE,
    FLOAT,
    STREAM,
    TEXT,
    TRUTH,
    WHOLE,
    Said,
    Wish,
)
from tidegate.serving.formats.row_parser import Layout

LONGEST_TEXT = 1024 * 1024
"""Bytes of one string in a parquet file's description, which also holds pandas' own."""
MOST_PARTS = 100_000
"""Entries of one list in a parquet file's description: columns, row groups."""
PART = 16_384
"""Rows that are taken from a parquet file at a time."""

_types = pyarrow.types
_TARGETS = {WHOLE: pyarrow.int64(), TRUTH: pyarrow.bool_(), TEXT: pyarrow.string()}


def read(wish: Wish, body: bytes) -> tuple[Said, list[bytes]]:
    """Raises ModelFailed, or pyarrow's own errors for bytes that are no table."""
    assert wish.wanted is not None
    layout = Layout(len(wish.wanted), wish.names, free=True)
    parts: list[list[Any]] = [[] for _ in wish.wanted]
    rows = 0
    most = wish.most_cells // max(1, layout.count)
    for batch in _batches(wish.kind, body, layout, most):
        if not rows:
            for column, (field, wanted) in enumerate(zip(batch.schema, wish.wanted, strict=True)):
                _check_type(field.type, wanted, layout.place(0, column))
        rows += batch.num_rows
        if rows > most:
            raise _too_many(rows, most)
        for column, wanted in enumerate(wish.wanted):
            place = lambda row, column=column, before=rows - batch.num_rows: layout.place(before + row, column)  # noqa: E731
            parts[column].append(_values(batch.column(column), wanted, place))
    if not rows:
        raise layout.empty()
    return _packed(parts, rows)


def _batches(kind: str, body: bytes, layout: Layout, most: int) -> Iterator[pyarrow.RecordBatch]:
    """The model's columns, in its order, a part at a time."""
    source = pyarrow.BufferReader(body)
    if kind in (STREAM, FILE):
        options = pyarrow.ipc.IpcReadOptions(use_threads=False)
        opened = pyarrow.ipc.open_file if kind == FILE else pyarrow.ipc.open_stream
        reader = opened(source, options=options)
        places = _places(reader.schema.names, layout)
        for batch in _each(reader):
            if batch.num_rows > most:  # a column of nothing but nulls takes no bytes, however long it says it is
                raise _too_many(batch.num_rows, most)
            batch.validate(full=True)
            yield batch.select(places)
        return
    file = pyarrow.parquet.ParquetFile(
        source, thrift_string_size_limit=LONGEST_TEXT, thrift_container_size_limit=MOST_PARTS, pre_buffer=False
    )
    names = file.schema_arrow.names
    places = _places(names, layout)
    if file.metadata.num_rows > most:
        raise _too_many(file.metadata.num_rows, most)
    wanted = [names[place] for place in places]
    for part in file.iter_batches(batch_size=PART, columns=wanted, use_threads=False):
        yield part.select(wanted)


def _each(reader: Any) -> Iterator[pyarrow.RecordBatch]:
    if isinstance(reader, pyarrow.ipc.RecordBatchFileReader):
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
    else:
        yield from reader


def _places(given: Sequence[str], layout: Layout) -> list[int]:
    """pandas leaves its index as a column of its own, which is nobody's feature."""
    usable = [number for number, name in enumerate(given) if name != "__index_level_0__"]
    order = layout.order([given[number] for number in usable], "The table")
    if order is not None:
        return [usable[number] for number in order]
    if len(usable) != layout.count:
        raise layout.width(0, len(usable))
    if len({given[number] for number in usable}) != len(usable):
        raise ModelFailed(400, "The table has two columns of one name.")
    return usable


def _check_type(kind: Any, wanted: str, place: str) -> None:
    """Raises ModelFailed for a type that stands for nothing the column takes; nested ones among them."""
    plain = kind.value_type if _types.is_dictionary(kind) else kind
    number = _types.is_integer(plain) or _types.is_floating(plain) or _types.is_decimal(plain)
    text = _types.is_string(plain) or _types.is_large_string(plain) or _types.is_string_view(plain)
    truth = _types.is_boolean(plain)
    fits = {
        FLOAT: number or truth,
        DOUBLE: number or truth,
        EXACT: number or truth,
        WHOLE: _types.is_integer(plain),
        TRUTH: truth,
        TEXT: text,
        CODED: number or text,
    }[wanted]
    if not fits and not _types.is_null(plain):
        expected = {
            FLOAT: "numbers",
            DOUBLE: "numbers",
            EXACT: "numbers",
            CODED: "text or numbers",
            TEXT: "text",
            WHOLE: "whole numbers",
            TRUTH: "booleans",
        }
        shown = str(kind) if len(str(kind)) < 80 else str(kind)[:80] + "..."
        raise ModelFailed(400, f"{place}: the column holds {shown}; send {expected[wanted]}.")


def _values(array: pyarrow.Array, wanted: str, place: Any) -> Any:
    if _types.is_dictionary(array.type):
        array = array.dictionary_decode()
    text = _types.is_string(array.type) or _types.is_large_string(array.type) or _types.is_string_view(array.type)
    if wanted == TEXT or (wanted == CODED and text):
        return array.to_pylist()
    if wanted == EXACT and _types.is_integer(array.type):
        wanted = WHOLE
    if wanted in (WHOLE, TRUTH):
        return _masked(array, wanted, place)
    return _floats(array, np.float32 if wanted == FLOAT else np.float64)


def _floats(array: pyarrow.Array, dtype: Any) -> Any:
    """To the nearest float, nulls to NaN."""
    if _types.is_null(array.type):
        return np.full(len(array), np.nan, dtype)
    if _types.is_decimal(array.type):
        array = array.cast(pyarrow.float64())
    if _types.is_boolean(array.type):
        array = array.cast(pyarrow.uint8())
    nulls = array.is_null().to_numpy(zero_copy_only=False)
    filled = array.fill_null(0) if array.null_count else array
    with np.errstate(over="ignore"):
        values = filled.to_numpy(zero_copy_only=False).astype(dtype)
    values[nulls] = np.nan
    return values


def _masked(array: pyarrow.Array, wanted: str, place: Any) -> Any:
    nulls = array.is_null().to_numpy(zero_copy_only=False)
    if _types.is_null(array.type):
        array = pyarrow.nulls(len(array), _TARGETS[wanted])
    filled = array.fill_null(False if wanted == TRUTH else 0)
    if _types.is_uint64(filled.type):
        numbers = filled.to_numpy(zero_copy_only=False)
        if (numbers > np.iinfo(np.int64).max).any():
            row = int(np.argmax(numbers > np.iinfo(np.int64).max))
            raise ModelFailed(400, f"{place(row)}: {numbers[row]} is beyond int64.")
    return np.ma.MaskedArray(filled.cast(_TARGETS[wanted]).to_numpy(zero_copy_only=False), nulls)


def _packed(parts: list[list[Any]], rows: int) -> tuple[Said, list[bytes]]:
    said = Said(rows=rows)
    data: list[bytes] = []
    for pieces in parts:
        if isinstance(pieces[0], list):
            said.types.append("text")
            said.texts.append([text for piece in pieces for text in piece])
            continue
        joined: Any = np.ma.concatenate if isinstance(pieces[0], np.ma.MaskedArray) else np.concatenate
        values = joined(pieces)
        said.types.append(values.dtype.str)
        data.append(np.ma.getdata(values).tobytes())
        if isinstance(values, np.ma.MaskedArray):
            data.append(np.ma.getmaskarray(values).tobytes())
    return said, data


def _too_many(rows: int, most: int) -> ModelFailed:
    return ModelFailed(400, f"The table has {rows} rows or more; at most {most} of this many columns are read.")


def write(wish: Wish, body: bytes) -> bytes:
    assert wish.shape is not None
    values = np.frombuffer(body, np.dtype(wish.dtype)).reshape(wish.shape)
    names = ["prediction"]
    if values.ndim == 2:
        names = [f"prediction_{number}" for number in range(values.shape[1])]
    arrays = [values] if values.ndim == 1 else [np.ascontiguousarray(column) for column in values.T]
    table = pyarrow.table(dict(zip(names, map(pyarrow.array, arrays), strict=True)))
    sink = pyarrow.BufferOutputStream()
    if wish.kind in (STREAM, FILE):
        opened = pyarrow.ipc.new_file if wish.kind == FILE else pyarrow.ipc.new_stream
        with opened(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        pyarrow.parquet.write_table(table, sink)
    return bytes(sink.getvalue())


def answer(wish: Wish, body: bytes) -> tuple[Said, list[bytes]]:
    form = "parquet" if "parquet" in wish.kind else "Arrow"
    try:
        if wish.wanted is None:
            return Said(), [write(wish, body)]
        return read(wish, body)
    except ModelFailed as refused:
        return Said(refused.status, refused.message), []
    except MemoryError:
        return Said(400, f"The {form} table takes more memory than a request may."), []
    except Exception as error:  # what is wrong with bytes is said in many ways
        told = " ".join(str(error).split())[:200]
        return Said(400, f"The body is not a whole {form} table: {told}."), []


def main(memory: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pyarrow.set_cpu_count(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(memory)
    while line := sys.stdin.buffer.readline():
        wish = msgspec.json.decode(line, type=Wish)
        said, data = answer(wish, sys.stdin.buffer.read(wish.size))
        said.size = sum(map(len, data))
        sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
        sys.stdout.buffer.writelines(data)
        sys.stdout.buffer.flush()


def _limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(int(sys.argv[1]))
