"""Rows as cells, in the model's order of columns, from JSON and JSON Lines in each shape, and the headers of CSV.

Shared by all readers of tables: the shapes of a request, the matching of columns (by name if request and model
have names, else by position), and the names of cells in errors: rows and columns from 1, without the header.
Values are not checked here. An ambiguous body (a duplicate key, two forms of rows) is rejected.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from enum import Enum
from functools import cached_property
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tidegate.domain.decoding import prepare_type
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.column_values import parse_number
from tidegate.serving.formats.json_encoding import TOO_LARGE, TWICE, deep, unreadable
from tidegate.transform import strict_json
from tidegate.transform.csv_lines import split_lines

Cell = bool | int | float | str | None
_Item = float | list[float | None] | dict[str, float | None] | None
_FreeItem = bool | int | float | str | list[Cell] | dict[str, Cell] | None


class Heading(Enum):
    """Whether the first line of a CSV is a header."""

    PRESENT = "present"
    ABSENT = "absent"
    UNSAID = ""
    """Not declared: the line decides."""


class _Split(msgspec.Struct):
    data: list[list[float | None]]
    columns: list[str] | UnsetType | None = UNSET
    index: Raw | UnsetType = UNSET


class _Body(msgspec.Struct):
    instances: list[_Item] | UnsetType | None = UNSET
    inputs: list[_Item] | UnsetType | None = UNSET
    dataframe_records: list[_Item] | UnsetType | None = UNSET
    dataframe_split: _Split | UnsetType | None = UNSET
    predictions: list[_Item] | UnsetType | None = UNSET
    """The answer of another model, in a pipeline."""
    columns: list[str] | UnsetType | None = UNSET
    """Names of the columns of ``instances`` or ``inputs``."""
    column_names: Raw | UnsetType = UNSET
    feature_names: Raw | UnsetType = UNSET
    names: Raw | UnsetType = UNSET
    header: Raw | UnsetType = UNSET


class _FreeSplit(msgspec.Struct):
    data: list[list[Cell]]
    columns: list[str] | UnsetType | None = UNSET
    index: Raw | UnsetType = UNSET


class _FreeBody(msgspec.Struct):
    instances: list[_FreeItem] | UnsetType | None = UNSET
    inputs: list[_FreeItem] | UnsetType | None = UNSET
    dataframe_records: list[_FreeItem] | UnsetType | None = UNSET
    dataframe_split: _FreeSplit | UnsetType | None = UNSET
    predictions: list[_FreeItem] | UnsetType | None = UNSET
    columns: list[str] | UnsetType | None = UNSET
    column_names: Raw | UnsetType = UNSET
    feature_names: Raw | UnsetType = UNSET
    names: Raw | UnsetType = UNSET
    header: Raw | UnsetType = UNSET


_TELLING = 3
"""Number of columns from which on a row practically never equals the names in order."""
_UNREAD = ("column_names", "feature_names", "names", "header")
"""Keys by which a request may mean to name its columns, which nothing reads."""
_ALIKE = 0.7
"""Likeness of two names from which on one may be the other, misspelt."""
FORMS = ("instances", "inputs", "dataframe_split", "dataframe_records", "predictions")
SHAPES = "'instances', 'inputs', 'dataframe_split' and 'dataframe_records'"
_PATH = re.compile(r"\[(\d+)\]\[(\d+)\]`$")
_LIST, _OBJECT, _ROW = (msgspec.json.Decoder(prepare_type(kind)) for kind in (list[_Item], _Body, _Item))
_FREE_LIST, _FREE_OBJECT, _FREE_ROW = (
    msgspec.json.Decoder(prepare_type(kind)) for kind in (list[_FreeItem], _FreeBody, _FreeItem)
)


class RowParser:
    """A parser for ``count`` columns, whose ``names`` may be unknown. ``free``: cells may also be text and
    booleans."""

    def __init__(self, count: int, names: Sequence[str] | None, free: bool) -> None:
        self.count = count
        self.names = tuple(names) if names else None
        self._free = free

    @cached_property
    def numbered(self) -> bool:
        """Whether the names are numbers, so that a header looks like a row."""
        return self.names is not None and all(map(_is_number, self.names))

    @cached_property
    def _name_fields(self) -> list[bytes]:
        return sorted(name.strip().encode() for name in self.names or ())

    # --- application/json ---

    def json(self, body: bytes) -> list[list[Any]]:
        """Raises ModelFailed (400)."""
        try:
            if body.lstrip()[:1] == b"[":
                return self._items(self._distinct(body, (_FREE_LIST if self._free else _LIST).decode(body), 0))
            parsed: Any = (_FREE_OBJECT if self._free else _OBJECT).decode(body)
        except msgspec.DecodeError as error:
            raise self._odd(error, body) from None
        except RecursionError:
            raise deep() from None
        return self._form(body, parsed)

    def json_lines(self, body: bytes) -> list[list[Any]]:
        """Parse lines of one JSON value, and one row, each. Raises ModelFailed (400) with the line."""
        decode = (_FREE_ROW if self._free else _ROW).decode
        lines = split_lines(body)
        if not lines:
            raise self.empty()
        items = []
        for number, line in enumerate(lines):
            try:
                items.append(decode(line))
            except (msgspec.DecodeError, RecursionError):
                raise self._odd_line(number, line) from None
        rows = [self._row(number, item) for number, item in enumerate(items)]
        for number, item in enumerate(items):
            if isinstance(item, dict):
                self._check_keys(lines[number], len(item), f"Row {number + 1}: ")
        return rows

    def _row(self, number: int, item: Any) -> list[Any]:
        """The row of a line; a single value is a row of one column."""
        if self.count == 1 and not isinstance(item, list | dict):
            return [item]
        return self._cells(number, item)

    def _odd_line(self, number: int, line: bytes) -> ModelFailed:
        if not line.strip():
            return ModelFailed(400, f"Row {number + 1}: the line is empty; a line holds one JSON value.")
        try:
            msgspec.json.decode(line)
            self.json(b"[%b]" % line)
            reason = "the line is not one JSON value."
        except msgspec.DecodeError as error:
            reason = unreadable(error, line).message
        except RecursionError:
            reason = deep().message
        except ModelFailed as refused:
            reason = refused.message
        where = f"Row {number + 1}"
        reason = reason.removeprefix("Row 1") if reason.startswith("Row 1") else f": {reason}"
        return ModelFailed(400, where + reason)

    def _form(self, body: bytes, parsed: Any) -> list[list[Any]]:
        given = {name: value for name in FORMS if (value := getattr(parsed, name)) is not UNSET}
        forms = [name for name, value in given.items() if value is not None]
        if not forms:
            raise ModelFailed(400, f"The JSON has none of {SHAPES}.")
        if len(forms) > 1:
            raise ModelFailed(400, f"The JSON has both {forms[0]!r} and {forms[1]!r}; send one of them.")
        [name] = forms
        value = given[name]
        for unread in _UNREAD:
            if getattr(parsed, unread) is not UNSET:
                raise ModelFailed(
                    400, f"The JSON has {unread!r}, which is not read; name columns by 'columns', or leave it out."
                )
        if parsed.columns is not UNSET and parsed.columns is not None:
            return self._order_by_columns(body, name, value, parsed.columns, len(given) + 1)
        if name == "dataframe_split":
            inner = 1 + (value.columns is not UNSET) + (value.index is not UNSET)
            self._check_keys(body, len(given) + inner)
            return self._split(value)
        return self._items(self._distinct(body, value, len(given)))

    def _order_by_columns(
        self, body: bytes, form: str, value: Any, columns: Sequence[str], keys: int
    ) -> list[list[Any]]:
        """The rows of lists whose ``columns`` are named beside them. Raises ModelFailed where nothing reads these."""
        if form not in ("instances", "inputs"):
            raise ModelFailed(
                400,
                f"'columns' stands beside {form!r}; it belongs beside 'instances', or within 'dataframe_split'.",
            )
        if self.names is None:
            raise ModelFailed(
                400,
                "The JSON has 'columns', and the model's file names none; leave it out, and send"
                " the values in the model's order.",
            )
        if any(isinstance(item, dict) for item in value):
            raise ModelFailed(
                400, "The JSON has 'columns', and rows that are objects; send lists, or leave it out."
            )
        rows = self._items(self._distinct(body, value, keys))
        order = self.order(columns, "'columns'")
        return rows if order is None else [[row[place] for place in order] for row in rows]

    def _distinct(self, body: bytes, items: Any, keys: int) -> Any:
        """The rows, after a check for duplicate keys. ``keys``: number of keys around the rows."""
        if body.count(b"{") > bool(keys):  # rows that are objects, as far as the braces say
            keys += sum(len(item) for item in items if isinstance(item, dict))
        if keys:
            self._check_keys(body, keys)
        return items

    @staticmethod
    def _check_keys(text: bytes, keys: int, where: str = "") -> None:
        try:
            strict_json.check_keys(text, keys)
        except strict_json.RepeatedKey as repeated:
            raise ModelFailed(400, f"{where}{TWICE.format(repeated.key[:100])}") from None
        except RecursionError:
            raise deep() from None
        except ValueError as error:
            raise unreadable(error, text) from None

    def _odd(self, error: msgspec.DecodeError, body: bytes) -> ModelFailed:
        """The decoder's message with our name of the place: its path counts from 0 and omits keys of objects."""
        reason = str(error)
        found = reason.partition("got ")[2].partition(" ")[0] or "something else"
        found = "a number that is too large" if reason.startswith(TOO_LARGE) else found
        if (at := _PATH.search(reason)) is not None:
            return ModelFailed(
                400, f"{self.place(int(at[1]), int(at[2]))}: expected a number or null, got {found}."
            )
        if "[...]`" in reason and not self._free:
            try:
                self._numbers(RowParser(self.count, self.names, free=True).json(body))
            except ModelFailed as refused:
                return refused
        return unreadable(error, body)

    def _numbers(self, rows: list[list[Any]]) -> None:
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if cell is not None and type(cell) not in (int, float):
                    raise ModelFailed(
                        400, f"{self.place(row, column)}: expected a number or null, got `{type(cell).__name__}`."
                    )

    def _items(self, items: Sequence[Any]) -> list[list[Any]]:
        if not items:
            raise self.empty()
        if not isinstance(items[0], list | dict):
            flat = self._shape_flat(items)
            items = [[value] for value in flat] if self.count == 1 else [flat]
        return [self._cells(number, item) for number, item in enumerate(items)]

    def _cells(self, number: int, item: Any) -> list[Any]:
        if isinstance(item, dict):
            return self._order_named(number, item)
        if not isinstance(item, list):
            raise ModelFailed(400, f"Row {number + 1} is a single value; expected a list of {self.count}.")
        if len(item) != self.count:
            raise self.width(number, len(item))
        return item

    def _shape_flat(self, items: Sequence[Any]) -> list[Any]:
        """A flat list is one row, or a column if the model has a single one."""
        for column, item in enumerate(items):
            if isinstance(item, list | dict):
                raise ModelFailed(400, f"{self.place(0, column)}: expected a number, as in the columns before.")
        return list(items)

    def _order_named(self, row: int, item: dict[str, Any]) -> list[Any]:
        if self.names is None:
            raise ModelFailed(400, f"Row {row + 1} is an object, but the model has no feature names; send lists.")
        if len(item) != self.count or any(name not in item for name in self.names):
            raise self._names_differ(list(item), f"Row {row + 1}", " (send null for a missing value)")
        return [item[name] for name in self.names]

    def _split(self, split: Any) -> list[list[Any]]:
        if not split.data:
            raise self.empty()
        named = split.columns is not UNSET and split.columns is not None
        order = self.order(split.columns, "dataframe_split") if named else None
        for number, row in enumerate(split.data):
            if len(row) != self.count:
                raise self.width(number, len(row))
        if order is None:
            return list(split.data)
        return [[row[column] for column in order] for row in split.data]

    # --- columns ---

    def order(self, given: Sequence[str], where: str) -> list[int] | None:
        """Position in ``given`` of each of the model's columns; None if the model has no names. Raises ModelFailed
        with the column."""
        if self.names is None:
            return None
        place = {name: number for number, name in enumerate(given)}
        if len(given) != self.count or len(place) != self.count or any(name not in place for name in self.names):
            raise self._names_differ(given, where, "")
        return [place[name] for name in self.names]

    def _names_differ(self, given: Sequence[str], where: str, hint: str) -> ModelFailed:
        assert self.names is not None
        known = set(self.names)
        strange = next((name for name in given if name not in known), None)
        missing = next((name for name in self.names if name not in set(given)), None)
        if missing is not None:
            also = f"; the model has no feature {strange[:100]!r}" if strange is not None else ""
            return ModelFailed(400, f"{where} has no {missing!r}{hint}{also}.")
        if strange is not None:
            return ModelFailed(400, f"{where}: the model has no feature {strange[:100]!r}.")
        twice = next(name for number, name in enumerate(given) if name in given[:number])
        return ModelFailed(400, f"{where}: the column {twice!r} is given twice.")

    def may_be_names(self, line: bytes) -> bool:
        """Whether a line may be the names, which are numbers, in any order. Fast, since it runs for many rows."""
        if not self.numbered or line.count(b",") != self.count - 1:
            return False
        return sorted(field.strip() for field in line.replace(b'"', b"").split(b",")) == self._name_fields

    def header(self, fields: Sequence[str], heading: Heading, fits: bool) -> list[int] | None:
        """Position of each of the model's columns if the first line of a CSV, with these fields, is a header; None if
        it is a row. ``fits``: it could be a row. Raises ModelFailed for a header that differs from the model's names,
        and for an ambiguous line."""
        if heading is Heading.ABSENT or (self.names is None and heading is Heading.UNSAID):
            return None
        fields = [field.strip() if field not in (self.names or ()) else field for field in fields]
        if self.names is None:
            if len(fields) != self.count:
                raise ModelFailed(400, f"The header line has {len(fields)} columns; the model takes {self.count}.")
            return list(range(self.count))
        if heading is Heading.PRESENT:
            return self.order(fields, "The header line")
        whole = sorted(fields) == sorted(self.names)
        if whole and fits and (self.count < _TELLING or tuple(fields) != self.names):
            raise ModelFailed(
                400,
                "The first line holds the model's column names, and the model takes them for values as well: it may"
                " be a header or a row. Say which by the content type: 'text/csv; header=present' or"
                " 'header=absent'.",
            )
        named = any(field in self.names and not _is_number(field) for field in fields)
        if whole or (not fits and named):
            return self.order(fields, "The header line")
        if not fits and self._reads_as_names(fields):
            raise ModelFailed(
                400,
                f"The first line is no row, since {fields[0][:40]!r} is not a number, and no header, since it has"
                f" none of the model's columns ({self._listed_names()}).",
            )
        return None

    def check_likeness(self, fields: Sequence[str], known: Sequence[frozenset[str] | None]) -> None:
        """Raises ModelFailed if a line of texts looks like the names, misspelt: as a row it would be answered.
        ``known``: the texts of each column, which are values; None: any."""
        values = [one or frozenset() for one in known]
        unknown = [field for at, field in enumerate(fields) if field not in values[min(at, len(values) - 1)]]
        names = [bare for name in self.names or () if (bare := _bare(name))]
        same = [field for field in unknown if _bare(field) in names]
        like = [field for field in unknown if field not in same and _is_like(_bare(field), names)]
        if (same or len(like) > 1) and 2 * (len(same) + len(like)) >= len(fields):
            raise ModelFailed(
                400,
                f"The first line may be a header with other names than the model's ({self._listed_names()}), or a"
                f" row: it has {(same or like)[0][:40]!r}. Send the model's names, or say which by the content type:"
                " 'text/csv; header=absent' for a row.",
            )

    def _listed_names(self) -> str:
        names = self.names or ()
        return ", ".join(name[:40] for name in names[:10]) + (", ..." if len(names) > 10 else "")

    def _reads_as_names(self, fields: Sequence[str]) -> bool:
        return not self._free and all(field and not _is_number(field) for field in fields)

    def place(self, row: int, column: int) -> str:
        name = f" ({self.names[column]})" if self.names and column < len(self.names) else ""
        return f"Row {row + 1}, column {column + 1}{name}"

    def width(self, row: int, found: int) -> ModelFailed:
        return ModelFailed(400, f"Row {row + 1} has {found} columns; the model takes {self.count}.")

    @staticmethod
    def empty() -> ModelFailed:
        return ModelFailed(400, "The request has no rows.")


def _bare(text: str) -> str:
    """A name without what differs where one is written in another style."""
    return "".join(one for one in text.casefold() if one.isalnum())


def _is_like(text: str, names: Sequence[str]) -> bool:
    return any(SequenceMatcher(None, text, name).ratio() >= _ALIKE for name in names if len(name) > 2)


def _is_number(text: str) -> bool:
    try:
        parse_number(text)
    except ValueError:
        return False
    return True
