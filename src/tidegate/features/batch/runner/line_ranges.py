"""Division of a local file of lines into batches, without reading the lines.

The worker reads its part itself (``serving/scoring/file_ranges.py``) and counts the records, so that the rows of such
a file never pass through the runner.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from tidegate.storage.files import check_tag, unreadable
from tidegate.transform.splitting import Oversized

BLOCK = 4096
"""Bytes that are searched at a time for the end of a line."""
MIN_SIZE = 192 * 1024
"""Bytes of the smallest batches, at the end of a file."""


class LineRange(NamedTuple):
    """A batch that lies in a local file, from one offset to another."""

    begin: int
    end: int


def range_size(left: int, aim: int, lanes: int) -> int:
    """Return the size of the next batch in bytes. ``left``: bytes of the file that are left. Batches shrink towards
    the end of the file, so that all workers finish at about the same time."""
    return min(aim, max(MIN_SIZE, left // (2 * lanes)))


def cut_ranges(path: str, tag: str, begin: int, aim: int, limit: int, lanes: int) -> Iterator[LineRange]:
    """Cut a file into ranges of whole lines, in order. No range is larger than ``limit`` bytes, and only one of a
    single line is larger than ``aim``. Raises ArtifactError for a file that cannot be read or was changed, Oversized
    for a line above the limit."""
    try:
        with open(path, "rb", buffering=0) as file:
            number, found = file.fileno(), os.fstat(file.fileno())
            check_tag(number, tag)
            while begin < found.st_size:
                end = _end(number, begin, found.st_size, range_size(found.st_size - begin, aim, lanes), limit)
                yield LineRange(begin, end)
                begin = end
    except OSError as error:
        raise unreadable(error) from None


def _end(file: int, begin: int, size: int, wanted: int, limit: int) -> int:
    if size - begin <= wanted:
        return size
    high = begin + wanted
    while high > begin:  # backward from the wanted size
        low = max(begin, high - BLOCK)
        at = os.pread(file, high - low, low).rfind(b"\n")
        if at >= 0:
            return low + at + 1
        high = low
    low = begin + wanted
    while low < min(size, begin + limit):  # one longer line
        at = os.pread(file, min(BLOCK, begin + limit - low), low).find(b"\n")
        if at >= 0:
            return low + at + 1
        low += BLOCK
    if size - begin <= limit:
        return size
    raise Oversized(limit)
