"""Profiles of the columns of many rows, in constant memory: counts, moments, a sample, categories. Pure."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

PREDICTION = "prediction"
"""Column of the answer, where that is one number."""
Value = float | str | None
"""A number, a text, or nothing."""
Row = Mapping[str, Value]
Draw = Callable[[int], int]
"""Draws a whole number from 0 to below the given one."""
SAMPLE = 4_096
"""Numbers of a column that are kept, drawn evenly from all."""
MOST_COLUMNS = 2_000
"""Columns of a table; further ones are left out, so that a client that makes up names costs no memory."""
CATEGORIES = 1_000
"""Different texts of a column that are counted; a column with more is no category."""


@dataclass
class ColumnProfile:
    missing: int = 0
    count: int = 0
    """Numbers."""
    texts: int = 0
    total: float = 0.0
    squares: float = 0.0
    """Sum of squared differences from the mean."""
    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    """All numbers are whole."""
    sample: list[float] = field(default_factory=list)
    categories: Counter[str] = field(default_factory=Counter)
    uncounted: bool = False
    """There are more different texts than are counted."""
    negatives: int = 0
    fractions: int = 0
    """Numbers below zero, and numbers that are not whole, as far as they were added here."""

    @property
    def present(self) -> int:
        return self.count + self.texts

    @property
    def completeness(self) -> float:
        rows = self.present + self.missing
        return self.present / rows if rows else 0.0

    @property
    def many(self) -> bool:
        """Texts are no categories: most of them are there once, as ids and hashes are."""
        return self.uncounted or len(self.categories) > self.texts / 2

    @property
    def numeric(self) -> bool:
        return self.count > 0 and self.texts == 0

    @property
    def kind(self) -> str:
        """SageMaker's word."""
        if self.numeric:
            return "Integral" if self.whole else "Fractional"
        return "String" if self.texts else "Unknown"

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def add(self, value: Value, draw: Draw) -> None:
        if value is None:
            self.missing += 1
        elif isinstance(value, str):
            self.texts += 1
            if value in self.categories or len(self.categories) < CATEGORIES:
                self.categories[value] += 1
            else:
                self.uncounted = True
        else:
            self._add_number(value, draw)

    def _add_number(self, value: float, draw: Draw) -> None:
        before = self.mean
        self.count += 1
        self.total += value
        self.squares += (value - before) * (value - self.mean)
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.negatives += value < 0
        self.fractions += value != int(value)
        self.whole = self.whole and value == int(value)
        if len(self.sample) < SAMPLE:
            self.sample.append(value)
        elif (place := draw(self.count)) < SAMPLE:
            self.sample[place] = value


def profile_of(values: Sequence[Value]) -> ColumnProfile:
    """The profile of values that are all here. They are in the order of chance, so that the first ones are a
    sample."""
    numbers = [value for value in values if isinstance(value, float)]
    texts = [value for value in values if isinstance(value, str)]
    made = ColumnProfile(missing=len(values) - len(numbers) - len(texts), count=len(numbers), texts=len(texts))
    if numbers:
        made.total = _add_up(numbers)
        made.squares = _add_up((value - made.mean) * (value - made.mean) for value in numbers)
        made.low, made.high = min(numbers), max(numbers)
        made.negatives = sum(value < 0 for value in numbers)
        made.fractions = sum(value != int(value) for value in numbers)
        made.whole = not made.fractions
        made.sample = numbers[:SAMPLE]
    counts = Counter(texts)
    made.uncounted = len(counts) > CATEGORIES
    made.categories = Counter(dict(counts.most_common(CATEGORIES)))
    return made


def _add_up(values: Iterable[float]) -> float:
    """Add up values; infinity where the sum is not a finite number."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


class TableProfile:
    """The columns of a table, in the order in which they were met."""

    def __init__(self, draw: Draw) -> None:
        self.rows = 0
        self.columns: dict[str, ColumnProfile] = {}
        self._draw = draw

    def add(self, row: Row) -> None:
        for name in row:
            if name not in self.columns and len(self.columns) < MOST_COLUMNS:
                self.columns[name] = ColumnProfile(missing=self.rows)
        self.rows += 1
        for name, column in self.columns.items():
            column.add(row.get(name), self._draw)
