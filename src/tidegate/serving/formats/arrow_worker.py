"""The process that reads and writes parquet and Arrow tables for a worker; ``arrow_io`` starts it.

It reads requests from standard input (a line of JSON, then bytes) and writes replies of the same form to standard
output. Its memory is limited before the first byte is read. It ends when its input does.
"""

import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.ipc
import pyarrow.parquet

from tidegate.domain.decoding import prepare_type
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.arrow_io import (
    ANY,
    CODED,
    DOUBLE,
    EXACT,
    FILE,
    FLOAT,
    STREAM,
    TEXT,
    TRUTH,
    WHOLE,
    ArrowReply,
    ArrowRequest,
)
from tidegate.serving.formats.json_rows import RowParser

LONGEST_TEXT = 1024 * 1024
"""Most bytes of a string in a parquet file's metadata, which may include pandas' own."""
MOST_PARTS = 100_000
"""Most entries of a list in a parquet file's metadata: columns, row groups."""
PART = 16_384
"""Rows that are read from a parquet file at a time."""

_types = pyarrow.types
_TARGETS = {WHOLE: pyarrow.int64(), TRUTH: pyarrow.bool_(), TEXT: pyarrow.string()}


def read(request: ArrowRequest, body: bytes) -> tuple[ArrowReply, list[bytes]]:
    """Raises ModelFailed, or pyarrow's own errors for bytes that are not a table."""
    assert request.wanted is not None
    layout = RowParser(len(request.wanted), request.names, free=True)
    parts: list[list[Any]] = [[] for _ in request.wanted]
    rows = 0
    most = request.most_cells // max(1, layout.count)
    for batch in _batches(request.kind, body, layout, most):
        if not rows:
            for column, (field, wanted) in enumerate(zip(batch.schema, request.wanted, strict=True)):
                _check_type(field.type, wanted, layout.place(0, column))
        rows += batch.num_rows
        if rows > most:
            raise _too_many(rows, most)
        for column, wanted in enumerate(request.wanted):
            place = lambda row, column=column, before=rows - batch.num_rows: layout.place(before + row, column)  # noqa: E731
            parts[column].append(_values(batch.column(column), wanted, place))
    if not rows:
        raise layout.empty()
    return _pack(parts, rows)


def _batches(kind: str, body: bytes, layout: RowParser, most: int) -> Iterator[pyarrow.RecordBatch]:
    """Iterate over batches of the model's columns, in its order."""
    source = pyarrow.BufferReader(body)
    if kind in (STREAM, FILE):
        options = pyarrow.ipc.IpcReadOptions(use_threads=False)
        opened = pyarrow.ipc.open_file if kind == FILE else pyarrow.ipc.open_stream
        reader = opened(source, options=options)
        places = _places(reader.schema.names, layout)
        for batch in _each(reader):
            if batch.num_rows > most:  # a column of nulls takes no bytes, whatever its length
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


def _places(given: Sequence[str], layout: RowParser) -> list[int]:
    """Positions of the model's columns, without pandas' index column, which is no feature."""
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
    """Raises ModelFailed for a type that the column does not accept, such as a nested one."""
    plain = kind.value_type if _types.is_dictionary(kind) else kind
    number, truth = _is_number(plain), _types.is_boolean(plain)
    text = _types.is_string(plain) or _types.is_large_string(plain) or _types.is_string_view(plain)
    fits = {
        FLOAT: number or truth,
        DOUBLE: number or truth,
        EXACT: number or truth,
        WHOLE: _types.is_integer(plain),
        TRUTH: truth,
        TEXT: text,
        CODED: number or text,
        ANY: True,
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


def _is_number(kind: Any) -> bool:
    return bool(_types.is_integer(kind) or _types.is_floating(kind) or _types.is_decimal(kind))


def _values(array: pyarrow.Array, wanted: str, place: Any) -> Any:
    if _types.is_dictionary(array.type):
        array = array.dictionary_decode()
    text = _types.is_string(array.type) or _types.is_large_string(array.type) or _types.is_string_view(array.type)
    if wanted == TEXT or (wanted in (CODED, ANY) and text):
        return array.to_pylist()
    if wanted == ANY and not _is_number(array.type):
        return [None] * len(array)
    if wanted == EXACT and _types.is_integer(array.type):
        wanted = WHOLE
    if wanted in (WHOLE, TRUTH):
        return _mask(array, wanted, place)
    return _floats(array, np.float32 if wanted == FLOAT else np.float64)


def _floats(array: pyarrow.Array, dtype: Any) -> Any:
    """Convert to the nearest float, and nulls to NaN."""
    if _types.is_null(array.type):
        return np.full(len(array), np.nan, dtype)
    if _types.is_decimal(array.type):
        array = array.cast(pyarrow.float64())
    if _types.is_boolean(array.type):
        array = array.cast(pyarrow.uint8())
    filled = array.fill_null(0) if array.null_count else array
    with np.errstate(over="ignore"):
        values = filled.to_numpy(zero_copy_only=False).astype(dtype)
    if array.null_count:
        values[array.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return values


def _mask(array: pyarrow.Array, wanted: str, place: Any) -> Any:
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


def _pack(parts: list[list[Any]], rows: int) -> tuple[ArrowReply, list[bytes]]:
    reply = ArrowReply(rows=rows)
    data: list[bytes] = []
    for pieces in parts:
        if isinstance(pieces[0], list):
            reply.types.append("text")
            reply.texts.append([text for piece in pieces for text in piece])
            continue
        joined: Any = np.ma.concatenate if isinstance(pieces[0], np.ma.MaskedArray) else np.concatenate
        values = joined(pieces)
        reply.types.append(values.dtype.str)
        data.append(np.ma.getdata(values).tobytes())
        if isinstance(values, np.ma.MaskedArray):
            data.append(np.ma.getmaskarray(values).tobytes())
    return reply, data


def _too_many(rows: int, most: int) -> ModelFailed:
    return ModelFailed(400, f"The table has {rows} rows or more; at most {most} of this many columns are read.")


def write(request: ArrowRequest, body: bytes) -> bytes:
    assert request.shape is not None
    values = np.frombuffer(body, np.dtype(request.dtype)).reshape(request.shape)
    names = ["prediction"]
    if values.ndim == 2:
        names = [f"prediction_{number}" for number in range(values.shape[1])]
    arrays = [values] if values.ndim == 1 else [np.ascontiguousarray(column) for column in values.T]
    table = pyarrow.table(dict(zip(names, map(pyarrow.array, arrays), strict=True)))
    sink = pyarrow.BufferOutputStream()
    if request.kind in (STREAM, FILE):
        opened = pyarrow.ipc.new_file if request.kind == FILE else pyarrow.ipc.new_stream
        with opened(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        pyarrow.parquet.write_table(table, sink)
    return bytes(sink.getvalue())


def answer(request: ArrowRequest, body: bytes) -> tuple[ArrowReply, list[bytes]]:
    form = "parquet" if "parquet" in request.kind else "Arrow"
    try:
        if request.wanted is None:
            return ArrowReply(), [write(request, body)]
        return read(request, body)
    except ModelFailed as refused:
        return ArrowReply(refused.status, refused.message), []
    except MemoryError:
        return ArrowReply(400, f"The {form} table takes more memory than a request may."), []
    except Exception as error:  # invalid bytes raise many types of errors
        reason = " ".join(str(error).split())[:200]
        return ArrowReply(400, f"The body is not a whole {form} table: {reason}."), []


class _PandasBlocker(MetaPathFinder):
    """pyarrow would import it with the first array, for types that are not read here: 0.2 s, and 50 MB."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out", name=name)


def main(memory: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.meta_path.insert(0, _PandasBlocker())
    pyarrow.set_cpu_count(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(memory)
    while line := sys.stdin.buffer.readline():
        request = msgspec.json.decode(line, type=prepare_type(ArrowRequest))
        reply, data = answer(request, sys.stdin.buffer.read(request.size))
        reply.size = sum(map(len, data))
        sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
        sys.stdout.buffer.writelines(data)
        sys.stdout.buffer.flush()


def _limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(int(sys.argv[1]))
