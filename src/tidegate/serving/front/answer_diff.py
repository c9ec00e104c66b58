"""Compares two answers to one request. Pure.

JSON and CSV are compared by content: equal text in the same places, and numbers within the rounding of single
precision. Everything else is compared byte by byte.
"""

import math
import sys
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from tidegate.domain.decoding import prepare_type

RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""Numbers this close are equal: the last digits of single precision."""
LARGEST = 64 * 1024
"""Bytes of an answer above which only the bytes are compared: parsing more would delay other requests."""


class AnswerDiff(NamedTuple):
    """``mean`` and ``largest`` are absolute differences of the numbers; None if there are none."""

    agrees: bool
    mean: float | None = None
    largest: float | None = None


def compare(one: bytes, other: bytes, one_type: str, other_type: str) -> AnswerDiff:
    """Compare two answers, given with their content types."""
    if max(len(one), len(other)) > LARGEST:
        return AnswerDiff(one == other)
    if one == other and one_type == other_type:  # most often; what is equal need not be read twice
        numbers = _predictions(one, one_type)
        numbers = _read(one, one_type)[1] if numbers is None else numbers
        return AnswerDiff(True, 0.0, 0.0) if numbers else AnswerDiff(True)
    plain = _predictions(one, one_type), _predictions(other, other_type)
    if plain[0] is not None and plain[1] is not None:
        numbers, other_numbers = plain[0], plain[1]
    else:
        (words, numbers), (other_words, other_numbers) = _read(one, one_type), _read(other, other_type)
        if words != other_words:
            return AnswerDiff(False)
    if len(numbers) != len(other_numbers):
        return AnswerDiff(False)
    if not numbers:
        return AnswerDiff(True)
    apart = [_measure_difference(a, b) for a, b in zip(numbers, other_numbers, strict=True)]
    same = all(map(_near, apart, numbers, other_numbers))
    known = [d for d in apart if math.isfinite(d)]
    if not known:
        return AnswerDiff(same)
    # Halved: the sum of the differences, and even that of their equal parts when it is rounded, need not be a number.
    mean = 2 * math.fsum(d / 2 / len(known) for d in known)
    return AnswerDiff(same, min(mean, max(known)), max(known))


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    predictions: list[float]


_decode = msgspec.json.Decoder(prepare_type(_Plain)).decode


def _predictions(body: bytes, content_type: str) -> list[float] | None:
    """The numbers of an answer of the usual form; None for any other."""
    if content_type != "application/json":
        return None
    try:
        return _decode(body).predictions
    except msgspec.DecodeError:
        return None


def _measure_difference(a: float, b: float) -> float:
    """Absolute difference, the largest float at most; infinite if only one of them is finite, or neither is and they
    differ."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return min(abs(a - b), sys.float_info.max) if math.isfinite(a) and math.isfinite(b) else math.inf


def _near(apart: float, a: float, b: float) -> bool:
    return apart == 0 or (math.isfinite(apart) and apart <= ABSOLUTE + RELATIVE * max(abs(a), abs(b)))


def _read(body: bytes, content_type: str) -> tuple[list[object], list[float]]:
    """The content without its numbers, and the numbers in order."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind.endswith("json"):
            words: list[object] = []
            return words, list(_numbers(msgspec.json.decode(body), words))
        if kind == "text/csv":
            return _fields(body.decode())
    except (ValueError, OverflowError, RecursionError):  # not of its content type
        pass
    return [body], []


def _numbers(data: object, words: list[object]) -> Iterator[float]:
    if isinstance(data, dict):
        for key in sorted(data):
            words.append(("key", key))
            yield from _numbers(data[key], words)
    elif isinstance(data, list):
        words.append(("list", len(data)))
        for each in data:
            yield from _numbers(each, words)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        words.append("number")
        yield float(data)
    else:
        words.append(("text", data))


def _fields(text: str) -> tuple[list[object], list[float]]:
    words: list[object] = []
    numbers: list[float] = []
    for line in text.split():
        fields = line.split(",")
        words.append(len(fields))
        for number, field in enumerate(fields):
            try:
                numbers.append(float(field))
            except ValueError:
                words.append((number, field))
    return words, numbers
