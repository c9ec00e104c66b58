"""Tells the collector of this machine whether a worker's statistics page may have changed, without a question.

The file holds a number. It rises before the first thing is counted after the page was last read, so a collector that
finds the number it read before its last question knows all that there is.
"""

import os
from contextlib import suppress
from pathlib import Path

from tidegate.domain.worker_stats import ACTIVITY, encode_activity


class ActivityMark:
    """The file that marks activity, written at most once for each reading of the page."""

    def __init__(self, folder: Path | None) -> None:
        """``folder``: the replica's; None: nobody is told."""
        self._number = 0
        self.settled = True
        """All that was counted is on pages that were read."""
        self._path = None if folder is None else folder / ACTIVITY
        self._file = -1
        if self._path is not None:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                self._write()
            except OSError:
                self._give_up()

    def rise(self) -> None:
        """Raise the number, because something is about to be counted."""
        self.settled = False
        if self._file >= 0:
            self._number += 1
            try:
                self._write()
            except OSError:
                self._give_up()

    @property
    def number(self) -> int | None:
        """The number in the file; None: there is none that is true."""
        return self._number if self._file >= 0 else None

    def settle(self) -> None:
        """Record that all that was counted is on pages that were read."""
        self.settled = True

    def _write(self) -> None:
        data = encode_activity(self._number)
        if os.pwrite(self._file, data, 0) != len(data):
            raise OSError("the number was written in part")

    def _give_up(self) -> None:
        """Stop keeping the file; without it the collector asks each second. The file is truncated before it is
        removed, because one of the wrong length is ignored if it should stay. On a disk that accepts no changes, only
        the page shows that there is no valid number."""
        file, self._file = self._file, -1
        if file >= 0:
            with suppress(OSError):
                os.ftruncate(file, 0)
            with suppress(OSError):
                os.close(file)
        with suppress(OSError):
            if self._path is not None:
                self._path.unlink(missing_ok=True)
