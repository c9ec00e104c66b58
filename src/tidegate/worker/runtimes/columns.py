"""What a column of a model takes beside plain numbers, and how that is checked: whole numbers, flags, categories.

A value of a category reaches the model as its code, the category's place in the list that the model was trained
with. Where the model keeps that list, a request sends the category itself (text, or a number where the categories
are numbers); otherwise it sends the code. One that the model does not know is an error rather than a missing value,
as which libraries silently take it: a misspelt category would change predictions unseen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.worker.invocation import ModelFailed
from tidegate.worker.runtimes.layout import Layout


class Kind(StrEnum):
    NUMBER = "number"
    WHOLE = "a whole number"
    FLAG = "0 or 1"
    CATEGORY = "a category"


@dataclass(frozen=True)
class Column:
    kind: Kind = Kind.NUMBER
    categories: tuple[str, ...] | tuple[float, ...] = ()
    """In the order of their codes; empty where they are not known."""

    @property
    def text(self) -> bool:
        """Whether it takes text."""
        return bool(self.categories) and isinstance(self.categories[0], str)


class Refused(Exception):
    """A value that a column does not take, at ``row`` (from 0)."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row
        self.message = message


def code(column: Column, row: int, text: str) -> float:
    """The code of a category sent as text. Raises Refused."""
    try:
        return float(column.categories.index(text))
    except ValueError:
        known = ", ".join(map(repr, column.categories[:10])) + (", ..." if len(column.categories) > 10 else "")
        raise Refused(row, f"{text[:40]!r} is no category that the model knows ({known}).") from None


def checked(column: Column, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values as the model takes them; NaN is a missing one. Raises Refused."""
    if column.kind is Kind.CATEGORY and column.categories and not column.text:
        return _codes(column, values)
    present = ~np.isnan(values)
    good = ~present | (values == np.trunc(values))
    if column.kind is Kind.FLAG:
        good &= ~present | (values == 0) | (values == 1)
    elif column.kind is Kind.CATEGORY:
        good &= ~present | ((values >= 0) & (values < (len(column.categories) or np.inf)))
    if good.all():
        return values
    row = int(np.argmin(good))
    if column.kind is Kind.CATEGORY:
        most = f" to {len(column.categories) - 1}" if column.categories else ""
        raise Refused(row, f"{values[row]:g} is no category's code; send a whole number from 0{most}.")
    raise Refused(row, f"{values[row]:g} is not {column.kind.value}.")


def _codes(column: Column, values: NDArray[np.float32]) -> NDArray[np.float32]:
    found = values[:, None] == np.array(column.categories, np.float32)[None]
    good = found.any(axis=1) | np.isnan(values)
    if not good.all():
        row = int(np.argmin(good))
        raise Refused(row, f"{values[row]:g} is no category that the model knows.")
    return np.where(np.isnan(values), np.float32(np.nan), found.argmax(axis=1).astype(np.float32))


def encode(columns: Sequence[Column], rows: list[list[Any]], layout: Layout) -> list[list[Any]]:
    """Rows of cells with text replaced by codes; raises ModelFailed for a cell that a column does not take."""
    result = []
    for number, row in enumerate(rows):
        cells = list(row)
        for place, cell in enumerate(cells):
            if type(cell) is str and columns[place].text:
                try:
                    cells[place] = code(columns[place], number, cell)
                except Refused as refused:
                    raise ModelFailed(400, f"{layout.place(number, place)}: {refused.message}") from None
            elif type(cell) is int:
                cells[place] = real(cell)
            elif cell is not None and type(cell) is not float:
                raise layout.no_number(number, place, cell)
        result.append(cells)
    return result


def real(number: float) -> float:
    """The nearest float; infinity for what is beyond."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
