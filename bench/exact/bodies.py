"""The same rows in every form that a request may have, and an answer's numbers out of every form that it may have."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from bench.exact.schemas import LISTED, TEXT, TRUTH, Field
from tidegate.serving.formats import arrow_io
from tidegate.serving.formats.content_types import CSV, JSON, JSON_LINES, NPY

Body = tuple[str, bytes]
"""Content type and bytes."""
BOM = b"\xef\xbb\xbf"


def cells(table: pd.DataFrame, columns: Sequence[Field], truths: bool) -> list[list[Any]]:
    """Rows as JSON has them. ``truths``: true and false for truth values, else 1 and 0."""
    found: list[list[Any]] = []
    for field in columns:
        values = table[field.name].astype(object).tolist()
        if field.kind == TRUTH and not truths:
            values = [int(value) for value in values]
        found.append([None if value is None or value != value else value for value in values])
    return [list(row) for row in zip(*found, strict=True)]


def text(
    rows: Sequence[Sequence[Any]], header: Sequence[str] | None, end: str = "\n", quote: int = csv.QUOTE_MINIMAL
) -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator=end, quoting=quote)  # type: ignore[arg-type]
    if header is not None:
        writer.writerow(header)
    for row in rows:
        writer.writerow(
            ["" if cell is None else str(cell).lower() if cell is True or cell is False else cell for cell in row]
        )
    return sink.getvalue().encode()


def by_lines(rows: Sequence[Sequence[Any]], names: Sequence[str] | None) -> dict[str, Body]:
    """Forms whose every line is a row: what a transform job may have as well."""
    found = {
        "csv": (CSV, text(rows, None)),
        "csv, \\r\\n": (CSV, text(rows, None, end="\r\n")),
        "csv, all in quotes": (CSV, text(rows, None, quote=csv.QUOTE_ALL)),
        "csv, with a BOM": (CSV, BOM + text(rows, None)),
        "csv, header=absent": ("text/csv; header=absent", text(rows, None)),
        "json lines": (JSON_LINES, _lines(rows)),
    }
    if names is not None:
        found["json lines, objects"] = (JSON_LINES, _lines([dict(zip(names, row, strict=True)) for row in rows]))
    return found


def _lines(values: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


def documents(rows: Sequence[Sequence[Any]], names: Sequence[str] | None) -> dict[str, Body]:
    """Forms of JSON, and CSV with a header."""

    def of(value: Any, indent: int | None = None) -> Body:
        return JSON, json.dumps(value, ensure_ascii=False, indent=indent).encode()

    found = {
        "json, instances": of({"instances": rows}),
        "json, inputs": of({"inputs": rows}),
        "json, a list": of(rows),
        "json, indented, with a BOM": (JSON, BOM + of({"instances": rows}, 1)[1]),
        "json, split": of({"dataframe_split": {"data": rows, "index": list(range(len(rows)))}}),
    }
    if names is None:
        return found
    order = list(range(len(names)))[::-1]
    turned = [[row[at] for at in order] for row in rows]
    back = [names[at] for at in order]
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    return {
        **found,
        "json, objects": of({"instances": objects}),
        "json, records": of({"dataframe_records": [dict(zip(back, row, strict=True)) for row in turned]}),
        "json, split by name": of({"dataframe_split": {"columns": back, "data": turned}}),
        "csv, header": (CSV, text(rows, names)),
        "csv, another order": (CSV, text(turned, back)),
        "csv, another order, header=present": ("text/csv; header=present", text(turned, back)),
    }


def arrays(table: pd.DataFrame, columns: Sequence[Field]) -> dict[str, Body]:
    """NPY, where all is numbers that one type of numpy holds."""
    if any(field.kind == TEXT for field in columns):
        return {}
    exact = all(field.kind != LISTED or max(map(abs, field.categories)) <= 2**53 for field in columns)
    if not exact:
        return {}
    values = np.column_stack([table[field.name].astype(np.float64) for field in columns])
    return {
        "npy": (NPY, _npy(values)),
        "npy, by columns": (NPY, _npy(np.asfortranarray(values))),
        "npy, big-endian": (NPY, _npy(values.astype(">f8"))),
    }


def _npy(values: Any) -> bytes:
    sink = io.BytesIO()
    np.save(sink, values)
    return sink.getvalue()


def tables(table: pd.DataFrame, named: bool) -> dict[str, Body]:
    whole = pa.Table.from_pandas(table, preserve_index=False)
    turned = whole.select(whole.column_names[::-1]) if named else whole
    parquet = pa.BufferOutputStream()
    pyarrow.parquet.write_table(turned, parquet)
    found = {"parquet": (arrow_io.PARQUET, bytes(parquet.getvalue()))}
    for name, kind, opened in (
        ("arrow stream", arrow_io.STREAM, pa.ipc.new_stream),
        ("arrow file", arrow_io.FILE, pa.ipc.new_file),
    ):
        sink = pa.BufferOutputStream()
        with opened(sink, whole.schema) as writer:
            writer.write_table(whole)
        found[name] = (kind, bytes(sink.getvalue()))
    return found


# --- answers ---


def answers(body: bytes, content_type: str) -> Any:
    """One answer a row, as an array of numbers or of text."""
    if content_type == NPY:
        return np.load(io.BytesIO(body))
    if content_type == JSON:
        return numbers(json.loads(body)["predictions"])
    if content_type == JSON_LINES:
        return numbers([json.loads(line)["prediction"] for line in body.decode().split("\n")[:-1]])
    if content_type == CSV:
        lines = list(csv.reader(io.StringIO(body.decode())))
        return numbers([[_cell(cell) for cell in line] if len(line) > 1 else _cell(line[0]) for line in lines])
    return _of_table(body, content_type)


def _of_table(body: bytes, content_type: str) -> Any:
    if "parquet" in content_type:
        table = pyarrow.parquet.read_table(io.BytesIO(body))
    else:
        opened = pa.ipc.open_file if content_type == arrow_io.FILE else pa.ipc.open_stream
        table = opened(body).read_all()
    values = [column.to_pylist() for column in table.columns]
    return numbers(values[0] if len(values) == 1 else list(zip(*values, strict=True)))


def _cell(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


def numbers(values: Any) -> Any:
    """Infinity in words, and null for NaN, are numbers again."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array(values)
