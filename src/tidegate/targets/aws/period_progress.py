"""How far CloudWatch's periods, as a rule minutes, were counted for each endpoint, and what of them was passed on."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import Coverage, FleetPeriod, FleetSecond
from tidegate.targets.aws.period_counts import MINUTE, PeriodCounts, latency, spread

log = logging.getLogger(__name__)

ASK_EVERY = 10
"""Seconds between questions: GetMetricData is charged."""
AGAIN = 3
"""Complete periods that are read again, for what arrives later than it should."""
MOST = 60
"""Complete periods that are read of an endpoint that could not be read for a while; older ones are not known."""


@dataclass
class CompletePeriods:
    """What versions are compared by: each complete period once, and then only what it grows by."""

    _counted: dict[tuple[FleetId, int], PeriodCounts] = field(default_factory=dict)

    def add(self, id: FleetId, start: int, period: int, counts: PeriodCounts) -> list[FleetPeriod]:
        before = self._counted.get((id, start))
        new = counts.growth(before or PeriodCounts())
        self._counted[id, start] = new.plus(before or PeriodCounts())
        if before is not None and new == PeriodCounts():
            return []
        return [FleetPeriod(id, start, period, new.requests, new.failed + new.refused)]

    def forget(self, before: int) -> None:
        self._counted = {key: counts for key, counts in self._counted.items() if key[1] >= before}


@dataclass
class PeriodProgress:
    """Times are epoch seconds. ``settle``: after the end of a period, until it is complete; ``period``: its
    seconds."""

    settle: int
    period: int = MINUTE
    _since: dict[str, int] = field(default_factory=dict)
    """Endpoint -> the first period that is counted."""
    _through: dict[str, int] = field(default_factory=dict)
    """Endpoint -> up to when everything is counted."""
    _passed_on: dict[tuple[FleetId, int], PeriodCounts] = field(default_factory=dict)
    _finished: CompletePeriods = field(default_factory=CompletePeriods)
    _reports: dict[str, list[FleetPeriod]] = field(default_factory=dict)
    _unread: dict[str, str] = field(default_factory=dict)
    """Endpoints that cannot be read now, and why; logged once."""
    _asked_at: int = 0
    _complete: int = 0

    def begin(self, endpoints: set[str], now: int) -> tuple[int, int] | None:
        """The span of periods to read now; None: nothing is due."""
        if now < self._asked_at - ASK_EVERY:
            self._begin_anew()
        for name in self._since.keys() - endpoints:
            del self._since[name]
            self._through.pop(name, None)
        self._reports = {}
        self._passed_on = {key: counts for key, counts in self._passed_on.items() if key[0].endpoint in endpoints}
        present = now // self.period * self.period
        for name in endpoints:
            self._since.setdefault(name, present)
        if not endpoints or now - self._asked_at < min(ASK_EVERY, self.period):
            return None
        self._complete = (now - self.settle) // self.period * self.period
        earliest = self._complete - MOST * self.period
        for name in endpoints:
            if self._through.get(name, self._since[name]) < earliest:
                self._since[name] = self._through[name] = earliest
        return min(self.first(name) for name in endpoints), present + self.period

    def _begin_anew(self) -> None:
        """The clock was set back: what was counted up to a time that is still to come would be taken for all that
        happens until then, and nothing of it would be read."""
        self._since, self._through, self._passed_on, self._asked_at = {}, {}, {}, 0
        self._finished = CompletePeriods()

    def first(self, endpoint: str) -> int:
        """The first period to read: not complete yet, or complete for so short a time that it may grow."""
        since = self._since[endpoint]
        return max(since, self._through.get(endpoint, since) - AGAIN * self.period)

    def add(
        self, id: FleetId, config: str, start: int, counts: PeriodCounts, times: Mapping[float, float]
    ) -> Iterator[FleetSecond]:
        """What was not passed on of a period; ``times`` (percent -> microseconds) once it is complete. What a
        complete period grows by is passed on as of the newest one: alarms have judged its own, and look at it no
        more."""
        before = self._passed_on.get((id, start), PeriodCounts())
        new = counts.growth(before)
        known = self._through.get(id.endpoint, self._since[id.endpoint])
        yield from spread(
            id, config, start if start >= known else self._complete - self.period, new, 1, self.period
        )
        self._passed_on[id, start] = before.plus(new)
        if start + self.period > self._complete:
            return
        self._reports.setdefault(id.endpoint, []).extend(self._finished.add(id, start, self.period, counts))
        slow = latency(counts.requests, times) if start >= known else None
        if slow is not None:
            yield FleetSecond(id, config, start + self.period - 1, 1, model_latency=slow)

    def end(self, now: int, unread: Mapping[str, str]) -> None:
        """All that ``begin`` asked for was added, but nothing of endpoints that could not be read, for the reasons in
        ``unread``: what is known of them ends where it did, and is read again."""
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
        """Of each endpoint, what came with this round."""
        return {name: self._reports.get(name, []) for name in self._since}
