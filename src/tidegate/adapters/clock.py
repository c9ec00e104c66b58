"""The system's own time and identity."""

import secrets
import time
from datetime import UTC, datetime

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no letter that reads as a digit, and its order is its value."""


class SystemClock:
    """The present by the system's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class RandomIds:
    """``kind-`` and 26 digits: milliseconds since the epoch (10), then 80 random bits (16). Sorts by time."""

    def new(self, kind: str) -> str:
        milliseconds = time.time_ns() // 1_000_000
        return f"{kind}-{_digits(milliseconds, 10)}{_digits(secrets.randbits(80), 16)}"


def _digits(number: int, length: int) -> str:
    return "".join(_DIGITS[number >> (5 * place) & 31] for place in reversed(range(length)))
