"""Measures the memory of a model, from readings before and after its load.

Resident pages are too coarse for a model of 20 kB, and do not count allocations in pages that were resident already.
So a reading has three parts: what malloc has allocated in all arenas and mappings (exact to the byte), Python's small
blocks, which malloc does not see, and resident pages, which include what libraries map themselves.
"""

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 64
"""Average bytes of one of Python's small blocks."""
_NOISE = 1 << 20
"""Resident growth below this may be other work of the process."""


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


_libc = ctypes.CDLL(None)
_mallinfo = getattr(_libc, "mallinfo2", None)
"""None unless the C library is glibc 2.33 or later; only resident pages are known then."""
if _mallinfo is not None:
    _mallinfo.restype = _Mallinfo
_trim = getattr(_libc, "malloc_trim", None)
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class MemoryReading:
    """One reading, in bytes."""

    used: int
    resident: int


def read() -> MemoryReading:
    """Takes some 10 to 50 microseconds."""
    used = sys.getallocatedblocks() * _BLOCK
    if _mallinfo is not None:
        found = _mallinfo()
        used += found.uordblks + found.hblkhd
    return MemoryReading(used, resident())


def resident() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE


def grown(before: MemoryReading, after: MemoryReading, least: int) -> int:
    """Bytes allocated between two readings, at least ``least``."""
    pages = after.resident - before.resident
    return max(least, after.used - before.used, pages if pages > _NOISE else 0)


def trim() -> None:
    """Release free pages to the system. May take milliseconds: not on the event loop."""
    if _trim is not None:
        _trim(0)


def machine() -> int:
    """Bytes of memory of the machine."""
    return _PAGE * os.sysconf("SC_PHYS_PAGES")
