"""Rows whose columns are of different types: ONNX models with an input for each column, pipelines that take a table.

Columns are matched by name, or by the model's order if a request has no names. Text and booleans keep their type,
integers are exact, and each column defines whether values may be missing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats import arrow_io
from tidegate.serving.formats.column_values import EXACT, ROUNDED, parse_number, show, to_float
from tidegate.serving.formats.content_types import (
    CSV,
    JSON,
    JSON_LINES,
    NPY,
    check_charset,
    explain_csv,
    heading_of,
    kind_of,
    strip_bom,
    unknown,
)
from tidegate.serving.formats.json_rows import Heading, RowParser
from tidegate.serving.formats.row_decoder import read_table
from tidegate.transform.csv_lines import BadField, split_lines, text_fields, without_bom

Columns = dict[str, NDArray[Any]]
"""Name -> values, one per row."""


@dataclass(frozen=True)
class TypedInput:
    name: str
    dtype: np.dtype[Any]
    """float32, float64, int64, int32, bool, or object for text."""
    absent: object = ...
    """Replacement of a missing text; by default none may be missing."""
    texts: frozenset[str] | None = None
    """The texts that the model knows; None: any."""
    exact: bool = False
    """Whether its whole numbers must not be rounded to floats."""
    truths: bool = False
    """Whether a column of numbers takes truth values as 1 and 0."""
    unused: bool = False
    """Whether the model does not look at it, so that any value will do."""

    @property
    def wanted(self) -> str:
        """The type that a table's column is read as (``arrow_io``)."""
        if self.unused:
            return arrow_io.ANY
        if self.dtype == np.float64:
            return arrow_io.DOUBLE
        return {"f": arrow_io.FLOAT, "i": arrow_io.WHOLE, "b": arrow_io.TRUTH, "O": arrow_io.TEXT}[self.dtype.kind]

    def field(self, text: str) -> Any:
        """A CSV field as the JSON value: a number if the column has numbers and the field is one, None for a missing
        value. Other fields stay text, which the check then reports."""
        if self.dtype.kind == "O":
            return self._text(text)
        bare = text.strip()
        if not bare:
            return None
        if (self.dtype.kind == "b" or self.truths) and bare.lower() in ("true", "false"):
            return bare.lower() == "true"
        try:
            return parse_number(bare)
        except ValueError:
            return text

    def _text(self, text: str) -> str | None:
        """The text; a missing value only if the model has a list of texts without an empty one and NaN."""
        if self.texts is None or text in self.texts or self.absent is ...:
            return text
        bare = text.strip()
        if not bare:
            return None
        nan = bare.lower() == "nan" and not any(known.strip().lower() == "nan" for known in self.texts)
        return None if nan else text

    def cell(self, cell: Any) -> Any:
        """Convert a JSON value to the model's type. Raises ValueError with the reason."""
        kind, number = self.dtype.kind, type(cell) in (int, float)
        if self.unused:
            return cell
        if self.truths and type(cell) is bool:
            return float(cell)
        if (kind == "i" or self.exact) and type(cell) is float and math.isfinite(cell) and abs(cell) >= EXACT:
            raise ValueError(ROUNDED.format(show(cell)))
        if kind == "f" and self.exact and type(cell) is int and to_float(cell) != cell:
            raise ValueError(f"{cell} is beyond what {self.dtype.name} holds exactly")
        if kind == "f" and (number or cell is None):
            return math.nan if cell is None else to_float(cell)
        if kind == "O" and (type(cell) is str or (cell is None and self.absent is not ...)):
            return self.absent if cell is None else cell
        if kind == "b" and (type(cell) is bool or (number and cell in (0, 1))):
            return bool(cell)
        if kind == "i" and number and (type(cell) is int or math.isfinite(cell)) and cell == int(cell):
            limits = np.iinfo(self.dtype)
            if limits.min <= cell <= limits.max:
                return int(cell)
            raise ValueError(f"{cell} is beyond {self.dtype.name}")
        text = "text" if self.absent is ... else "text or null"
        expected = {"f": "a number or null", "O": text, "b": "true or false", "i": "a whole number"}[kind]
        raise ValueError(f"expected {expected}, got {'null' if cell is None else repr(cell)[:40]}")


class TypedRows:
    """The columns of a model, each with its own type."""

    def __init__(self, inputs: Sequence[TypedInput], named: bool = True) -> None:
        """``named``: requests may name columns; otherwise the names are internal."""
        self.inputs = tuple(inputs)
        self.names = [one.name for one in inputs]
        self.named = named
        self._layout = RowParser(len(inputs), self.names if named else None, free=True)

    def read(self, body: bytes, content_type: str, begins: bool = True) -> Columns:
        """Parse a request. Raises ModelFailed (400, or 415 for an unknown content type). ``begins``: whether the body
        is read from its beginning, where a header and a byte order mark may be."""
        if not content_type and begins and _is_json(body):
            raise ModelFailed(
                400,
                "The request has no Content-Type, which means text/csv, and its body is JSON: say 'application/json',"
                " or 'text/csv'.",
            )
        try:
            return self._read(body, content_type, begins)
        except ModelFailed as failed:
            raise explain_csv(failed, body, content_type) from None

    def _read(self, body: bytes, content_type: str, begins: bool) -> Columns:
        kind = kind_of(content_type)
        check_charset(content_type, body)
        if kind == CSV:
            if not begins:
                return self._csv(body, Heading.ABSENT)
            return self._csv(self.strip_bom(body), heading_of(content_type))
        if kind == JSON:
            return self._columns(self._layout.json(without_bom(body)))
        if kind == JSON_LINES:
            return self._columns(self._layout.json_lines(without_bom(body) if begins else body))
        if kind == NPY:
            return self._npy(body)
        if kind in arrow_io.KINDS:
            return self._frame(body, kind)
        raise unknown(kind)

    def strip_bom(self, body: bytes) -> bytes:
        """Remove the byte order mark of a CSV. Raises ModelFailed if a known text may begin with it."""
        return strip_bom(body, self.inputs[0].texts or ())

    def place(self, row: int, column: int) -> str:
        """The name of a cell in errors, by its indices."""
        return self._layout.place(row, column)

    def header(self, line: bytes, content_type: str = "") -> bool:
        """Whether the first line of a CSV is a header. Raises ModelFailed for a wrong one."""
        heading = heading_of(content_type)
        return heading is not Heading.ABSENT and self._header(line, heading) is not None

    # --- text/csv ---

    def _csv(self, body: bytes, heading: Heading) -> Columns:
        lines = split_lines(body)
        if not lines:
            raise self._layout.empty()
        order = None
        if heading is not Heading.ABSENT and (order := self._header(lines[0], heading)) is not None:
            lines = lines[1:]
            if not lines:
                raise self._layout.empty()
        rows = [self._fields(number, line) for number, line in enumerate(lines)]
        if order is not None:
            rows = [[row[place] for place in order] for row in rows]
        return self._columns(
            [[one.field(text) for one, text in zip(self.inputs, row, strict=True)] for row in rows]
        )

    def _header(self, line: bytes, heading: Heading) -> list[int] | None:
        try:
            fields = text_fields(line)
        except BadField:
            return None
        # A column of text accepts names as well; if all columns do, a name that is no known text is never a value.
        free = all(one.dtype.kind == "O" for one in self.inputs) and not self._layout.numbered
        fits = not (free and any(self._is_name(at, text) for at, text in enumerate(fields)))
        try:
            for one, text in zip(self.inputs, fields, strict=True):
                one.cell(one.field(text))
        except ValueError:
            fits = False
        order = self._layout.header(fields, heading, fits)
        if order is None and free and heading is Heading.UNSAID and self._layout.names is not None:
            self._layout.check_likeness(fields, [one.texts for one in self.inputs])
        return order

    def _is_name(self, at: int, text: str) -> bool:
        texts = self.inputs[at].texts if at < len(self.inputs) else None
        return text.strip() in self.names and (texts is None or text not in texts)

    def _fields(self, number: int, line: bytes) -> list[str]:
        try:
            fields = text_fields(line)
        except BadField as bad:
            raise self._refuse(number, bad.column, str(bad)) from None
        if len(fields) != len(self.inputs):
            raise self._layout.width(number, len(fields) if line.strip() else 0)
        return fields

    # --- other content types ---

    def _columns(self, rows: list[list[Any]]) -> Columns:
        found = {}
        for column, one in enumerate(self.inputs):
            values = np.empty(len(rows), one.dtype)
            with np.errstate(over="ignore"):
                for row, cells in enumerate(rows):
                    values[row] = self._cell(row, column, cells[column])
            found[one.name] = self._check(column, values)
        return found

    def _cell(self, row: int, column: int, cell: Any) -> Any:
        try:
            return self.inputs[column].cell(cell)
        except ValueError as wrong:
            raise self._refuse(row, column, str(wrong)) from None

    def _npy(self, body: bytes) -> Columns:
        table = read_table(body, len(self.inputs), self._layout)
        table = table.astype(np.uint8) if table.dtype.kind == "b" else table
        rows = [[None if cell != cell else cell for cell in row] for row in table.tolist()]
        return self._columns(rows)

    def _frame(self, body: bytes, kind: str) -> Columns:
        frame = arrow_io.read(body, kind, [one.wanted for one in self.inputs], self._layout.names)
        found = {}
        for column, (one, values) in enumerate(zip(self.inputs, frame.columns, strict=True)):
            if isinstance(values, list):
                values = [self._cell(row, column, cell) for row, cell in enumerate(values)]
            elif isinstance(values, np.ma.MaskedArray):
                for row in np.flatnonzero(np.ma.getmaskarray(values))[:1]:
                    raise self._refuse(int(row), column, "a missing value, which the model does not take")
                values = self._fitting(one, column, np.ma.getdata(values))
            cells = np.empty(frame.rows, one.dtype)
            cells[:] = values
            for row in np.flatnonzero(np.abs(cells) >= EXACT)[:1] if one.exact and one.dtype.kind == "f" else ():
                raise self._refuse(int(row), column, ROUNDED.format(show(float(cells[row]))))
            found[one.name] = self._check(column, cells)
        return found

    def _fitting(self, one: TypedInput, column: int, values: NDArray[Any]) -> NDArray[Any]:
        narrow = values.astype(one.dtype)
        for row in np.flatnonzero(narrow != values)[:1]:
            raise self._refuse(int(row), column, f"{values[row]} is beyond {one.dtype.name}")
        return narrow

    def _check(self, column: int, values: NDArray[Any]) -> NDArray[Any]:
        if values.dtype.kind == "f":
            for row in np.flatnonzero(np.isinf(values))[:1]:
                kind = values.dtype.name
                raise self._refuse(int(row), column, f"the value is infinite or beyond {kind}")
        return values

    def _refuse(self, row: int, column: int, why: str) -> ModelFailed:
        return ModelFailed(400, f"{self._layout.place(row, column)}: {why}.")


def _is_json(body: bytes) -> bool:
    """Whether it is a list or an object of JSON, which a CSV of texts may be as well."""
    if body.lstrip()[:1] not in (b"[", b"{"):
        return False
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
