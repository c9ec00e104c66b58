"""Gives the memory that large requests took back to the system, once they are over.

Three parties would keep it: Python, whose collector counts objects and not bytes, so that a few cycles that hold
bodies of 25 MiB wait for hundreds of requests; glibc, whose heap shrinks at its end only, unless it is told to look
through the rest; and Arrow's own allocator, which keeps what a thread has freed.
"""

import ctypes
import gc
import os
from contextlib import suppress
from dataclasses import dataclass

LARGE = 1024 * 1024
"""Bytes of a request or an answer after which it is worth looking for memory to give back."""
QUIET = 1.0
"""Seconds without a large one after which memory is given back: while they come, the next one takes it over."""
LONGEST = 10.0
"""Seconds after which it is given back although they come."""


@dataclass
class Due:
    """When memory is to be given back. Times are of a monotonic clock."""

    _first: float = 0.0
    _last: float = 0.0

    def note(self, now: float) -> None:
        """A large request or answer passed through."""
        self._first = self._first or now
        self._last = now

    def take(self, now: float) -> bool:
        """Whether it is time. If so, the next ones count anew."""
        if not self._first or (now - self._last < QUIET and now - self._first < LONGEST):
            return False
        self._first = 0.0
        return True


def use_system_allocator() -> None:
    """Of Arrow: for the start of a process, since it looks when it is imported."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def give_back() -> None:
    """Takes some milliseconds. For a thread beside the event loop."""
    gc.collect()
    with suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
