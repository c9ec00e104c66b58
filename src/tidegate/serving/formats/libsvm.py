"""Rows in libsvm's sparse text: ``[label] index:value index:value ...`` per line. Absent features are missing.

Two index bases are in use. libsvm counts features from 1, and so does AWS's current XGBoost container for a body
without an index 0. XGBoost's text reader uses indices unchanged: a model that was trained on a file with base 1 has a
first column that no tree uses. So a line is ambiguous. The model decides the base, never the rest of a request, and
what remains ambiguous is rejected (``IndexBase``).
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from tidegate.domain.errors import Invalid
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.row_decoder import Features, Matrix
from tidegate.transform.csv_lines import LONE_RETURN, split_lines

TYPES = ("text/libsvm", "text/x-libsvm")
BASE = "LIBSVM_INDEX_BASE"
"""Variable of a model's environment: the index base, 0 or 1."""
MOST_CELLS = 16 * 1024 * 1024
"""Most cells of a request's table, absent ones included: a few bytes of sparse text may expand to many."""
_PLAIN = re.compile(rb"(?:[-+.0-9eE]++(?: |\Z))?(?:[0-9]{1,10}+:[-+.0-9eE]++(?: |\Z))++")


class _Row(NamedTuple):
    indices: list[int]
    """Each index once."""
    values: list[float]


class IndexBase:
    """The index base of one model's requests."""

    def __init__(self, environment: Mapping[str, str], count: int, first_used: Callable[[], bool]) -> None:
        """``count``: the model's features; ``first_used``: whether it uses its first feature. Raises Invalid."""
        declared = environment.get(BASE, "")
        if declared not in ("", "0", "1"):
            raise Invalid(f"{BASE} must be 0 or 1, not {declared!r}")
        self._declared = int(declared) if declared else None
        self._count = count
        self._first_used = first_used
        self._sure: bool | None = None

    def of(self, lowest: int, highest: int) -> int:
        """The base for a request with these lowest and highest indices. Raises ModelFailed (400) if it is
        ambiguous."""
        if self._declared is not None:
            return self._declared
        if self._sure is None:
            self._sure = self._count > 1 and self._first_used()
        if self._sure:
            return 1
        if lowest == 0 or highest >= self._count:
            return int(lowest > 0)
        raise ModelFailed(
            400,
            "The model never looks at its first feature, as one does that XGBoost trained on a libsvm file whose"
            f" indices count from 1: index {lowest} may be its feature {lowest} or {lowest + 1}. Say what"
            f" indices count from by {BASE} in the model's environment: 0 for a model of such a file,"
            " else 1.",
        )


def read(body: bytes, features: Features, base: IndexBase) -> Matrix:
    """Raises ModelFailed (400)."""
    lines = split_lines(body)
    if not lines:
        raise ModelFailed(400, "The request has no rows.")
    if len(lines) * features.count > MOST_CELLS:
        raise ModelFailed(
            400, f"{len(lines)} rows of {features.count} features are too large a table; send fewer."
        )
    found = [_parse_plain(line) or _pairs(number, line) for number, line in enumerate(lines)]
    begins = base.of(
        min((min(row.indices) for row in found if row.indices), default=1),
        max((max(row.indices) for row in found if row.indices), default=1),
    )
    rows = np.full((len(lines), features.count), np.nan)
    for number, row in enumerate(found):
        if not row.indices:
            continue
        lowest, highest = min(row.indices), max(row.indices)
        if lowest < begins or highest >= features.count + begins:
            raise _beyond(number, lowest if lowest < begins else highest, features.count, begins)
        rows[number, [index - begins for index in row.indices] if begins else row.indices] = row.values
    return features.take(rows)


def _parse_plain(line: bytes) -> _Row | None:
    """Parse an ordinary line; None if ``_pairs`` is needed."""
    if not _PLAIN.fullmatch(line):
        return None
    fields = line.replace(b":", b" ").split()
    try:
        if len(fields) % 2:
            float(fields.pop(0))
        row = _Row(list(map(int, fields[::2])), list(map(float, fields[1::2])))
    except ValueError:
        return None
    return row if len(set(row.indices)) == len(row.indices) else None


def _pairs(number: int, line: bytes) -> _Row:
    if b"\r" in line:
        raise _bad(number, LONE_RETURN)
    tokens = [token for token in line.partition(b"#")[0].replace(b"\t", b" ").split(b" ") if token]
    if not tokens:
        raise _bad(number, "the line is empty; a row without features is a label alone")
    if b":" not in tokens[0]:
        _number(number, tokens.pop(0), "label")
    found: dict[int, float] = {}
    for token in tokens:
        index, colon, value = token.partition(b":")
        if not colon or not index.isdigit() or len(index) > 10:
            raise _bad(number, f"{_display(token)} is not index:value")
        if int(index) in found:
            raise _bad(number, f"index {int(index)} is given twice")
        found[int(index)] = _number(number, value, f"index {int(index)}")
    return _Row(list(found), list(found.values()))


def _number(number: int, text: bytes, what: str) -> float:
    try:
        value = float(text.replace(b"_", b"?"))
    except ValueError:
        raise _bad(number, f"{what}: {_display(text)} is not a number") from None
    if math.isinf(value):
        raise _bad(number, f"{what}: the value is infinite")
    return value


def _beyond(number: int, index: int, count: int, base: int) -> ModelFailed:
    if index < base:
        reason = (
            f"index 0, where indices count from 1; if yours count from 0, set {BASE}=0 in the model's environment"
        )
    else:
        reason = f"index {index} is beyond the model's {count} features, counted from {base}"
    return _bad(number, reason)


def _bad(number: int, reason: str) -> ModelFailed:
    return ModelFailed(400, f"Row {number + 1}: {reason}.")


def _display(text: bytes) -> str:
    return repr(text[:40].decode("utf-8", "replace"))
