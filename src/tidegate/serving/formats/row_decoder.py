"""Parses rows of numbers, in the content types of SageMaker's own containers, parquet and Arrow.

These are text/csv, application/json, application/jsonlines, application/x-npy, parquet and Arrow IPC (``arrow_io``);
``content_types`` writes the same. Every value is checked here, before requests are batched: errors name the row and
the column (both from 1). Numbers become the nearest ones of the model's type, float32 or float64, in all content
types; categories and integers are checked before that.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats import arrow_io, large_csv, npy
from tidegate.serving.formats.column_values import ColumnType, Refused, ValueKind, fitting, kinds_of
from tidegate.serving.formats.content_types import (
    CSV,
    JSON,
    JSON_LINES,
    NPY,
    TYPES,
    check_charset,
    choose,
    explain_csv,
    heading_of,
    kind_of,
    strip_bom,
    unknown,
    write,
)
from tidegate.serving.formats.json_rows import Heading, RowParser
from tidegate.transform.csv_lines import (
    LONE_RETURN,
    BadField,
    split_fields,
    split_lines,
    text_fields,
    unquote,
    without_bom,
)

__all__ = [
    "CSV",
    "JSON",
    "NPY",
    "TYPES",
    "ColumnType",
    "Features",
    "Matrix",
    "ValueKind",
    "choose",
    "kind_of",
    "write",
]

Matrix = NDArray[np.floating[Any]]
_TRUTHS = {b"true": 1.0, b"false": 0.0}


class Features:
    """The columns of a model. ``names`` may be unknown; ``kinds``: kind of each, numbers by default; ``dtype``: the
    type that the model computes with."""

    def __init__(
        self,
        count: int,
        names: Sequence[str] | None = None,
        kinds: Sequence[ColumnType] | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.count = count
        self.names = tuple(names) if names else None
        self.kinds = kinds_of(kinds)
        self.dtype = np.dtype(dtype)
        self._listed = self.kinds is not None and any(kind.listed for kind in self.kinds)
        self._groups = {
            kind: np.array([at for at, one in enumerate(self.kinds or ()) if one.kind is kind and not one.listed])
            for kind in {one.kind for one in self.kinds or () if one.kind is not ValueKind.NUMBER}
        }
        """Columns to check, by kind."""
        # Values are checked before they are rounded.
        self._read_as: np.dtype[Any] = self.dtype if self.kinds is None else np.dtype(np.float64)
        self._layout = RowParser(count, self.names, free=self._listed)

    def read(self, body: bytes, content_type: str, begins: bool = True) -> Matrix:
        """Parse the rows of a request. Raises ModelFailed (400, or 415 for an unknown content type). ``begins``:
        whether the body is read from its beginning, where a header and a byte order mark may be.

        A request without a content type is CSV, as in SageMaker's XGBoost container."""
        try:
            return self._read(body, content_type, begins)
        except ModelFailed as failed:
            raise explain_csv(failed, body, content_type) from None

    def _read(self, body: bytes, content_type: str, begins: bool) -> Matrix:
        kind = kind_of(content_type)
        check_charset(content_type, body)
        if kind == CSV:
            if not begins:
                return self._csv(body, Heading.ABSENT)
            return self._csv(self.strip_bom(body), heading_of(content_type))
        if kind == JSON:
            return self._json(without_bom(body), RowParser.json)
        if kind == NPY:
            return self._matrix(read_table(body, self.count, self._layout))
        if kind == JSON_LINES:
            return self._json(without_bom(body) if begins else body, RowParser.json_lines)
        if kind in arrow_io.KINDS:
            return self._frame(body, kind)
        raise unknown(kind)

    def header(self, line: bytes, content_type: str = "") -> bool:
        """Whether the first line of a CSV is a header. Raises ModelFailed for a wrong one."""
        heading = heading_of(content_type)
        return heading is not Heading.ABSENT and self._header(line, heading) is not None

    def strip_bom(self, body: bytes) -> bytes:
        """Remove the byte order mark of a CSV. Raises ModelFailed if a category may begin with it."""
        return strip_bom(body, self.kinds[0].categories if self.kinds else ())

    def of_kind(self, kind: ValueKind) -> list[int]:
        """The columns of a kind."""
        return [at for at, one in enumerate(self.kinds or ()) if one.kind is kind]

    @property
    def listed(self) -> bool:
        """Whether some values are compared with a list of categories."""
        return self._listed

    def take(self, rows: NDArray[np.float64]) -> Matrix:
        """Convert rows of numbers, NaN for missing values, to the model's type. Raises ModelFailed (400)."""
        return self._matrix(rows)

    def place(self, row: int, column: int) -> str:
        """The name of a cell in errors, by its indices."""
        return self._layout.place(row, column)

    # --- text/csv ---

    def _csv(self, body: bytes, heading: Heading) -> Matrix:
        if heading is Heading.PRESENT or (heading is Heading.UNSAID and self._layout.numbered):
            first = body.partition(b"\n")[0]
            if heading is Heading.PRESENT or self._layout.may_be_names(first):
                order = self._header(first, heading)
                if order is not None:
                    return self._read_in_order(order, body)
                heading = Heading.ABSENT
        if self._listed:
            return self._csv_of_cells(body, heading)
        found = large_csv.rows(body, self.count, self._read_as)
        if found is not None:
            return self._matrix(found)
        lines = split_lines(body)
        if not lines:
            raise self._layout.empty()
        rows = np.empty((len(lines), self.count), self._read_as)
        plain = b"_" not in body  # Python reads 1_000 as a number, CSV does not
        with np.errstate(over="ignore"):
            for number, line in enumerate(lines):
                cells = line.split(b",")
                try:
                    if not plain or len(cells) != self.count:
                        raise ValueError
                    rows[number] = list(map(float, cells))
                except ValueError:
                    if (
                        number == 0
                        and (order := self._match_header(line, heading, self._numbers, rows)) is not None
                    ):
                        return self._read_in_order(order, body)
                    if number:
                        rows[number] = self._numbers(number, line)
        return self._matrix(rows)

    def _match_header(
        self, line: bytes, heading: Heading, read: Callable[[int, bytes], list[float]], rows: Matrix
    ) -> list[int] | None:
        """Position of each of the model's columns if the first line is a header; None if it is a row. Raises
        ModelFailed if it is neither."""
        wrong = None
        try:
            rows[0] = read(0, line)
        except ModelFailed as error:
            wrong = error
        order = self._header(line, heading, fits=wrong is None)
        if order is None and wrong is not None:
            raise wrong
        return order

    def _csv_of_cells(self, body: bytes, heading: Heading) -> Matrix:
        """Parse a CSV cell by cell, for columns with categories."""
        lines = split_lines(body)
        if not lines:
            raise self._layout.empty()
        rows = np.empty((len(lines), self.count), self.dtype)
        with np.errstate(over="ignore"):
            if (order := self._match_header(lines[0], heading, self._values, rows)) is not None:
                return self._read_in_order(order, body)
            for number, line in enumerate(lines[1:], 1):
                rows[number] = self._values(number, line)
        return self._finite(rows)

    def _header(self, line: bytes, heading: Heading, fits: bool | None = None) -> list[int] | None:
        """Position of each of the model's columns if the first line is a header. Raises ModelFailed."""
        if heading is Heading.ABSENT:
            return None
        try:
            fields = text_fields(line.removesuffix(b"\r"))
        except BadField:
            return None
        if fits is None:
            fits = self._fits(fields)
        return self._layout.header(fields, heading, fits)

    def _fits(self, fields: Sequence[str]) -> bool:
        """Whether the fields could be a row."""
        kinds = self.kinds or (ColumnType(),) * self.count
        try:
            for kind, text in zip(kinds, fields, strict=True):
                kind.of_text(text)
        except (Refused, ValueError):
            return False
        return True

    def _read_in_order(self, order: Sequence[int], body: bytes) -> Matrix:
        """The rows after a header, in the model's order of columns."""
        rest = body.partition(b"\n")[2]
        if not rest:
            raise self._layout.empty()
        given = list(np.argsort(order))
        names = [self.names[at] for at in given] if self.names else None
        kinds = [self.kinds[at] for at in given] if self.kinds else None
        found = Features(self.count, names, kinds, self.dtype)._csv(rest, Heading.ABSENT)
        return np.ascontiguousarray(found[:, order])

    def _fields(self, number: int, line: bytes) -> list[bytes]:
        try:
            fields = split_fields(line)
        except BadField as bad:
            raise self._bad(number, bad) from None
        if b"\r" in line and b'"' not in line:
            raise ModelFailed(400, f"Row {number + 1}: {LONE_RETURN}.")
        if len(fields) != self.count:
            raise self._layout.width(number, len(fields) if line.strip() else 0)
        return fields

    def _numbers(self, number: int, line: bytes) -> list[float]:
        """Parse a line that has empty fields, for missing values, quotes, or an error."""
        found = []
        for column, field in enumerate(self._fields(number, line)):
            text = unquote(field).strip()
            try:
                found.append(float(text.replace(b"_", b"?")) if text else math.nan)
            except ValueError:
                if self.kinds is not None and self.kinds[column].takes_truths and text.lower() in _TRUTHS:
                    found.append(_TRUTHS[text.lower()])
                    continue
                shown = text[:40].decode("utf-8", "replace")
                raise ModelFailed(400, f"{self.place(number, column)}: {shown!r} is not a number.") from None
        return found

    def _values(self, number: int, line: bytes) -> list[float]:
        assert self.kinds is not None
        self._fields(number, line)
        try:
            fields = text_fields(line)
        except BadField as bad:
            raise self._bad(number, bad) from None
        found = []
        for column, (kind, text) in enumerate(zip(self.kinds, fields, strict=True)):
            try:
                found.append(kind.of_text(text))
            except Refused as refused:
                raise ModelFailed(400, f"{self.place(number, column)}: {refused.message}.") from None
        return found

    def _bad(self, row: int, bad: BadField) -> ModelFailed:
        return ModelFailed(400, f"{self.place(row, bad.column)}: {bad}.")

    # --- application/json, application/jsonlines ---

    def _json(self, body: bytes, read: Callable[[RowParser, bytes], list[list[Any]]]) -> Matrix:
        if self._listed:
            return self._of_cells(read(self._layout, body))
        try:
            rows = read(self._layout, body)
        except ModelFailed:
            if self.kinds is None or not any(kind.takes_truths for kind in self.kinds):
                raise
            return self._of_cells(read(RowParser(self.count, self.names, free=True), body))
        with np.errstate(over="ignore"):
            return self._matrix(np.array(rows, self._read_as))

    def _of_cells(self, rows: list[list[Any]]) -> Matrix:
        """Convert cells that need not be numbers."""
        assert self.kinds is not None
        found = np.empty((len(rows), self.count), self.dtype)
        with np.errstate(over="ignore"):
            for number, cells in enumerate(rows):
                for column, kind in enumerate(self.kinds):
                    try:
                        found[number, column] = kind.of_json(cells[column])
                    except Refused as refused:
                        raise ModelFailed(400, f"{self.place(number, column)}: {refused.message}.") from None
        return self._finite(found)

    # --- parquet and Arrow ---

    def _frame(self, body: bytes, kind: str) -> Matrix:
        found = arrow_io.read(body, kind, [self._expected(number) for number in range(self.count)], self.names)
        rows = np.empty((found.rows, self.count), self.dtype)
        with np.errstate(over="ignore"):
            for number, values in enumerate(found.columns):
                rows[:, number] = self._column(number, values)
        return self._finite(rows)

    def _expected(self, number: int) -> str:
        kind = self.kinds[number] if self.kinds is not None else None
        if kind is not None and kind.listed:
            return arrow_io.CODED if kind.text else arrow_io.EXACT
        return arrow_io.FLOAT if self._read_as == np.float32 else arrow_io.DOUBLE

    def _column(self, number: int, values: Any) -> Any:
        """Convert a table's column to the model's type."""
        if self.kinds is None:
            return values
        kind = self.kinds[number]
        there = np.flatnonzero(~np.ma.getmaskarray(values)) if isinstance(values, np.ma.MaskedArray) else None
        row = 0
        try:
            if isinstance(values, list):
                found = []
                for row, text in enumerate(values):  # noqa: B007
                    found.append(kind.of_json(text))
                return found
            if there is None:
                return kind.of_array(values)
            sparse = np.full(len(values), np.nan)
            sparse[there] = kind.of_array(np.ma.getdata(values)[there])
            return sparse
        except Refused as refused:
            row = refused.row if not isinstance(values, list) else row
            row = row if there is None else int(there[row])
            raise ModelFailed(400, f"{self.place(row, number)}: {refused.message}.") from None

    # --- all content types ---

    def _matrix(self, values: NDArray[Any]) -> Matrix:
        """Convert rows of numbers of any type to the model's type."""
        if self.kinds is None and values.dtype == self.dtype and values.flags.c_contiguous:
            return self._finite(values)
        if not self._listed:
            self._check(values)
            with np.errstate(over="ignore"):
                return self._finite(np.ascontiguousarray(values, self.dtype))
        rows = np.empty(values.shape, self.dtype)
        with np.errstate(over="ignore"):
            for number in range(self.count):
                rows[:, number] = self._column(number, values[:, number])
        return self._finite(rows)

    def _check(self, values: NDArray[Any]) -> None:
        """Check the values of each column. Raises ModelFailed."""
        for kind, columns in self._groups.items():
            good = fitting(kind, values[:, columns])
            if not good.all():
                row, at = np.argwhere(~good)[0]
                self._column(int(columns[at]), values[: row + 1, columns[at]])

    def _finite(self, rows: Matrix) -> Matrix:
        """Reject infinity, also from a number beyond the type. Missing values are NaN."""
        infinite = np.isinf(rows)
        if infinite.any():
            row, column = np.argwhere(infinite)[0]
            raise ModelFailed(
                400, f"{self.place(row, column)}: the value is infinite or beyond {self.dtype.name}."
            )
        return rows


def read_table(body: bytes, count: int, layout: RowParser) -> NDArray[Any]:
    """Parse an npy array of ``count`` columns, without a change of type. Nothing is unpickled, or allocated beyond
    the size of the body. Raises ModelFailed (400)."""
    rows = npy.read(body)
    if rows.ndim == 1:
        rows = rows.reshape((-1, 1) if count == 1 else (1, -1))
    if rows.ndim != 2 or not rows.shape[0]:
        raise ModelFailed(400, f"The npy array has the shape {rows.shape}; expected rows and columns.")
    if rows.shape[1] != count:
        raise layout.width(0, rows.shape[1])
    return rows


def missing(rows: Any) -> tuple[int, int] | None:
    """Row and column of the first missing value, from 0."""
    at = np.argwhere(np.isnan(rows))
    return (int(at[0][0]), int(at[0][1])) if len(at) else None
