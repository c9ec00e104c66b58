"""Measures of texts on a worker's stats page, read as what anybody may have written. Pure."""

import math
from typing import Annotated, Any

import msgspec

from tidegate.domain.text_answers import TextAnswer
from tidegate.domain.worker_stats import MOST_TEXTS
from tidegate.targets.collection.sampled_rows import convert_row, read_rows

MOST_TOKENS = 10**9
LONGEST = 86_400 * 10**6
"""Microseconds that an answer may have taken."""
FASTEST = 1e9
"""Tokens per second."""

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class _Row(msgspec.Struct):
    began: int
    tokens: Tokens
    given: Tokens | None
    first: Annotated[int, msgspec.Meta(ge=0, le=LONGEST)]
    speed: Annotated[float, msgspec.Meta(ge=0, le=FASTEST)] | None
    refusal: bool
    repeated: bool
    empty: bool
    phrases: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


def read_texts(rows: object, second: int) -> tuple[tuple[TextAnswer, ...], int]:
    """The texts that ended in a second, and how many rows were none."""
    return read_rows(rows, MOST_TEXTS, lambda row: _read(row, second))


def _read(given: Any, second: int) -> TextAnswer | None:
    row = convert_row(given, _Row)
    if row is None:
        return None
    end = (second + 1) * 10**6
    if not end - LONGEST <= row.began < end or not math.isfinite(row.speed or 0):
        return None
    return TextAnswer(
        began=row.began,
        tokens=row.tokens,
        given=row.given,
        first=float(row.first),
        speed=row.speed,
        refusal=row.refusal,
        repeated=row.repeated,
        empty=row.empty,
        phrases=row.phrases,
    )
