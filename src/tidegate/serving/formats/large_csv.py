"""Parses CSV of many rows fast: integers by ``integer_csv``, other numbers by pyarrow if it is installed, else as one
JSON list.

Only complete rows of numbers of the same width are parsed here, with empty cells as missing values. Everything
else is left to ``row_decoder``, which can report errors. As there, numbers become doubles and then the requested
type.
"""

from importlib.util import find_spec
from typing import Any

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from tidegate.serving.formats import integer_csv

SMALLEST = 16 * 1024
"""Bytes from which on this is faster."""
ARROW = 64 * 1024
"""Bytes from which on pyarrow is faster; it releases the GIL."""
_decode = msgspec.json.Decoder(list[float]).decode
_CELLS = b"0123456789.+-eE \t"
_HAS_ARROW = find_spec("pyarrow") is not None


def rows(body: bytes, count: int, dtype: DTypeLike = np.float32) -> NDArray[np.floating[Any]] | None:
    """Parse rows of ``count`` columns; None if the general parser is needed."""
    if len(body) < SMALLEST or count < 2:
        return None
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
    if (whole := integer_csv.rows(body, count, dtype)) is not None:
        return whole
    if b"\r" in body or b"\n\n" in body or body.startswith(b"\n"):
        return None
    lines = body.count(b"\n") + (not body.endswith(b"\n"))
    if len(body) >= ARROW and _HAS_ARROW:
        return _parse_by_arrow(body, count, lines, dtype)
    seams = body.translate(None, _CELLS)
    if seams.rstrip(b"\n") != (b"," * (count - 1) + b"\n") * (lines - 1) + b"," * (count - 1):
        return None  # other widths, other characters
    try:
        values = _decode(b"[%b]" % body.rstrip(b"\n").replace(b"\n", b","))
    except msgspec.DecodeError:
        return None
    return np.fromiter(values, dtype, len(values)).reshape(lines, count) if lines else None


def _parse_by_arrow(body: bytes, count: int, lines: int, dtype: DTypeLike) -> NDArray[np.floating[Any]] | None:
    import pyarrow as arrow  # noqa: PLC0415  # slow to import, and only large bodies need it
    from pyarrow import csv  # noqa: PLC0415

    names = [str(number) for number in range(count)]
    reading = csv.ReadOptions(column_names=names, use_threads=False, block_size=len(body) + 1)
    parsing = csv.ParseOptions(quote_char=False, ignore_empty_lines=False)
    numbers = csv.ConvertOptions(
        column_types=dict.fromkeys(names, arrow.float64()), null_values=[""], strings_can_be_null=False
    )
    try:
        table = csv.read_csv(arrow.BufferReader(body), reading, parsing, numbers)
    except arrow.ArrowInvalid:
        return None
    if table.num_rows != lines:
        return None
    found = np.empty((lines, count), dtype)
    with np.errstate(over="ignore"):
        for number, column in enumerate(table.columns):
            found[:, number] = column.to_numpy()
    return found
