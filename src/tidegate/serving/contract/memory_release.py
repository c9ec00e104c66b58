"""Returns the memory of large requests to the system.

Three allocators would keep it: Python, whose collector counts objects and not bytes, so that a few cycles with bodies
of 25 MiB wait for hundreds of requests; glibc, whose heap shrinks only at its end unless it is trimmed; and Arrow,
which keeps what a thread has freed.
"""

import ctypes
import gc
import os
from contextlib import suppress
from dataclasses import dataclass

LARGE = 1024 * 1024
"""Bytes of a request or an answer from which on a release is worthwhile."""
QUIET = 1.0
"""Seconds without a large request before a release: until then the next one reuses the memory."""
LONGEST = 10.0
"""Seconds after which memory is released even while large requests arrive."""


@dataclass
class ReleaseSchedule:
    """Decides when to release memory. Times are of a monotonic clock."""

    _first: float = 0.0
    _last: float = 0.0

    def note(self, now: float) -> None:
        """Note a large request or answer."""
        self._first = self._first or now
        self._last = now

    def take(self, now: float) -> bool:
        """Whether to release memory now. If so, the schedule starts again."""
        if not self._first or (now - self._last < QUIET and now - self._first < LONGEST):
            return False
        self._first = 0.0
        return True


def use_system_allocator() -> None:
    """Make Arrow use the system's allocator. Call it before Arrow is imported."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def release_memory() -> None:
    """Collect garbage and trim the heap. Takes milliseconds, so run it in a thread."""
    gc.collect()
    with suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
