"""The file in which a worker says whether its statistics may have changed (``serving/front/activity_mark.py``)."""

import contextlib
import os
from typing import ClassVar

from tidegate.domain.worker_stats import decode_activity

MOST_OPEN = 100
"""Files that are kept open: a process may often have no more than 1,024. Others are opened for each look."""
LONGEST = 64
"""Bytes that are read: more than a whole one has."""


class ActivityFile:
    """Read each second. It is kept open, as its worker keeps it, so that what is read is what the worker writes, even
    if somebody removes it or puts another one in its place."""

    _open: ClassVar[int] = 0
    """How many are kept."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1

    def read(self) -> int | None:
        """The number that is raised before anything is counted; None if there is none to read."""
        if self._file >= 0:
            found = self._look(self._file)
            if found is None:
                self.close()  # its worker gave it up, or has yet to write it
            return found
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # whatever lies there
        except OSError:
            return None
        found = self._look(file)
        if found is None or ActivityFile._open >= MOST_OPEN:
            os.close(file)
        else:
            self._file = file
            ActivityFile._open += 1
        return found

    def close(self) -> None:
        """It may be read again."""
        file, self._file = self._file, -1
        if file >= 0:
            ActivityFile._open -= 1
            with contextlib.suppress(OSError):
                os.close(file)

    @staticmethod
    def _look(file: int) -> int | None:
        try:
            return decode_activity(os.pread(file, LONGEST, 0))
        except OSError:
            return None
