"""Rows of numbers in and predictions out, in the forms of SageMaker's own containers and in parquet and Arrow.

In: text/csv, application/json, application/jsonlines, application/x-npy, parquet, Arrow IPC (``frames``); out: the
same (``forms``). Every value is checked here, before rows of several requests meet in one call: a message names the
row and the column (both from 1). Every number becomes the nearest float32, whatever form it came in: whole numbers
are exact up to 2^24, 16,777,216.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.worker.invocation import ModelFailed
from tidegate.worker.runtimes import columns, frames, large_csv, npy
from tidegate.worker.runtimes.columns import Column, Kind
from tidegate.worker.runtimes.forms import CSV, JSON, JSON_LINES, NPY, TYPES, choose, kind_of, unknown, write
from tidegate.worker.runtimes.layout import Layout, fields

__all__ = ["CSV", "JSON", "NPY", "TYPES", "Column", "Features", "Kind", "Matrix", "choose", "kind_of", "write"]

Matrix = NDArray[np.float32]


class Features:
    """The columns that a model takes. ``names`` may be unknown; ``kinds``: what each takes, numbers by default."""

    def __init__(
        self, count: int, names: Sequence[str] | None = None, kinds: Sequence[Column] | None = None
    ) -> None:
        self.count = count
        self.names = tuple(names) if names else None
        self.kinds = tuple(kinds) if kinds and any(kind.kind is not Kind.NUMBER for kind in kinds) else None
        self._texts = self.kinds is not None and any(kind.text for kind in self.kinds)
        self._layout = Layout(count, self.names, free=self._texts)

    def read(self, body: bytes, content_type: str, header: bool = True) -> Matrix:
        """The rows of a request; raises ModelFailed (400, or 415 for a form that is not known). ``header``: whether
        the first line of a CSV may be one.

        A request without a content type is CSV, as in SageMaker's XGBoost container."""
        kind = kind_of(content_type)
        if kind == CSV:
            return self._csv(body, header)
        if kind == JSON:
            return self._json(body)
        if kind == NPY:
            return self._npy(body)
        if kind == JSON_LINES:
            return self._json(b'{"instances":[%b]}' % b",".join(body.splitlines()))
        if kind in frames.KINDS:
            return self._frame(body, kind)
        raise unknown(kind)

    def place(self, row: int, column: int) -> str:
        """How an error names a cell, by its indices."""
        return self._layout.place(row, column)

    # --- text/csv ---

    def _csv(self, body: bytes, header: bool) -> Matrix:
        found = large_csv.rows(body, self.count) if not self._texts else None
        if found is not None:
            return self._checked(found)
        lines = body.splitlines()
        if not lines:
            raise self._layout.empty()
        rows = np.empty((len(lines), self.count), dtype=np.float32)
        plain = b"_" not in body  # Python reads 1_000 as a number, CSV does not
        with np.errstate(over="ignore"):
            for number, line in enumerate(lines):
                cells = line.split(b",")
                try:
                    if len(cells) != self.count:
                        raise self._layout.width(number, len(cells) if line.strip() else 0)
                    rows[number] = [float(cell if plain else cell.replace(b"_", b"?")) for cell in cells]
                except (ValueError, ModelFailed) as error:
                    if number == 0 and header and self._layout.is_header(fields(line)):
                        return self._under(fields(line), lines[1:])
                    if isinstance(error, ModelFailed):
                        raise
                    rows[number] = [self._field(number, column, cell) for column, cell in enumerate(cells)]
        return self._checked(rows)

    def _under(self, header: Sequence[str], lines: Sequence[bytes]) -> Matrix:
        """The rows under a line that names their columns, in the model's order."""
        order = self._layout.order(header, "The header line")
        assert order is not None
        if not lines:
            raise self._layout.empty()
        kinds = [self.kinds[self.names.index(name)] for name in header] if self.kinds and self.names else None
        found = Features(self.count, header, kinds)._csv(b"\n".join([*lines, b""]), header=False)
        return np.ascontiguousarray(found[:, order])

    def _field(self, row: int, column: int, field: bytes) -> float:
        """One CSV field; an empty one is a missing value."""
        text = field.strip()
        if not text:
            return math.nan
        try:
            return float(text.replace(b"_", b"?"))
        except ValueError:
            if self.kinds is not None and self.kinds[column].text:
                return self._code(row, column, fields(text)[0])
            shown = text[:40].decode("utf-8", "replace")
            raise ModelFailed(400, f"{self.place(row, column)}: {shown!r} is not a number.") from None

    def _code(self, row: int, column: int, text: str) -> float:
        assert self.kinds is not None
        try:
            return columns.code(self.kinds[column], row, text)
        except columns.Refused as refused:
            raise ModelFailed(400, f"{self.place(row, column)}: {refused.message}") from None

    # --- application/json ---

    def _json(self, body: bytes) -> Matrix:
        rows = self._layout.json(body)
        if self._texts and self.kinds is not None:
            rows = columns.encode(self.kinds, rows, self._layout)
        with np.errstate(over="ignore"):
            return self._checked(np.array(rows, dtype=np.float32))

    # --- application/x-npy ---

    def _npy(self, body: bytes) -> Matrix:
        """Read by hand: nothing is allocated that the body does not hold, nothing is unpickled."""
        try:
            shape, by_column, dtype, data = npy.split(body)
        except Exception as error:  # numpy parses the header as Python and says so in many ways
            raise ModelFailed(400, f"The body is not an npy array: {' '.join(str(error).split())}.") from None
        if dtype.kind not in "fiub":
            raise ModelFailed(400, f"The npy array has values of type {dtype}; send numbers.")
        if any(side < 0 for side in shape):
            raise ModelFailed(400, f"The npy array has the shape {shape}; expected rows and columns.")
        count = math.prod(shape)
        if len(data) != count * dtype.itemsize:
            raise ModelFailed(400, f"The npy array should have {count * dtype.itemsize} bytes, found {len(data)}.")
        rows = np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")
        if rows.ndim == 1:
            rows = rows.reshape((-1, 1) if self.count == 1 else (1, -1))
        if rows.ndim != 2 or not rows.shape[0]:
            raise ModelFailed(400, f"The npy array has the shape {shape}; expected rows and columns.")
        if rows.shape[1] != self.count:
            raise self._layout.width(0, rows.shape[1])
        with np.errstate(over="ignore"):
            return self._checked(np.ascontiguousarray(rows, dtype=np.float32))

    # --- parquet and Arrow ---

    def _frame(self, body: bytes, kind: str) -> Matrix:
        wanted = [
            frames.CODED if self.kinds is not None and self.kinds[number].text else frames.FLOAT
            for number in range(self.count)
        ]
        found = frames.read(body, kind, wanted, self.names)
        rows = np.empty((found.rows, self.count), np.float32)
        for number, values in enumerate(found.columns):
            if isinstance(values, list):
                rows[:, number] = [
                    math.nan if text is None else self._code(row, number, text) for row, text in enumerate(values)
                ]
            else:
                rows[:, number] = values
        return self._checked(rows)

    # --- what they share ---

    def _checked(self, rows: Matrix) -> Matrix:
        """Missing values are NaN; infinity, also of a number beyond float32, is an error."""
        infinite = np.isinf(rows)
        if infinite.any():
            row, column = np.argwhere(infinite)[0]
            raise ModelFailed(400, f"{self.place(row, column)}: the value is infinite or beyond float32.")
        for number, kind in enumerate(self.kinds or ()):
            if kind.kind is not Kind.NUMBER:
                try:
                    rows[:, number] = columns.checked(kind, rows[:, number])
                except columns.Refused as refused:
                    raise ModelFailed(400, f"{self.place(refused.row, number)}: {refused.message}") from None
        return rows


def missing(rows: Any) -> tuple[int, int] | None:
    """Row and column of the first missing value, from 0."""
    at = np.argwhere(np.isnan(rows))
    return (int(at[0][0]), int(at[0][1])) if len(at) else None
