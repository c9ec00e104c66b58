"""Reads of the loops: what alarms are judged by, and cached records, which are read again once any record was
written, by any process.

Each write appends a line to the journal in its own transaction, so the newest line says whether there was one. Loops
that look each second then read one line, and not every record.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Generic, TypeVar

from tidegate.domain.metric import Sample
from tidegate.monitoring.alarm_data import Data, SampleQuery
from tidegate.monitoring.samples import newest_unit
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store, Tx

T = TypeVar("T")

MOST_TIMES = 60
"""How often what was read is used at most. A record that is removed leaves no trace once its lines were removed from
the journal, too; that is days later, unless the clock is set."""


class ReadCache(Generic[T]):
    """``work`` reads records alone, and what it returns is not changed by anybody."""

    def __init__(self, work: Callable[[Tx], T]) -> None:
        self._work = work
        self._known: tuple[tuple[int, datetime], T] | None = None
        self._times = 0

    async def get(self, store: Store) -> T:
        """Return what a new read would return. Start a transaction only if a record was written, or after
        ``MOST_TIMES`` calls without one. Raises Unavailable."""
        newest = await store.newest()
        if self._known is not None and self._known[0] == newest and self._times < MOST_TIMES:
            self._times += 1
            return self._known[1]
        newest, found = await store.run(self._read)
        self._known, self._times = None if newest is None else (newest, found), 0
        return found

    def _read(self, tx: Tx) -> tuple[tuple[int, datetime] | None, T]:
        lines = tx.journal(limit=1, newest_first=True, bodies=False)
        # A number may come again once old lines were removed.
        return (lines[0].seq, lines[0].at) if lines else None, self._work(tx)


# --- reads what alarms are judged by ---


async def read_all(metrics: Metrics, needed: Iterable[SampleQuery]) -> Data:
    """Read data of equal spans at one moment, since metric math divides one metric by another; the others one after
    the other, as an alarm's patience is for all of them. Raises Unavailable."""
    by_spans: dict[range, list[SampleQuery]] = {}
    for one in needed:
        by_spans.setdefault(one.spans, []).append(one)
    found: dict[SampleQuery, Mapping[int, Sample]] = {}
    for spans, several in by_spans.items():
        wanted = [one.metric for one in several]
        read = await metrics.read_units(wanted, spans.start, spans.stop, spans.step)
        for one, units in zip(several, read, strict=True):
            found[one] = newest_unit(units) if one.unit is None else units.get(one.unit, {})
    return found
