"""Rows of numbers in and predictions out, in the three forms of SageMaker's own containers.

In: text/csv, application/json, application/x-npy; out: the same. Every value is checked here, before rows of
several requests meet in one call: a message names the row and the column (both from 1).
"""

import csv
import io
import math
import re
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegate.worker.invocation import Answer, ModelFailed

CSV = "text/csv"
JSON = "application/json"
NPY = "application/x-npy"
TYPES = (JSON, CSV, NPY)

Matrix = NDArray[np.float32]
_Item = float | list[float | None] | dict[str, float | None] | None


class _Split(msgspec.Struct):
    data: list[list[float | None]]
    columns: list[str] | None = None


class _Body(msgspec.Struct):
    instances: list[_Item] | None = None
    inputs: list[_Item] | None = None
    dataframe_split: _Split | None = None


_PATH = re.compile(r"\[(\d+)\]\[(\d+)\]`$")
_LIST = msgspec.json.Decoder(list[_Item])
_OBJECT = msgspec.json.Decoder(_Body)


class Features:
    """The columns that a model takes. ``names`` may be unknown."""

    def __init__(self, count: int, names: Sequence[str] | None = None) -> None:
        self.count = count
        self.names = tuple(names) if names else None

    def read(self, body: bytes, content_type: str) -> Matrix:
        """The rows of a request; raises ModelFailed (400, or 415 for a form that is not known).

        A request without a content type is CSV, as in SageMaker's XGBoost container."""
        kind = kind_of(content_type)
        if kind == CSV:
            return self._csv(body)
        if kind == JSON:
            return self._json(body)
        if kind == NPY:
            return self._npy(body)
        raise ModelFailed(415, f"Content type {kind!r} is not supported; send {', '.join(TYPES)}.")

    # --- text/csv ---

    def _csv(self, body: bytes) -> Matrix:
        lines = body.splitlines()
        if not lines:
            raise ModelFailed(400, "The request has no rows.")
        rows = np.empty((len(lines), self.count), dtype=np.float32)
        plain = b"_" not in body  # Python reads 1_000 as a number, CSV does not
        with np.errstate(over="ignore"):
            for number, line in enumerate(lines):
                fields = line.split(b",")
                if len(fields) != self.count:
                    raise self._width(number, len(fields) if line.strip() else 0)
                try:
                    rows[number] = [float(field if plain else field.replace(b"_", b"?")) for field in fields]
                except ValueError:
                    rows[number] = [self._field(number, column, field) for column, field in enumerate(fields)]
        return self._finite(rows)

    def _field(self, row: int, column: int, field: bytes) -> float:
        """One CSV field; an empty one is a missing value."""
        text = field.strip()
        if not text:
            return math.nan
        try:
            return float(text.replace(b"_", b"?"))
        except ValueError:
            shown = text[:40].decode("utf-8", "replace")
            raise ModelFailed(400, f"{self._place(row, column)}: {shown!r} is not a number.") from None

    # --- application/json ---

    def _json(self, body: bytes) -> Matrix:
        try:
            if body.lstrip()[:1] == b"[":
                return self._items(_LIST.decode(body))
            parsed = _OBJECT.decode(body)
        except msgspec.DecodeError as error:
            raise ModelFailed(400, self._odd(str(error))) from None
        if parsed.dataframe_split is not None:
            return self._split(parsed.dataframe_split)
        items = parsed.instances if parsed.instances is not None else parsed.inputs
        if items is None:
            raise ModelFailed(400, "The JSON has none of 'instances', 'inputs' and 'dataframe_split'.")
        return self._items(items)

    def _odd(self, error: str) -> str:
        """The decoder's words, with the place in ours: its path counts from 0."""
        at = _PATH.search(error)
        if at is None:
            return f"The JSON cannot be used: {error}."
        found = error.partition("got ")[2].partition(" ")[0] or "something else"
        return f"{self._place(int(at[1]), int(at[2]))}: expected a number or null, got {found}."

    def _items(self, items: Sequence[_Item]) -> Matrix:
        if not items:
            raise ModelFailed(400, "The request has no rows.")
        if not isinstance(items[0], list | dict):
            items = [self._flat(items)]
        rows = []
        for number, item in enumerate(items):
            if isinstance(item, dict):
                rows.append(self._named(number, item))
            elif not isinstance(item, list):
                raise ModelFailed(400, f"Row {number + 1} is a single value; expected a list of {self.count}.")
            elif len(item) != self.count:
                raise self._width(number, len(item))
            else:
                rows.append(item)
        return self._matrix(rows)

    def _flat(self, items: Sequence[_Item]) -> list[float | None]:
        """A list of plain values is one row."""
        values: list[float | None] = []
        for column, item in enumerate(items):
            if isinstance(item, list | dict):
                raise ModelFailed(400, f"{self._place(0, column)}: expected a number, as in the columns before.")
            values.append(item)
        return values

    def _named(self, row: int, item: dict[str, float | None]) -> list[float | None]:
        if self.names is None:
            raise ModelFailed(400, f"Row {row + 1} is an object, but the model has no feature names; send lists.")
        missing = [name for name in self.names if name not in item]
        if missing:
            raise ModelFailed(400, f"Row {row + 1} has no {missing[0]!r} (send null for a missing value).")
        if len(item) != self.count:
            unknown = next(name for name in item if name not in self.names)
            raise ModelFailed(400, f"Row {row + 1}: the model has no feature {unknown!r}.")
        return [item[name] for name in self.names]

    def _split(self, split: _Split) -> Matrix:
        if not split.data:
            raise ModelFailed(400, "The request has no rows.")
        if split.columns is None or self.names is None:
            return self._items(split.data)
        if sorted(split.columns) != sorted(self.names):
            odd = sorted(set(split.columns) ^ set(self.names)) or ["a column given twice"]
            raise ModelFailed(400, f"The columns are not the model's features; look at {odd[0]!r}.")
        for number, row in enumerate(split.data):
            if len(row) != self.count:
                raise self._width(number, len(row))
        order = [split.columns.index(name) for name in self.names]
        return self._matrix([[row[column] for column in order] for row in split.data])

    # --- application/x-npy ---

    def _npy(self, body: bytes) -> Matrix:
        """Read by hand: nothing is allocated that the body does not hold, nothing is unpickled."""
        stream = io.BytesIO(body)
        try:
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
            else:
                shape, by_column, dtype = np.lib.format.read_array_header_2_0(stream)
        except Exception as error:  # numpy parses the header as Python and says so in many ways
            raise ModelFailed(400, f"The body is not an npy array: {' '.join(str(error).split())}.") from None
        if dtype.kind not in "fiub":
            raise ModelFailed(400, f"The npy array has values of type {dtype}; send numbers.")
        if any(side < 0 for side in shape):
            raise ModelFailed(400, f"The npy array has the shape {shape}; expected rows and columns.")
        data = body[stream.tell() :]
        count = math.prod(shape)
        if len(data) != count * dtype.itemsize:
            raise ModelFailed(400, f"The npy array should have {count * dtype.itemsize} bytes, found {len(data)}.")
        rows = np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")
        if rows.ndim == 1:
            rows = rows.reshape(1, -1)
        if rows.ndim != 2 or not rows.shape[0]:
            raise ModelFailed(400, f"The npy array has the shape {shape}; expected rows and columns.")
        if rows.shape[1] != self.count:
            raise self._width(0, rows.shape[1])
        with np.errstate(over="ignore"):
            return self._finite(np.ascontiguousarray(rows, dtype=np.float32))

    # --- what they share ---

    def _matrix(self, rows: list[list[float | None]]) -> Matrix:
        with np.errstate(over="ignore"):
            return self._finite(np.array(rows, dtype=np.float32))

    def _finite(self, rows: Matrix) -> Matrix:
        """Missing values are NaN; infinity, also of a number beyond float32, is an error."""
        infinite = np.isinf(rows)
        if infinite.any():
            row, column = np.argwhere(infinite)[0]
            raise ModelFailed(400, f"{self._place(row, column)}: the value is infinite or beyond float32.")
        return rows

    def _place(self, row: int, column: int) -> str:
        name = f" ({self.names[column]})" if self.names and column < len(self.names) else ""
        return f"Row {row + 1}, column {column + 1}{name}"

    def _width(self, row: int, found: int) -> ModelFailed:
        return ModelFailed(400, f"Row {row + 1} has {found} columns; the model takes {self.count}.")


def kind_of(content_type: str) -> str:
    """The form that a body says it has; CSV where it says nothing, as AWS's XGBoost container takes it."""
    return content_type.partition(";")[0].strip().lower() or CSV


def choose(accept: str, default: str) -> str:
    """The form to answer in: the one of ``TYPES`` that an Accept header likes best; ``default`` where it has no
    wish. Raises ModelFailed (406) where none will do."""
    if accept in ("", "*/*"):
        return default
    if accept in TYPES:
        return accept
    best, liking = None, 0.0
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = _quality(parameters)
        fitting = [kind for kind in (default, *TYPES) if name in (kind, "*/*", f"{kind.partition('/')[0]}/*")]
        if fitting and quality > liking:
            best, liking = fitting[0], quality
    if best is None:
        raise ModelFailed(406, f"Cannot answer as {accept[:100]!r}; accept one of {', '.join(TYPES)}.")
    return best


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def write(predictions: NDArray[np.float32], kind: str) -> Answer:
    """Predictions in the form ``kind``: one per row, a list (or a CSV line) of several where a row has them."""
    if kind == NPY:
        stream = io.BytesIO()
        np.lib.format.write_array(stream, predictions, allow_pickle=False)
        return Answer(stream.getvalue(), NPY)
    values = predictions.tolist()
    if kind == JSON:
        return Answer(msgspec.json.encode({"predictions": values}), JSON)
    text = io.StringIO()
    rows = values if predictions.ndim == 2 else ([value] for value in values)
    csv.writer(text, lineterminator="\n").writerows(rows)
    return Answer(text.getvalue().encode(), CSV)
