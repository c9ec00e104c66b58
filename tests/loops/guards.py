"""Computes when an alarm must fire from what really happened to the requests, second by second of real time.

Deliberately simpler and later than a real evaluation: a guard is *due* once so many consecutive seconds breached that
every window of its periods breaches, whatever the wall clock says and however windows are aligned.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.loops.machine import VersionTally
from tidegate.domain.alarm import Alarm

SLACK = 2
"""Seconds for collection and evaluation of counts."""


@dataclass(slots=True)
class Guard:
    """An alarm of a rollout as defined at the rollout's start. ``breaching``: consecutive breaching seconds;
    ``due_since``: when it had to fire, None while it need not."""

    alarm: Alarm
    config: str | None
    """The only version that it watches; None: the whole variant."""
    breaching: int = 0
    due_since: float | None = None

    @property
    def needed(self) -> int:
        return self.alarm.datapoints_to_alarm * self.alarm.period + SLACK

    def second(self, tallies: Iterable[VersionTally], now: float) -> None:
        value = _statistic_value(self.alarm, list(tallies))
        breaches = value is not None and self.alarm.comparison.breaches(value, self.alarm.threshold)
        self.breaching = self.breaching + 1 if breaches else 0
        if self.breaching < self.needed:
            self.due_since = None
        elif self.due_since is None:
            self.due_since = now


def make_guard(alarm: Alarm) -> Guard:
    return Guard(alarm, alarm.dimensions.get("EndpointConfigName"))


def _statistic_value(alarm: Alarm, tallies: list[VersionTally]) -> float | None:
    """The statistic of one second; None without requests."""
    requests = sum(tally.requests for tally in tallies)
    if not requests:
        return None
    if alarm.metric == "Invocation5XXErrors":
        failed = sum(tally.failed for tally in tallies)
        return float(failed) if alarm.statistic == "Sum" else failed / requests
    if alarm.metric != "ModelLatency":
        return None
    latencies = sorted((us, count) for tally in tallies for us, count in tally.latencies.items())
    answered = sum(count for _, count in latencies)
    if not answered:
        return None
    if alarm.statistic == "Average":
        return sum(us * count for us, count in latencies) / answered
    seen, rank = 0, float(alarm.statistic.removeprefix("p")) / 100 * answered
    for us, count in latencies:
        seen += count
        if seen >= rank:
            return float(us)
    return None
