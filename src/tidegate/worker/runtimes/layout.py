"""Rows as cells, in the model's order of columns, from JSON and CSV in each of their shapes.

What all readers of tables share: which shapes a request may have, how columns are matched (by name where a request
names them and the model has names, by position otherwise), and how a place is named: rows and columns from 1, a
header line not counted. Values are not looked at here.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.worker.invocation import ModelFailed
from tidegate.worker.runtimes.unreadable import TOO_LARGE, unreadable

Cell = bool | int | float | str | None
_Item = float | list[float | None] | dict[str, float | None] | None
_FreeItem = bool | int | float | str | list[Cell] | dict[str, Cell] | None


class _Split(msgspec.Struct):
    data: list[list[float | None]]
    columns: list[str] | None = None


class _Body(msgspec.Struct):
    instances: list[_Item] | None = None
    inputs: list[_Item] | None = None
    dataframe_records: list[_Item] | None = None
    dataframe_split: _Split | None = None
    predictions: list[_Item] | None = None
    """What another model answered, in a pipeline."""


class _FreeSplit(msgspec.Struct):
    data: list[list[Cell]]
    columns: list[str] | None = None


class _FreeBody(msgspec.Struct):
    instances: list[_FreeItem] | None = None
    inputs: list[_FreeItem] | None = None
    dataframe_records: list[_FreeItem] | None = None
    dataframe_split: _FreeSplit | None = None
    predictions: list[_FreeItem] | None = None


SHAPES = "'instances', 'inputs', 'dataframe_split' and 'dataframe_records'"
_PATH = re.compile(r"\[(\d+)\]\[(\d+)\]`$")
_LIST = msgspec.json.Decoder(list[_Item])
_OBJECT = msgspec.json.Decoder(_Body)
_FREE_LIST = msgspec.json.Decoder(list[_FreeItem])
_FREE_OBJECT = msgspec.json.Decoder(_FreeBody)


class Layout:
    """``count`` columns, whose ``names`` may be unknown. ``free``: cells may be text and truth values too."""

    def __init__(self, count: int, names: Sequence[str] | None, free: bool) -> None:
        self.count = count
        self.names = tuple(names) if names else None
        self._free = free

    # --- application/json ---

    def json(self, body: bytes) -> list[list[Any]]:
        """Raises ModelFailed (400)."""
        try:
            if body.lstrip()[:1] == b"[":
                return self._items((_FREE_LIST if self._free else _LIST).decode(body))
            parsed: Any = (_FREE_OBJECT if self._free else _OBJECT).decode(body)
        except msgspec.DecodeError as error:
            raise self._odd(error, body) from None
        if parsed.dataframe_split is not None:
            return self._split(parsed.dataframe_split)
        for items in (parsed.dataframe_records, parsed.instances, parsed.inputs, parsed.predictions):
            if items is not None:
                return self._items(items)
        raise ModelFailed(400, f"The JSON has none of {SHAPES}.")

    def _odd(self, error: msgspec.DecodeError, body: bytes) -> ModelFailed:
        """The decoder's words, with the place in ours: its path counts from 0, and of an object's key it says
        nothing."""
        said = str(error)
        found = said.partition("got ")[2].partition(" ")[0] or "something else"
        found = "a number that is too large" if said.startswith(TOO_LARGE) else found
        if (at := _PATH.search(said)) is not None:
            return ModelFailed(
                400, f"{self.place(int(at[1]), int(at[2]))}: expected a number or null, got {found}."
            )
        if "[...]`" in said and not self._free:
            try:
                self._numbers(Layout(self.count, self.names, free=True).json(body))
            except ModelFailed as refused:
                return refused
        return unreadable(error, body)

    def _numbers(self, rows: list[list[Any]]) -> None:
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if cell is not None and type(cell) not in (int, float):
                    raise self.no_number(row, column, cell)

    def no_number(self, row: int, column: int, cell: object) -> ModelFailed:
        return ModelFailed(
            400, f"{self.place(row, column)}: expected a number or null, got `{type(cell).__name__}`."
        )

    def _items(self, items: Sequence[Any]) -> list[list[Any]]:
        if not items:
            raise self.empty()
        if not isinstance(items[0], list | dict):
            flat = self._flat(items)
            items = [[value] for value in flat] if self.count == 1 else [flat]
        rows = []
        for number, item in enumerate(items):
            if isinstance(item, dict):
                rows.append(self._named(number, item))
            elif not isinstance(item, list):
                raise ModelFailed(400, f"Row {number + 1} is a single value; expected a list of {self.count}.")
            elif len(item) != self.count:
                raise self.width(number, len(item))
            else:
                rows.append(item)
        return rows

    def _flat(self, items: Sequence[Any]) -> list[Any]:
        """A list of plain values is one row, or a column where the model takes only one."""
        for column, item in enumerate(items):
            if isinstance(item, list | dict):
                raise ModelFailed(400, f"{self.place(0, column)}: expected a number, as in the columns before.")
        return list(items)

    def _named(self, row: int, item: dict[str, Any]) -> list[Any]:
        if self.names is None:
            raise ModelFailed(400, f"Row {row + 1} is an object, but the model has no feature names; send lists.")
        if len(item) != self.count or any(name not in item for name in self.names):
            raise self._names_differ(list(item), f"Row {row + 1}", " (send null for a missing value)")
        return [item[name] for name in self.names]

    def _split(self, split: Any) -> list[list[Any]]:
        if not split.data:
            raise self.empty()
        order = self.order(split.columns, "dataframe_split") if split.columns is not None else None
        for number, row in enumerate(split.data):
            if len(row) != self.count:
                raise self.width(number, len(row))
        if order is None:
            return list(split.data)
        return [[row[column] for column in order] for row in split.data]

    # --- what they share ---

    def order(self, given: Sequence[str], where: str) -> list[int] | None:
        """Where each of the model's columns is in ``given``; None where the model has no names to match them by.
        Raises ModelFailed that names the column."""
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

    def is_header(self, fields: Sequence[str]) -> bool:
        """Whether the first line of a CSV names columns: one of the model's is among them, or, for columns that
        take no text, nothing in it is a number."""
        if self.names is None:
            return False
        if any(field in self.names for field in fields):
            return True
        return not self._free and all(field and not _number(field) for field in fields)

    def place(self, row: int, column: int) -> str:
        name = f" ({self.names[column]})" if self.names and column < len(self.names) else ""
        return f"Row {row + 1}, column {column + 1}{name}"

    def width(self, row: int, found: int) -> ModelFailed:
        return ModelFailed(400, f"Row {row + 1} has {found} columns; the model takes {self.count}.")

    @staticmethod
    def empty() -> ModelFailed:
        return ModelFailed(400, "The request has no rows.")


def fields(line: bytes) -> list[str]:
    """The fields of a line that may be a header, without quotes around them."""
    parts = (field.strip() for field in line.decode("utf-8", "replace").split(","))
    return [part[1:-1] if len(part) > 1 and part[0] == part[-1] == '"' else part for part in parts]


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
