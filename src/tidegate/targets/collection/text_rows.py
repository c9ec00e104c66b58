"""Measures of texts on a worker's stats page, read as what anybody may have written. Pure."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from tidegate.domain.text_answers import TextAnswer
from tidegate.domain.worker_stats import MOST_TEXTS

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
    if not isinstance(rows, list):
        return (), 1
    found = [_read(row, second) for row in rows[:MOST_TEXTS]]
    usable = tuple(one for one in found if one is not None)
    return usable, len(rows) - len(usable)


def _read(given: Any, second: int) -> TextAnswer | None:
    if not isinstance(given, Mapping):
        return None
    try:
        row = msgspec.convert(given, _Row)
    except msgspec.ValidationError:
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
