"""Requests and answers of MLflow's scoring server: a table with named and typed columns, or tensors; any value.

In: ``text/csv`` (with or without a line of names), and JSON with ``dataframe_split``, ``dataframe_records``,
``instances`` or ``inputs``, and ``params``. The signature of a model is checked here; a message names the row (from
1) and the column.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from tidegate.serving.contract.invocation import Answer, ModelFailed
from tidegate.serving.contract.signature import ANY, TEXT, Form, ModelSignature, TensorSpec
from tidegate.serving.formats import row_decoder
from tidegate.serving.formats.column_values import parse_number
from tidegate.serving.formats.content_types import check_charset, heading_of
from tidegate.serving.formats.exact_cast import Inexact, array_of, cast
from tidegate.serving.formats.json_encoding import encode_json, parse_json
from tidegate.serving.formats.json_rows import Heading, RowParser
from tidegate.serving.formats.schema_values import CHECKS, TOLD
from tidegate.transform.csv_lines import BOM, BadField, split_lines, text_fields, without_bom

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_DTYPES = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}


@dataclass(frozen=True)
class SchemaColumn:
    """``kind`` is MLflow's name of the type; types that are not basic are left to MLflow."""

    name: str
    kind: str
    required: bool = True


@dataclass(frozen=True)
class Tensor:
    """``shape`` has -1 for any length. ``name`` is empty for the only input."""

    name: str
    dtype: Any
    shape: tuple[int, ...]


def signature(schema: Any) -> "Signature":
    """From MLflow's input schema, or None."""
    if schema is None:
        return Signature((), ())
    if schema.is_tensor_spec():
        return Signature((), tuple(Tensor(one.name or "", one.type, tuple(one.shape)) for one in schema.inputs))
    columns = []
    for number, one in enumerate(schema.inputs):
        kind = getattr(one.type, "name", "other")
        columns.append(SchemaColumn(one.name or str(number), kind, one.required))
    return Signature(tuple(columns), ())


@dataclass(frozen=True)
class Signature:
    """A model's signature; both fields are empty if it has none."""

    columns: tuple[SchemaColumn, ...]
    tensors: tuple[Tensor, ...]

    @property
    def described(self) -> ModelSignature:
        """The same in the words of all runtimes."""
        if self.tensors:
            specs = (TensorSpec(one.name or "input", np.dtype(one.dtype).name, one.shape) for one in self.tensors)
            return ModelSignature(Form.NESTED, tuple(specs))
        columns = (TensorSpec(one.name, _DTYPES.get(one.kind, TEXT), (ANY, 1)) for one in self.columns)
        return ModelSignature(Form.FRAME, tuple(columns))

    def read(
        self, body: bytes, content_type: str, records: bool = False, begins: bool = True
    ) -> tuple[Any, dict[str, Any] | None]:
        """Parse a body to the model's input and parameters. Raises ModelFailed (400, 415). ``records``: every line of
        a CSV is a row. ``begins``: a byte order mark may come first."""
        kind = content_type.partition(";")[0].strip().lower() or row_decoder.JSON
        check_charset(content_type, body)
        if kind == row_decoder.CSV:
            lines = without_bom(body) if begins else body
            return self._csv(lines, Heading.ABSENT if records else heading_of(content_type)), None
        if kind != row_decoder.JSON:
            raise ModelFailed(
                415, f"Content type {kind!r} is not supported; send {row_decoder.JSON} or {row_decoder.CSV}."
            )
        asked = parse_json(without_bom(body))
        forms = [name for name in FORMS if isinstance(asked, dict) and name in asked]
        if len(forms) != 1:
            raise ModelFailed(400, f"The JSON must be an object with exactly one of {', '.join(FORMS)}.")
        parameters = asked.get("params")
        if parameters is not None and not isinstance(parameters, dict):
            raise ModelFailed(400, "'params' must be an object.")
        [form] = forms
        if "columns" in asked:
            raise ModelFailed(
                400,
                f"'columns' stands beside {form!r}; it belongs within 'dataframe_split', as do the names of columns.",
            )
        return self._form(form, asked[form]), parameters

    def _form(self, form: str, value: Any) -> Any:
        if form == "dataframe_split":
            return self._split(value)
        if form == "dataframe_records":
            return self._records(value)
        if self.columns:
            if isinstance(value, dict):
                return self._group_by_column(value)
            return self._records(value)
        return self._tensors(value)

    # --- tables ---

    def _csv(self, body: bytes, heading: Heading) -> Any:
        lines = split_lines(body)
        if not lines:
            raise ModelFailed(400, "The request has no rows.")
        fields = [_fields(number, line) for number, line in enumerate(lines)]
        if not self.tensors and not self.columns:
            return _parse_by_pandas(body, fields, heading)
        if self.tensors:
            return self._tensors([[_number(text) for text in line] for line in fields])
        names, rows = (fields[0], fields[1:]) if self._is_header(fields[0], heading) else (None, fields)
        kinds = {column.name: column.kind for column in self.columns}
        order = names or [column.name for column in self.columns]
        read = dict(enumerate(kinds.get(name, "string") for name in order))
        parsed = [[_read_text(text, read.get(at, "string")) for at, text in enumerate(line)] for line in rows]
        return self._rows(parsed, names)

    def _is_header(self, fields: Sequence[str], heading: Heading) -> bool:
        """Whether the first line names the columns; optional ones may be absent."""
        if heading is not Heading.UNSAID:
            return heading is Heading.PRESENT
        if not set(fields) >= {column.name for column in self.columns if column.required}:
            self._check_names(fields)
            return False
        layout = RowParser(len(self.columns), [column.name for column in self.columns], free=True)
        if layout.numbered and len(fields) == layout.count:
            return layout.header(fields, heading, fits=True) is not None
        return bool(set(fields) & set(layout.names or ()))

    def _check_names(self, fields: Sequence[str]) -> None:
        """Raises ModelFailed if a line that is no header has a column's name, where any text may be a value."""
        if any(column.kind != "string" or _is_number(column.name) for column in self.columns):
            return
        layout = RowParser(len(self.columns), [column.name for column in self.columns], free=True)
        named = {field.strip() for field in fields} & {column.name.strip() for column in self.columns}
        if named:
            raise ModelFailed(
                400,
                f"The first line has {min(named)!r}, a column of the model, and not the names of all: it may be a"
                " header or a row. Name all columns, or say 'text/csv; header=absent' for the content type.",
            )
        layout.check_likeness(fields, [None])

    def _split(self, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("data"), list):
            raise ModelFailed(400, "'dataframe_split' must be an object with 'data', a list of rows.")
        names = value.get("columns")
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ModelFailed(400, "'columns' must be a list of texts.")
        return self._rows(value["data"], names)

    def _records(self, value: Any) -> Any:
        if not isinstance(value, list) or not value:
            raise ModelFailed(400, "The request has no rows; send a list of them.")
        if not isinstance(value[0], dict):
            return self._rows(value, None)
        for number, row in enumerate(value):
            if not isinstance(row, dict):
                raise ModelFailed(400, f"Row {number + 1} is not an object, as the rows before it.")
        names = list(dict.fromkeys(name for row in value for name in row))
        for column in self.columns:
            for number, row in enumerate(value):
                if column.required and column.name not in row:
                    raise ModelFailed(400, f"Row {number + 1} has no {column.name!r}.")
        return self._rows([[row.get(name) for name in names] for row in value], names)

    def _group_by_column(self, value: Mapping[str, Any]) -> Any:
        columns = {name: one if isinstance(one, list) else [one] for name, one in value.items()}
        lengths = {len(one) for one in columns.values()}
        if len(lengths) != 1:
            raise ModelFailed(400, "The columns of 'inputs' have different lengths.")
        return self._rows([list(row) for row in zip(*columns.values(), strict=True)], list(columns))

    def _rows(self, rows: Sequence[Any], names: Sequence[str] | None) -> Any:
        """A DataFrame; ``names`` None: the columns are in the signature's order."""
        if not rows:
            raise ModelFailed(400, "The request has no rows.")
        order = list(names) if names is not None else [column.name for column in self.columns]
        if len(set(order)) != len(order):
            twice = next(name for number, name in enumerate(order) if name in order[:number])
            raise ModelFailed(400, f"The column {twice!r} is given twice.")
        for number, row in enumerate(rows):
            if not isinstance(row, list):
                raise ModelFailed(400, f"Row {number + 1} must be a list of values.")
            if (order or names is not None) and len(row) != len(order):
                raise ModelFailed(400, f"Row {number + 1} has {len(row)} columns; the model takes {len(order)}.")
        if not self.columns:
            return pd.DataFrame([list(row) for row in rows], columns=order or None)
        frame = {}
        for column in self.columns:
            if column.name not in order:
                if column.required:
                    raise ModelFailed(400, f"The column {column.name!r} is missing.")
                continue
            at = order.index(column.name)
            frame[column.name] = _series(column, [row[at] for row in rows], at)
        unknown = [name for name in order if name not in [column.name for column in self.columns]]
        if unknown:
            raise ModelFailed(400, f"The model has no column {unknown[0]!r}.")
        return pd.DataFrame(frame)

    # --- tensors ---

    def _tensors(self, value: Any) -> Any:
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            for number, one in enumerate(value):
                if one.keys() != value[0].keys():
                    raise ModelFailed(400, f"Row {number + 1} has other names than row 1.")
            value = {name: [one.get(name) for one in value] for name in value[0]}
        if not self.tensors:
            if isinstance(value, dict):
                return {name: _array(name, one, None) for name, one in value.items()}
            return _array("The input", value, None)
        if not isinstance(value, dict):
            if len(self.tensors) != 1:
                names = ", ".join(one.name for one in self.tensors)
                raise ModelFailed(
                    400, f"The model has {len(self.tensors)} inputs: {names}; send an object of them."
                )
            array = _fit(self.tensors[0], value)
            return {self.tensors[0].name: array} if self.tensors[0].name else array
        for one in self.tensors:
            if one.name not in value:
                raise ModelFailed(400, f"The input {one.name!r} is missing.")
        return {one.name: _fit(one, value[one.name]) for one in self.tensors}


def _series(column: SchemaColumn, values: list[Any], at: int) -> Any:
    check = CHECKS.get(column.kind)
    if check is None:
        return pd.Series(values, dtype=object)
    found: list[Any] = []
    for number, value in enumerate(values):
        if value is None and (column.kind in ("double", "float", "string") or not column.required):
            found.append(value)
            continue
        good, expected = check(value), TOLD[column.kind]
        if good is None:
            shown = "null" if value is None else msgspec.json.encode(value).decode()[:40]
            place = f"Row {number + 1}, column {at + 1} ({column.name})"
            raise ModelFailed(400, f"{place}: expected {expected}, got {shown}.")
        found.append(good)
    if column.kind == "datetime":
        return pd.Series(pd.to_datetime(pd.Series(found, dtype=object)))
    missing = any(value is None for value in found)
    dtype = (
        object if missing and column.kind in ("integer", "long", "boolean") else _DTYPES.get(column.kind, object)
    )
    with np.errstate(over="ignore"):
        series = np.array(found, dtype=dtype)
    if column.kind == "float":
        for row in np.flatnonzero(np.isinf(series)):
            if found[row] is not None and not np.isinf(found[row]):
                place = f"Row {row + 1}, column {at + 1} ({column.name})"
                raise ModelFailed(400, f"{place}: {found[row]} is beyond float32.")
    return series


def _read_text(text: str, kind: str) -> Any:
    """A CSV field as the JSON value; unreadable fields stay text, which the check then reports."""
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if kind in ("integer", "long", "float", "double"):
        return None if not text.strip() else _number(text)
    return text


def _is_number(text: str) -> bool:
    return not isinstance(_number(text), str)


def _number(text: str) -> Any:
    try:
        return parse_number(text)
    except ValueError:
        return text


def _parse_by_pandas(body: bytes, fields: Sequence[Sequence[str]], heading: Heading) -> Any:
    """Parse a CSV as MLflow's scoring server does for a model without a signature: with a header. ``fields``: those
    of each line."""
    widths = [len(line) for line in fields]
    for number, width in enumerate(widths):
        if width != widths[0]:  # pandas would use the first column as the index
            raise ModelFailed(400, f"Line {number + 1} has {width} columns, the first line {widths[0]}.")
    header = heading is not Heading.ABSENT
    if header:  # pandas would call the second of two equal names by another one
        for at, name in enumerate(fields[0]):
            if name in fields[0][:at]:
                raise ModelFailed(400, f"The column {name!r} is given twice.")
    # pandas removes a byte order mark; ours is removed already, and another one is data.
    found = pd.read_csv(io.BytesIO(BOM + body), header=0 if header else None)
    if len(found) != len(widths) - header:
        raise ModelFailed(400, "Some lines of the CSV are empty, and pandas skips them.")
    return found


def _fields(number: int, line: bytes) -> list[str]:
    try:
        return text_fields(line)
    except BadField as bad:
        raise ModelFailed(400, f"Row {number + 1}, column {bad.column + 1}: {bad}.") from None


def _array(name: str, value: Any, dtype: Any) -> Any:
    """``dtype`` None: as numpy has it."""
    try:
        found = np.array(value) if dtype is None else array_of(value, dtype)
    except (ValueError, TypeError, OverflowError):
        raise ModelFailed(400, f"{name} must be lists of values of one length each.") from None
    return found


def _fit(one: Tensor, value: Any) -> Any:
    name = one.name or "The input"
    found = _array(name, value, one.dtype)
    if found.dtype.kind not in "fiub" and np.dtype(one.dtype).kind in "fiub":
        raise ModelFailed(400, f"{name} has values that are not numbers.")
    if np.dtype(one.dtype).kind in "fiu" and _has_truth(value):
        raise ModelFailed(400, f"{name} has true or false where a number belongs.")
    pairs = zip(one.shape, found.shape, strict=False)
    if found.ndim != len(one.shape) or any(want not in (-1, got) for want, got in pairs):
        expected = "x".join("any" if side < 0 else str(side) for side in one.shape)
        raise ModelFailed(
            400, f"{name} has the shape {'x'.join(map(str, found.shape))}; the model takes {expected}."
        )
    if np.dtype(one.dtype).kind not in "fiub":
        return found.astype(one.dtype)
    try:
        return cast(found, one.dtype)
    except Inexact as wrong:
        raise ModelFailed(400, f"{name}{''.join(f'[{side}]' for side in wrong.place)}: {wrong}.") from None


def _has_truth(value: Any) -> bool:
    return any(map(_has_truth, value)) if isinstance(value, list) else isinstance(value, bool)


def rows(given: Any) -> int:
    """Number of rows of a table, or of tensors, by their first axis."""
    if isinstance(given, dict):
        return max(map(rows, given.values()), default=0)
    return len(given) if getattr(given, "ndim", 0) else 1


def answers(found: Any) -> int | None:
    """Number of answers; None for an object or a single value."""
    if isinstance(found, pd.DataFrame | pd.Series | list | tuple):
        return len(found)
    return len(found) if isinstance(found, np.ndarray) and found.ndim else None


def write(found: Any) -> Answer:
    """``{"predictions": ...}``; a table is a list of objects, NaN is null."""
    value = found.to_dict(orient="records") if isinstance(found, pd.DataFrame) else found
    return Answer(encode_json({"predictions": value}, _to_plain), row_decoder.JSON)


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | pd.Series):
        return value.tolist()
    if isinstance(value, pd.Timestamp | datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, pd.DataFrame):
        return value.to_dict(orient="records")
    raise TypeError(f"the model gives a {type(value).__name__}, which JSON has no form for")
