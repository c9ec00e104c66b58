"""How much memory a model takes: measured around its load, not declared.

Resident pages are too coarse for a model of 20 kB, and miss what fills pages that were resident already. So three
readings are taken: what malloc has handed out in all its arenas and mappings (exact to the byte), Python's own small
blocks, which malloc does not see, and the resident pages, which alone show what libraries map by themselves.
"""

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 64
"""Bytes that one of Python's small blocks takes on average."""
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
"""None where the C library is not glibc of 2.33 or later: then resident pages are all there is."""
if _mallinfo is not None:
    _mallinfo.restype = _Mallinfo
_trim = getattr(_libc, "malloc_trim", None)
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Reading:
    """Bytes."""

    used: int
    resident: int


def read() -> Reading:
    """Takes some 10 to 50 microseconds."""
    used = sys.getallocatedblocks() * _BLOCK
    if _mallinfo is not None:
        found = _mallinfo()
        used += found.uordblks + found.hblkhd
    return Reading(used, resident())


def resident() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE


def grown(before: Reading, after: Reading, least: int) -> int:
    """Bytes that came between; ``least``: what is known to be there in any case."""
    pages = after.resident - before.resident
    return max(least, after.used - before.used, pages if pages > _NOISE else 0)


def trim() -> None:
    """Gives free pages back to the machine. May take milliseconds: not on the event loop."""
    if _trim is not None:
        _trim(0)


def machine() -> int:
    """Bytes of memory of the whole machine."""
    return _PAGE * os.sysconf("SC_PHYS_PAGES")
