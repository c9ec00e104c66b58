"""All records of a kind, read whole once and then followed.

Loops and pages want all of them every second or at every look, while few have changed. Each write appends a line to
the journal in its own transaction, so the lines since the last read name what to read again, whoever wrote it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Generic, TypeVar

from tidegate.ports.store import Kind, Saved, Tx

T = TypeVar("T")

MOST_READS = 60
"""After so many the versions of all are compared: a record that is removed leaves no trace once its lines were
removed from the journal, too, which happens at once where the clock was set by days."""
MOST_LINES = 500
"""Lines since the last read up to which the records are followed; after more of them all are read."""


class FollowedRecords(Generic[T]):
    def __init__(self, kind: Kind[T]) -> None:
        self._kind = kind
        self._line: tuple[int, datetime] | None = None
        """The newest line of the journal when the records were read."""
        self._known: Mapping[str, Saved[T]] = {}
        self._reads = 0

    def read(self, tx: Tx) -> Mapping[str, Saved[T]]:
        """By their names. The mapping that is returned is never changed. Raises what reading one of them raises, and
        then reads again the next time."""
        newest = tx.journal(limit=1, newest_first=True, bodies=False)
        line = (newest[0].seq, newest[0].at) if newest else None
        if line is None or line != self._line:
            changed = self._find_changed(tx)
            self._known = self._read_all(tx) if changed is None else self._read_again(tx, changed)
            self._line = line
        self._reads += 1
        if self._reads > MOST_READS:
            self._known, self._reads = self._read_again(tx, self._find_missed(tx)), 0
        return self._known

    def _find_missed(self, tx: Tx) -> set[str]:
        there = tx.versions(self._kind)
        known = {name: saved.version for name, saved in self._known.items()}
        return {name for name in there.keys() | known.keys() if there.get(name) != known.get(name)}

    def _find_changed(self, tx: Tx) -> set[str] | None:
        """Names of the records that were written since; None: not known. The line of the last read must still be
        there: an older backup may have been restored meanwhile, in which the same numbers are of other writes."""
        if self._line is None:
            return None
        same = tx.journal(after=self._line[0] - 1, limit=1, bodies=False)
        if not same or (same[0].seq, same[0].at) != self._line:
            return None
        lines = tx.journal(kind=self._kind.name, after=self._line[0], limit=MOST_LINES + 1, bodies=False)
        return {line.name for line in lines} if len(lines) <= MOST_LINES else None

    def _read_all(self, tx: Tx) -> dict[str, Saved[T]]:
        return {saved.name: saved for saved in tx.find(self._kind).items}

    def _read_again(self, tx: Tx, names: set[str]) -> Mapping[str, Saved[T]]:
        if not names:
            return self._known
        found = {name: tx.get(self._kind, name) for name in names}
        left = {name: saved for name, saved in self._known.items() if name not in found}
        return left | {name: saved for name, saved in found.items() if saved is not None}
