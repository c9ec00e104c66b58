"""Tables as people have them: columns of several types, names and categories that are easily misread, gaps, sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

NUMBER, WHOLE, TRUTH, TEXT, LISTED = "number", "whole", "truth", "text", "listed"
NAMES = ("pay", "land", "Größe", "a b", "x,y", 'in"quotes', "instances", "data", "nan", "1st", "-", "é", "e\u0301")
NUMBERED = tuple(str(number) for number in range(16))
PLAIN_NAMES = ("pay", "land", "age", "hours", "b2", "grade", "x_1", "x_2", "nan", "1st")
TEXTS: tuple[str, ...] = (
    "1",
    "2",
    "10",
    "01",
    "nan",
    "NaN",
    "None",
    "NA",
    "null",
    "true",
    "inf",
    "1e5",
    "-0",
    "",
    " ",
    " x",
    "x",
    "x ",
)
TEXTS += ("a,b", 'say "x"', '"', ",", "tab\there", "v\x0bt", "f\x0cf", "g\x1ds", "DE", "FR", "de", "0", "3")
BEYOND_ASCII = ("é", "e\u0301", "日本", "\u2028line", "next\x85line", "ß", "ﬁ", "\ufeffbom", "𝄞")
NUMBERS = (0, 1, 2, 3, 10, 20, 30, -1, 2**24, 2**24 + 1, 2**24 + 2, 2**53, 2**53 + 1, 2**60 + 1)
SIZES = (1e-30, 1e-3, 1.0, 100.0, 1e6, 1.7e9, 1e15)


@dataclass(frozen=True)
class Field:
    """A column. ``categories``: of TEXT (texts) and LISTED (numbers); ``size``: of numbers; ``gaps``: some values
    are missing."""

    name: str
    kind: str = NUMBER
    categories: tuple[Any, ...] = ()
    size: float = 1.0
    gaps: bool = False

    def values(self, rows: int, random: np.random.Generator) -> Any:
        if self.kind in (TEXT, LISTED):
            codes = random.integers(0, len(self.categories), rows)
            codes[: len(self.categories)] = np.arange(len(self.categories))[:rows]
            if self.gaps:
                codes[random.random(rows) < 0.1] = -1
            index = pd.Index(self.categories, dtype=object if self.kind == TEXT else np.int64)
            return pd.Categorical.from_codes(codes, categories=index)
        if self.kind == TRUTH:
            return random.random(rows) < 0.5
        found = self.size * (random.normal(size=rows) + random.integers(-3, 4))
        if self.kind == WHOLE:
            return found.astype(np.int64)
        if self.gaps:
            found[random.random(rows) < 0.1] = np.nan
        return found


def fields(
    random: np.random.Generator, kinds: Sequence[str], names: Sequence[str], texts: Sequence[str]
) -> list[Field]:
    """One to seven columns."""
    several = list(random.permutation(len(names))[: random.integers(1, 8)])
    found = []
    for at in several:
        kind = str(random.choice(kinds))
        pool: Sequence[Any] = texts if kind == TEXT else NUMBERS
        some = random.permutation(len(pool))[: random.integers(2, 7)]
        categories = tuple(pool[one] for one in some) if kind in (TEXT, LISTED) else ()
        size = float(random.choice(SIZES[:-1] if kind == WHOLE else SIZES))
        # An empty field is the category of that name, so nothing else can be missing beside it.
        gaps = bool(random.random() < 0.5) and kind in (NUMBER, TEXT, LISTED) and "" not in categories
        found.append(Field(names[at], kind, categories, max(size, 1.0) if kind == WHOLE else size, gaps))
    if names is NUMBERED:
        found = [replace(field, name=str(number)) for number, field in enumerate(found)]
    return found


def frame(columns: Sequence[Field], rows: int, random: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({field.name: field.values(rows, random) for field in columns})
