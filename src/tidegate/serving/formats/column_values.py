"""The columns of a model, and the conversion of a request's values to the numbers that the model gets.

A category reaches the model as its code, its position in the list from training. If the model's file has the list, a
request sends the category itself, and it is compared exactly: text as text, even if it looks like a number or a
missing value, and integers without rounding. The code of a text category is accepted as well, unless a category could
be mistaken for a code. An unknown category is an error and not, as libraries have it, a missing value: a misspelt
category would change predictions silently.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_TRUTHS = {"true": True, "false": False}
_SPACES = " \t\n\r\x0b\x0c"
EXACT = 2.0**53
"""Doubles from here on may be rounded whole numbers."""
ROUNDED = (
    "{} may have been rounded; send a whole number beyond 9,007,199,254,740,992 with all its digits, without a"
    " fraction or an exponent"
)
MOST_CODE = 2**24
"""Codes from here on are not exact in float32, and XGBoost accepts none."""


class ValueKind(StrEnum):
    NUMBER = "number"
    WHOLE = "a whole number"
    FLAG = "0 or 1"
    CATEGORY = "a category"


class Refused(Exception):
    """A column does not accept a value; ``row`` (from 0) if several were checked."""

    def __init__(self, message: str, row: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.row = row


@dataclass(frozen=True)
class ColumnType:
    kind: ValueKind = ValueKind.NUMBER
    categories: tuple[str, ...] | tuple[int | float, ...] = ()
    """In the order of their codes, all text or all numbers; empty if unknown."""

    @property
    def text(self) -> bool:
        """Whether it accepts text."""
        return bool(self.categories) and isinstance(self.categories[0], str)

    @property
    def listed(self) -> bool:
        """Whether values are compared with a list, before they become floats."""
        return bool(self.categories)

    # --- one value ---

    def of_text(self, text: str) -> float:
        """Convert a CSV field. Raises Refused."""
        if self.text:
            return self._of_category(text)
        bare = text.strip(_SPACES)
        if not bare:
            return math.nan
        if bare.lower() in _TRUTHS and self.takes_truths:
            return self._of_truth(_TRUTHS[bare.lower()])
        try:
            return self.of_number(parse_number(bare))
        except ValueError:
            raise Refused(f"{text[:40]!r} is not a number") from None

    def of_number(self, value: float) -> float:
        """Convert a number of any type but bool; NaN is a missing value. Raises Refused."""
        if self.listed and not self.text:
            return self._of_listed(value)
        if value != value:
            return math.nan
        if self.text and not self._takes_codes:
            raise Refused(f"{show(value)} may be a category or a code; send the category, as text")
        number = to_float(value)
        if not self._fits(number):
            raise Refused(self._misfit(value))
        return number

    def of_json(self, cell: object) -> float:
        """Convert any JSON value. Raises Refused."""
        if cell is None:
            return math.nan
        if type(cell) is str and self.text:
            found = self._codes.get(cell)
            if found is None:
                raise Refused(self._unknown(cell))
            return found
        if type(cell) is int or type(cell) is float:
            return self.of_number(cell)
        if type(cell) is bool and self.takes_truths:
            return self._of_truth(cell)
        raise Refused(f"expected a number or null, got `{type(cell).__name__}`")

    # --- many values ---

    def of_array(self, values: NDArray[Any]) -> NDArray[Any]:
        """Convert numbers of any type; NaN is a missing value. Raises Refused."""
        if self.listed:
            return self._of_each(values)
        if self.kind is not ValueKind.NUMBER:
            good = fitting(self.kind, values)
            if not good.all():
                row = int(np.argmin(good))
                raise Refused(self._misfit(values[row].item()), row)
        return values

    def _of_each(self, values: NDArray[Any]) -> NDArray[np.float64]:
        single = values.dtype.kind == "f" and values.dtype.itemsize < 8 and not self.text
        codes = self._rounded(values.dtype) if single else None
        found = np.empty(len(values), np.float64)
        for row, value in enumerate(values.tolist()):
            try:
                if codes is not None and value == value:
                    found[row] = self._of_listed(value, codes)
                else:
                    found[row] = self.of_number(value)
            except Refused as refused:
                raise Refused(refused.message, row) from None
        return found

    def _rounded(self, dtype: "np.dtype[Any]") -> dict[Any, float]:
        """Category rounded to ``dtype`` -> code, without categories that become equal. Integers are not rounded."""
        rounded = np.array(self.categories, np.float64).astype(dtype).tolist()
        narrow = [
            own if isinstance(own, int) else near for own, near in zip(self.categories, rounded, strict=True)
        ]
        return {value: float(code) for code, value in enumerate(narrow) if narrow.count(value) == 1}

    # --- categories ---

    @cached_property
    def _codes(self) -> dict[Any, float]:
        return {category: float(code) for code, category in enumerate(self.categories)}

    @cached_property
    def takes_truths(self) -> bool:
        """Whether it accepts true and false."""
        listed = self.listed and all(isinstance(one, bool) for one in self.categories)
        return self.kind is ValueKind.FLAG or listed

    def _of_truth(self, truth: bool) -> float:
        return self._codes[truth] if self.listed else float(truth)

    @cached_property
    def _takes_codes(self) -> bool:
        return not any(_reads_as_number(str(category)) for category in self.categories)

    @cached_property
    def _nan_is_text(self) -> bool:
        """Whether a category resembles NaN, so that such a field is ambiguous."""
        return any(str(category).strip().lower() == "nan" for category in self.categories)

    def _of_category(self, text: str) -> float:
        found = self._codes.get(text)
        if found is None:
            found = self._codes.get(text.strip(_SPACES))
        if found is not None:
            return found
        bare = text.strip(_SPACES)
        if not bare or (bare.lower() == "nan" and not self._nan_is_text):
            return math.nan
        try:
            number = parse_number(bare)
        except ValueError:
            raise Refused(self._unknown(text)) from None
        return self.of_number(number) if self._takes_codes else self._refuse(text)

    def _refuse(self, text: str) -> float:
        raise Refused(self._unknown(text))

    def _of_listed(self, value: float, codes: dict[Any, float] | None = None) -> float:
        if value != value:
            return math.nan
        if type(value) is float and abs(value) >= (EXACT if codes is None else MOST_CODE):
            raise Refused(ROUNDED.format(show(value)))
        found = (self._codes if codes is None else codes).get(value)
        if found is None:
            raise Refused(f"{show(value)} is no category that the model knows")
        return found

    def _unknown(self, text: str) -> str:
        known = ", ".join(map(repr, self.categories[:10])) + (", ..." if len(self.categories) > 10 else "")
        return f"{text[:40]!r} is no category that the model knows ({known})"

    def _fits(self, number: float) -> bool:
        if self.kind is ValueKind.NUMBER:
            return True
        if self.kind is ValueKind.FLAG:
            return number in (0, 1)
        if self.kind is ValueKind.CATEGORY:
            return number.is_integer() and 0 <= number < (len(self.categories) or MOST_CODE)
        return math.isinf(number) or number.is_integer()

    def _misfit(self, value: float) -> str:
        if self.kind is not ValueKind.CATEGORY:
            return f"{show(value)} is not {self.kind.value}"
        most = f" to {len(self.categories) - 1}" if self.categories else ""
        return f"{show(value)} is no category's code; send a whole number from 0{most}"


def fitting(kind: ValueKind, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values, of any type and shape, fit a kind without a list. Integers are checked before values are rounded
    to the model's type; NaN is a missing value, and infinity is checked elsewhere."""
    wide = values.astype(np.float64, copy=False)
    if kind is ValueKind.FLAG:
        good = (wide == 0) | (wide == 1)
    else:
        good = wide == np.trunc(wide)
        if kind is ValueKind.CATEGORY:
            good &= (wide >= 0) & (wide < MOST_CODE)
    found: NDArray[np.bool_] = good | np.isnan(wide)
    return found


def kinds_of(columns: Sequence[ColumnType] | None) -> tuple[ColumnType, ...] | None:
    """None if all columns are plain numbers."""
    return tuple(columns) if columns and any(one.kind is not ValueKind.NUMBER for one in columns) else None


def parse_number(text: str) -> int | float:
    """Parse a number of a CSV: whole numbers exactly, however they are written, ASCII digits only, no 1_000. Raises
    ValueError."""
    bare = text.strip(_SPACES)
    if _WHOLE.fullmatch(bare):
        return int(bare)
    if "_" in bare or not bare.isascii():
        raise ValueError(text)
    number = float(bare)
    if abs(number) < EXACT or not math.isfinite(number):
        return number
    exact = Decimal(bare)
    return int(exact) if exact == exact.to_integral_value() else number


def to_float(number: float) -> float:
    """The nearest float; infinity if it is beyond."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def show(value: float) -> str:
    """Format a number for a message: integers with all digits, others with a few."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.9g}"
    return str(int(value))[:40]


def _reads_as_number(text: str) -> bool:
    try:
        return not math.isnan(parse_number(text))
    except ValueError:
        return False
