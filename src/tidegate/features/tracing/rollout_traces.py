"""Exports the traces of rollouts from the journal: each span at least once, and each time with the same ids.

What was exported is a line number in the database, written after the collector has taken the spans. So a controller
that ends, and a collector that is away for hours, lose nothing.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from tidegate.domain.errors import TidegateError
from tidegate.domain.spans import Span
from tidegate.features.tracing import journal_spans
from tidegate.features.tracing.journal_spans import JournalSpan
from tidegate.ports.clock import Clock
from tidegate.ports.store import JournalLine, Store, Tx
from tidegate.service.record_kinds import ALARM, CURSOR, ENDPOINT, Cursor
from tidegate.service.state_events import newest_line

log = logging.getLogger(__name__)

NAME = "rollout-traces"
"""Of the record with the line number."""
PATIENCE = 15.0
"""Seconds after a failure before it is tried again."""
MOST_LINES = 100
"""New lines that are looked at in one turn, and spans' worth of them in one export."""
PAGE = 500
MOST_OF_ONE = 20_000
"""Lines of one endpoint or alarm that are read; a rollout with more of them is shown without its end."""
MARGIN = timedelta(minutes=10)
"""Lines are looked for from this long before a rollout began, in case the clock was set."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""No rollout began before."""


@dataclass
class RolloutTraces:
    """``export``: whether the collector has taken the spans."""

    store: Store
    clock: Clock
    export: Callable[[Sequence[Span]], Awaitable[bool]]
    _seq: int | None = None
    """Lines up to this one are exported; None: not read yet."""
    _not_before: float = 0.0

    async def turn(self) -> None:
        """Export what has ended since the last time. Failures are logged, and it is tried again later."""
        if self.clock.now().timestamp() < self._not_before:
            return
        try:
            if self._seq is None:
                self._seq = await self.store.run(self._begin)
            spans, through = await self.store.read(partial(find_ended, after=self._seq))
            if through == self._seq:
                return
            if spans and not await self.export([one.span for one in spans]):
                self._not_before = self.clock.now().timestamp() + PATIENCE
                return
            if spans:
                await self.store.run(partial(self._keep, seq=through))
            self._seq = through
        except TidegateError as error:
            log.warning("the traces of rollouts wait: %s", error)
            self._not_before = self.clock.now().timestamp() + PATIENCE

    def _begin(self, tx: Tx) -> int:
        """The first time, rollouts are traced from now on."""
        saved = tx.get(CURSOR, NAME)
        if saved is not None:
            return saved.body.seq
        seq = newest_line(tx)
        self._keep(tx, seq)
        return seq

    def _keep(self, tx: Tx, seq: int) -> None:
        tx.put(CURSOR, NAME, Cursor(seq), expect=None, now=self.clock.now())


def find_ended(tx: Tx, after: int) -> tuple[list[JournalSpan], int]:
    """Spans that ended in the lines after this one, and the number of the last line that was looked at."""
    new = tx.journal(after=after, limit=MOST_LINES, bodies=False)
    if not new:
        return [], after
    through = new[-1].seq
    names = sorted({line.name for line in new if line.kind == ENDPOINT.name})
    found = list[JournalSpan]()
    for name in names:
        try:
            found += [one for one in _read_spans(tx, name, after, through) if after < one.line <= through]
        except TidegateError as error:  # its journal is damaged: it would be so the next time, too
            log.warning("what rollouts of %s did until line %d is not traced: %s", name, through, error)
    return sorted(found, key=lambda one: one.line), through


def _read_spans(tx: Tx, endpoint: str, after: int, through: int) -> list[JournalSpan]:
    """Spans of the rollouts of an endpoint that were in progress in these lines; they are read from their beginning.
    Most lines are of endpoints at rest that are scaled, for which nothing more is read."""
    before = tx.journal(kind=ENDPOINT.name, name=endpoint, after=after + 1, limit=1, newest_first=True)
    new = tx.journal(kind=ENDPOINT.name, name=endpoint, after=after, limit=MOST_LINES)
    around = [*before, *(line for line in new if line.seq <= through)]
    times = [time for line in around if (time := journal_spans.started_at(line.body)) is not None]
    if not times:
        return []
    since = max(EARLIEST, min(*times, *(line.at for line in around))) - MARGIN
    lines = _read(tx, ENDPOINT.name, endpoint, since)
    guards = {name for line in lines for name in journal_spans.guards_of(line.body)}
    for name in sorted(guards):
        lines += _read(tx, ALARM.name, name, since)
    return journal_spans.make_spans(sorted(lines, key=lambda line: line.seq))


def _read(tx: Tx, kind: str, name: str, since: datetime) -> list[JournalLine]:
    lines: list[JournalLine] = []
    while len(lines) < MOST_OF_ONE:
        page = tx.journal(kind=kind, name=name, since=since, after=lines[-1].seq if lines else 0, limit=PAGE)
        lines += page
        if len(page) < PAGE:
            break
    return lines
