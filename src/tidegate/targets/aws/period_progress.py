"""How far CloudWatch's periods, as a rule minutes, were counted for each endpoint, and what of them was passed on."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import CollectionRound, Coverage, FleetPeriod, FleetSecond, Latency
from tidegate.targets.aws.client import Calls
from tidegate.targets.aws.metric_data import MetricQuery, find_unread, read_points
from tidegate.targets.aws.period_counts import MINUTE, PeriodCounts, spread

log = logging.getLogger(__name__)

PeriodValues = Mapping[MetricQuery, Mapping[int, float]]
"""Values of each query by the start of their period."""
Count = Callable[[FleetId, int, PeriodValues], Iterable[FleetSecond]]
"""Fleet and the start of a period -> what it adds."""

ASK_EVERY = 10
"""Seconds between questions: GetMetricData is charged."""
AGAIN = 3
"""Complete periods that are read again, for what arrives later than it should."""
MOST = 60
"""Complete periods that are read of an endpoint that could not be read for a while; older ones are not known."""


@dataclass
class _CompletePeriods:
    """The counts by which versions are compared: each complete period once, and then only its growth."""

    _counted: dict[tuple[FleetId, int], PeriodCounts] = field(default_factory=dict)

    def add(self, id: FleetId, start: int, period: int, counts: PeriodCounts) -> list[FleetPeriod]:
        before = self._counted.get((id, start))
        new = counts.growth(before or PeriodCounts())
        self._counted[id, start] = new.plus(before or PeriodCounts())
        if before is not None and new == PeriodCounts():
            return []
        return [FleetPeriod(id, start, period, new.requests, min(new.requests, new.errors))]

    def forget(self, before: int) -> None:
        self._counted = {key: counts for key, counts in self._counted.items() if key[1] >= before}


@dataclass
class PeriodProgress:
    """Times are epoch seconds. ``settle``: after the end of a period, until it is complete; ``period``: its
    seconds."""

    settle: int
    period: int = MINUTE
    early: bool = True
    """Count a period before it is complete, too. Errors are seen sooner then, and a later process counts what an
    earlier one had counted of the period in which it ended."""
    _since: dict[str, int] = field(default_factory=dict)
    """Endpoint -> the first period that is counted."""
    _through: dict[str, int] = field(default_factory=dict)
    """Endpoint -> up to when everything is counted."""
    _passed_on: dict[tuple[FleetId, int], PeriodCounts] = field(default_factory=dict)
    _finished: _CompletePeriods = field(default_factory=_CompletePeriods)
    _reports: dict[str, list[FleetPeriod]] = field(default_factory=dict)
    _unread: dict[str, str] = field(default_factory=dict)
    """Endpoints that cannot be read now, and why; logged once."""
    _asked_at: int = 0
    _complete: int = 0

    async def collect(
        self, calls: Calls, queries: Mapping[FleetId, Sequence[MetricQuery]], now: int, count: Count
    ) -> CollectionRound:
        """Read what is due of each fleet by its queries, and ``count`` each of its periods by ``add``. What cannot be
        read of one endpoint leaves the others known. Raises Transient if that is so of all, and TargetRefused."""
        span = self.begin({id.endpoint for id in queries}, now)
        if span is None:
            return CollectionRound([], self.coverage(), self.periods())
        asked = [query for mine in queries.values() for query in mine]
        points = await read_points(calls, asked, *span, self.period)
        unread = find_unread(points, ((id.endpoint, mine) for id, mine in queries.items()))
        seconds = [
            second
            for id in queries
            if id.endpoint not in unread
            for start in range(self.first(id.endpoint), span[1], self.period)
            for second in count(id, start, points.values)
        ]
        self.end(now, unread)
        return CollectionRound(seconds, self.coverage(), self.periods())

    def begin(self, endpoints: set[str], now: int) -> tuple[int, int] | None:
        """Begin a round, and return the span of periods to read now. None: nothing is due."""
        if now < self._asked_at - ASK_EVERY:
            self._begin_anew()
        for name in self._since.keys() - endpoints:
            del self._since[name]
            self._through.pop(name, None)
        self._reports = {}
        self._passed_on = {key: counts for key, counts in self._passed_on.items() if key[0].endpoint in endpoints}
        self._complete = (now - self.settle) // self.period * self.period
        present = now // self.period * self.period if self.early else self._complete
        for name in endpoints:
            self._since.setdefault(name, present)
        if not endpoints or now - self._asked_at < min(ASK_EVERY, self.period):
            return None
        earliest = self._complete - MOST * self.period
        for name in endpoints:
            if self._through.get(name, self._since[name]) < earliest:
                self._since[name] = self._through[name] = earliest
        first = min(self.first(name) for name in endpoints)
        until = present + self.period if self.early else present
        return (first, until) if first < until else None

    def _begin_anew(self) -> None:
        """Start over after the clock was set back. Counts up to a time that is still to come would otherwise pass for
        all that happens until then, and nothing of it would be read."""
        self._since, self._through, self._passed_on, self._asked_at = {}, {}, {}, 0
        self._finished = _CompletePeriods()

    def first(self, endpoint: str) -> int:
        """Return the first period to read: one that is not complete yet, or has been complete for so short a time
        that it may grow."""
        since = self._since[endpoint]
        return max(since, self._through.get(endpoint, since) - AGAIN * self.period)

    def add(
        self,
        id: FleetId,
        config: str,
        start: int,
        counts: PeriodCounts,
        latencies: Mapping[str, Latency | None],
        ready: int = 1,
    ) -> Iterator[FleetSecond]:
        """Yield the counts of a period that were not passed on yet, and its latencies once it is complete.
        ``latencies``: member of ``FleetSecond`` -> its value. ``ready``: instances. Growth of a complete period is
        passed on as of the newest one: alarms have judged its own period already, and do not read it again."""
        before = self._passed_on.get((id, start), PeriodCounts())
        new = counts.growth(before)
        known = self._through.get(id.endpoint, self._since[id.endpoint])
        yield from spread(
            id, config, start if start >= known else self._complete - self.period, new, ready, self.period
        )
        self._passed_on[id, start] = before.plus(new)
        if start + self.period > self._complete:
            return
        self._reports.setdefault(id.endpoint, []).extend(self._finished.add(id, start, self.period, counts))
        measured: dict[str, Any] = {name: one for name, one in latencies.items() if one is not None}
        if measured and start >= known:
            yield FleetSecond(id, config, start + self.period - 1, ready, **measured)

    def end(self, now: int, unread: Mapping[str, str]) -> None:
        """End a round in which all that ``begin`` asked for was added, except endpoints that could not be read, for
        the reasons in ``unread``. Their coverage stays as it was, and they are read again."""
        self._asked_at = now
        for name, why in unread.items():
            if self._unread.get(name) != why:
                log.warning("endpoint %s was not measured: %s", name, why)
        self._unread = dict(unread)
        for name, since in self._since.items():
            if self._complete > since and name not in unread:
                self._through[name] = max(self._complete, self._through.get(name, 0))
        oldest = self._complete - (AGAIN + 1) * self.period
        oldest = min([oldest, *(self.first(name) for name in unread if name in self._since)])
        self._passed_on = {key: counts for key, counts in self._passed_on.items() if key[1] >= oldest}
        self._finished.forget(oldest)

    def coverage(self) -> dict[str, Coverage]:
        return {name: Coverage(since, self._through.get(name, since)) for name, since in self._since.items()}

    def periods(self) -> dict[str, list[FleetPeriod]]:
        """Return the complete periods that this round reported, by endpoint."""
        return {name: self._reports.get(name, []) for name in self._since}
