"""Where the batches of a local file of lines begin and end, without reading what lies between.

The worker reads its part itself (``byreference``) and says how many records it found there, so that the rows of such
a file never pass through the runner.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from tidegate.domain.errors import ArtifactError
from tidegate.serving.scoring.file_ranges import tag_of
from tidegate.transform.splitting import Oversized

LOOK = 4096
"""Bytes that are looked through at a time for the end of a line."""
LEAST = 192 * 1024
"""Bytes of the batches at the end of a file; see ``aimed``."""


class Piece(NamedTuple):
    """A batch that lies in a local file, from one offset to another."""

    begin: int
    end: int


def aimed(left: int, aim: int, lanes: int) -> int:
    """Bytes of the next batch. Towards the end batches become smaller, so that those who compute them are done at
    about the same time: the last one to begin has the least to do."""
    return min(aim, max(LEAST, left // (2 * lanes)))


def pieces(path: str, tag: str, begin: int, aim: int, limit: int, lanes: int) -> Iterator[Piece]:
    """Whole lines, in order. No piece is larger than ``limit`` bytes, and only one of a single line larger than
    ``aim``. Raises ArtifactError for a file that cannot be read or was changed, Oversized for a line above the
    limit."""
    try:
        with open(path, "rb", buffering=0) as file:
            number, found = file.fileno(), os.fstat(file.fileno())
            if tag_of(found) != tag:
                raise ArtifactError("the file was changed meanwhile")
            while begin < found.st_size:
                end = _end(number, begin, found.st_size, aimed(found.st_size - begin, aim, lanes), limit)
                yield Piece(begin, end)
                begin = end
    except OSError as error:
        raise ArtifactError(f"it cannot be read: {error.strerror}") from None


def _end(file: int, begin: int, size: int, wanted: int, limit: int) -> int:
    if size - begin <= wanted:
        return size
    high = begin + wanted
    while high > begin:  # back from what is wanted
        low = max(begin, high - LOOK)
        at = os.pread(file, high - low, low).rfind(b"\n")
        if at >= 0:
            return low + at + 1
        high = low
    low = begin + wanted
    while low < min(size, begin + limit):  # one line that is longer
        at = os.pread(file, min(LOOK, begin + limit - low), low).find(b"\n")
        if at >= 0:
            return low + at + 1
        low += LOOK
    if size - begin <= limit:
        return size
    raise Oversized(limit)
