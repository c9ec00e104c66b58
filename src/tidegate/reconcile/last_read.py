"""What a loop has read of the records: read again once any record was written, whoever wrote it.

Each write appends a line to the journal in its own transaction, so the newest line says whether there was one. Loops
that look each second then read one line, and not every record.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from tidegate.ports.store import Tx

T = TypeVar("T")

MOST_TIMES = 60
"""How often what was read is used at most. A record that is removed leaves no trace once its lines were removed from
the journal, too; that is days later, unless the clock is set."""


class LastRead(Generic[T]):
    """``work`` reads records alone, and what it returns is not changed by anybody."""

    def __init__(self, work: Callable[[Tx], T]) -> None:
        self._work = work
        self._known: tuple[tuple[int, datetime], T] | None = None
        self._times = 0

    def read(self, tx: Tx) -> T:
        lines = tx.journal(limit=1, newest_first=True, bodies=False)
        if not lines:
            return self._work(tx)
        newest = lines[0].seq, lines[0].at  # a number may come again once old lines were removed
        self._times += 1
        if self._known is None or self._known[0] != newest or self._times > MOST_TIMES:
            self._known, self._times = (newest, self._work(tx)), 0
        return self._known[1]
