"""The system's own time and identity."""

import secrets
import time
from datetime import UTC, datetime

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no letter that reads as a digit, and its order is its value."""


_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_SHIFTS = range(120, -1, -10)


class SystemClock:
    """The present by the system's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class RandomIds:
    """``kind-`` and 26 digits: milliseconds since the epoch (10), then 80 random bits (16). Sorts by time."""

    def new(self, kind: str) -> str:
        milliseconds = time.time_ns() // 1_000_000
        return f"{kind}-{_digits(milliseconds << 80 | secrets.randbits(80))}"


def _digits(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
