"""The system's own time and identity."""

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

from tidegate.domain.endpoint import ClockMark

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no letter that reads as a digit, and its order is its value."""


_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_SHIFTS = range(120, -1, -10)


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MAX_READING_GAP = 0.02
"""Seconds that readings of two clocks may lie apart to be taken for one moment; a process may be stopped between."""
TRIES = 50


class SystemClock:
    """The present by the system's clock."""

    def __init__(self) -> None:
        try:
            self._boot = BOOT_ID.read_text().strip()
        except OSError:
            self._boot = ""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def read(self) -> tuple[datetime, ClockMark]:
        """The present, and how far the wall clock is ahead of the monotonic one just then."""
        for _ in range(TRIES):
            before = time.monotonic()
            now = datetime.now(UTC)
            after = time.monotonic()
            if after - before <= MAX_READING_GAP:
                break
        return now, ClockMark(self._boot, now.timestamp() - (before + after) / 2)


class RandomIds:
    """``kind-`` and 26 digits: milliseconds since the epoch (10), then 80 random bits (16). Sorts by time."""

    def new(self, kind: str) -> str:
        milliseconds = time.time_ns() // 1_000_000
        return f"{kind}-{_digits(milliseconds << 80 | secrets.randbits(80))}"


def _digits(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
