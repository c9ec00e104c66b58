"""Rows whose columns are of different types, each an input of its own: ONNX models as their converters make them.

Columns are matched by name, or in the model's order where a request gives no names. Text and truth values come as
such; whole numbers are exact; only numbers with a fraction may be missing.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.worker.invocation import ModelFailed
from tidegate.worker.runtimes import frames
from tidegate.worker.runtimes.codecs import Features
from tidegate.worker.runtimes.columns import real
from tidegate.worker.runtimes.forms import CSV, JSON, NPY, kind_of, unknown
from tidegate.worker.runtimes.layout import Layout, fields

Columns = dict[str, NDArray[Any]]
"""Name -> values, as many as there are rows."""


@dataclass(frozen=True)
class Input:
    name: str
    dtype: np.dtype[Any]
    """float32, float64, int64, int32, bool, or object for text."""

    @property
    def wanted(self) -> str:
        """What a table's column is read as."""
        return {"f": frames.FLOAT, "i": frames.WHOLE, "b": frames.TRUTH, "O": frames.TEXT}[self.dtype.kind]


class Typed:
    """The columns that a model takes, each of a type of its own."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = tuple(inputs)
        self.names = [one.name for one in inputs]
        self._layout = Layout(len(inputs), self.names, free=True)

    def read(self, body: bytes, content_type: str) -> Columns:
        """Raises ModelFailed (400, or 415 for a form that is not known)."""
        kind = kind_of(content_type)
        if kind == CSV:
            return self._csv(body)
        if kind == JSON:
            return self._columns(self._layout.json(body))
        if kind == NPY:
            rows = Features(len(self.inputs), self.names).read(body, kind).tolist()
            return self._columns([[None if math.isnan(cell) else cell for cell in row] for row in rows])
        if kind in frames.KINDS:
            return self._frame(body, kind)
        raise unknown(kind)

    def _csv(self, body: bytes) -> Columns:
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise ModelFailed(400, f"The CSV is not UTF-8: byte {error.start}.") from None
        try:
            rows = list(csv.reader(io.StringIO(text), strict=True))
        except csv.Error as error:
            raise ModelFailed(400, f"The CSV cannot be used: {error}.") from None
        order = None
        if rows and self._layout.is_header(fields(",".join(rows[0]).encode())):
            order = self._layout.order(rows.pop(0), "The header line")
        if not rows:
            raise self._layout.empty()
        for number, row in enumerate(rows):
            if len(row) != len(self.inputs):
                raise self._layout.width(number, len(row))
        if order is not None:
            rows = [[row[place] for place in order] for row in rows]
        return self._columns(
            [[self._field(one, cell) for one, cell in zip(self.inputs, row, strict=True)] for row in rows]
        )

    @staticmethod
    def _field(one: Input, text: str) -> Any:
        """A number where the column is of numbers and the field is one; what is none is told of later."""
        if one.dtype.kind == "O":
            return text
        shown = text.strip()
        if not shown:
            return None
        if one.dtype.kind == "b" and shown in ("true", "false"):
            return shown == "true"
        for number in (int, float):
            try:
                return number(shown.replace("_", "?"))
            except ValueError:
                pass
        return text

    def _columns(self, rows: list[list[Any]]) -> Columns:
        found = {}
        for column, one in enumerate(self.inputs):
            cells = [self._cell(one, row, column, cells[column]) for row, cells in enumerate(rows)]
            values = np.empty(len(cells), one.dtype)
            with np.errstate(over="ignore"):
                values[:] = cells
            found[one.name] = self._checked(column, values)
        return found

    def _cell(self, one: Input, row: int, column: int, cell: Any) -> Any:
        kind, number = one.dtype.kind, type(cell) in (int, float)
        if kind == "f" and (number or cell is None):
            return math.nan if cell is None else real(cell)
        if kind == "O" and type(cell) is str:
            return cell
        if kind == "b" and (type(cell) is bool or (number and cell in (0, 1))):
            return bool(cell)
        if kind == "i" and number and (type(cell) is int or math.isfinite(cell)) and cell == int(cell):
            limits = np.iinfo(one.dtype)
            if limits.min <= cell <= limits.max:
                return int(cell)
            raise self._refused(row, column, f"{cell} is beyond {one.dtype.name}")
        expected = {"f": "a number or null", "O": "text", "b": "true or false", "i": "a whole number"}[kind]
        raise self._refused(row, column, f"expected {expected}, got {_shown(cell)}")

    def _frame(self, body: bytes, kind: str) -> Columns:
        frame = frames.read(body, kind, [one.wanted for one in self.inputs], self.names)
        found = {}
        for column, (one, values) in enumerate(zip(self.inputs, frame.columns, strict=True)):
            if isinstance(values, list):
                values = [self._cell(one, row, column, cell) for row, cell in enumerate(values)]
            elif isinstance(values, np.ma.MaskedArray):
                for row in np.flatnonzero(np.ma.getmaskarray(values))[:1]:
                    raise self._refused(int(row), column, "a missing value, which the model does not take")
                values = self._fitting(one, column, np.ma.getdata(values))
            cells = np.empty(frame.rows, one.dtype)
            cells[:] = values
            found[one.name] = self._checked(column, cells)
        return found

    def _fitting(self, one: Input, column: int, values: NDArray[Any]) -> NDArray[Any]:
        narrow = values.astype(one.dtype)
        for row in np.flatnonzero(narrow != values)[:1]:
            raise self._refused(int(row), column, f"{values[row]} is beyond {one.dtype.name}")
        return narrow

    def _checked(self, column: int, values: NDArray[Any]) -> NDArray[Any]:
        if values.dtype.kind == "f":
            for row in np.flatnonzero(np.isinf(values))[:1]:
                kind = values.dtype.name
                raise self._refused(int(row), column, f"the value is infinite or beyond {kind}")
        return values

    def _refused(self, row: int, column: int, why: str) -> ModelFailed:
        return ModelFailed(400, f"{self._layout.place(row, column)}: {why}.")


def _shown(cell: Any) -> str:
    return "null" if cell is None else repr(cell)[:40]
