"""The measurements of a load run: counts, latencies and failures, by second and by variant. Plain data."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from tidegate.monitoring import sketch

SOCKET = "socket"
"""In place of a status if there was no answer: refused, reset, closed or timed out."""


@dataclass
class Tally:
    """Answers of one kind. ``bins`` is the latency sketch (seconds) of ``monitoring.sketch``; ``first`` and ``last``
    are the epoch times of the first and the last answer."""

    first: float = math.inf
    last: float = -math.inf
    count: int = 0
    failed: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    bins: dict[int, float] = field(default_factory=dict)

    def add(self, at: float, status: str, latency: float) -> None:
        self.first, self.last = min(self.first, at), max(self.last, at)
        self.count += 1
        self.failed += is_failure(status)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        key = sketch.index(latency)
        self.bins[key] = self.bins.get(key, 0) + 1

    def percentile(self, percent: float) -> float | None:
        """Seconds, within 1 %; None without answers."""
        return sketch.percentile(self.bins, percent)

    def copy(self) -> "Tally":
        return Tally(self.first, self.last, self.count, self.failed, dict(self.statuses), dict(self.bins))


@dataclass(frozen=True)
class FailedRequest:
    """One failed request. ``at`` is the epoch time of its answer, or when it was abandoned."""

    at: float
    status: str
    message: str
    config: str
    latency: float


@dataclass
class Second:
    """The answers of one second of wall time. ``sent`` counts requests due in it."""

    at: int
    sent: int = 0
    by_config: dict[str, Tally] = field(default_factory=dict)
    """Keyed by the ``x-tidegate-config`` header; empty without one."""
    by_variant: dict[str, Tally] = field(default_factory=dict)
    """Keyed by the ``x-amzn-invoked-production-variant`` header."""

    def copy(self) -> "Second":
        configs = {key: tally.copy() for key, tally in self.by_config.items()}
        return Second(self.at, self.sent, configs, {key: tally.copy() for key, tally in self.by_variant.items()})


@dataclass(frozen=True)
class LoadReport:
    """A run so far. ``unanswered`` counts requests that are due but have no answer yet."""

    seconds: tuple[Second, ...]
    failures: tuple[FailedRequest, ...]
    sent: int
    unanswered: int

    @property
    def total(self) -> Tally:
        return merge(tally for second in self.seconds for tally in second.by_config.values())

    @property
    def by_config(self) -> dict[str, Tally]:
        return _group_by(second.by_config for second in self.seconds)

    @property
    def by_variant(self) -> dict[str, Tally]:
        return _group_by(second.by_variant for second in self.seconds)

    @property
    def failed(self) -> int:
        return self.total.failed

    def since(self, epoch: int) -> "LoadReport":
        """The report from the second ``epoch`` on, with ``sent`` and failures of that time."""
        seconds = tuple(second for second in self.seconds if second.at >= epoch)
        failures = tuple(failure for failure in self.failures if failure.at >= epoch)
        return LoadReport(seconds, failures, sum(second.sent for second in seconds), self.unanswered)


def is_failure(status: str) -> bool:
    return not ("200" <= status <= "299")


def merge(parts: Iterable[Tally]) -> Tally:
    whole = Tally()
    for part in parts:
        whole.first, whole.last = min(whole.first, part.first), max(whole.last, part.last)
        whole.count += part.count
        whole.failed += part.failed
        for status, count in part.statuses.items():
            whole.statuses[status] = whole.statuses.get(status, 0) + count
        for key, number in part.bins.items():
            whole.bins[key] = whole.bins.get(key, 0) + number
    return whole


def _group_by(parts: Iterable[dict[str, Tally]]) -> dict[str, Tally]:
    groups: dict[str, list[Tally]] = {}
    for part in parts:
        for key, tally in part.items():
            groups.setdefault(key, []).append(tally)
    return {key: merge(tallies) for key, tallies in groups.items()}


def document(report: LoadReport) -> dict[str, object]:
    """The report as plain JSON data; latencies in milliseconds."""
    return {
        "sent": report.sent,
        "unanswered": report.unanswered,
        **_summary(report.total),
        "by_config": {key: _summary(tally) for key, tally in report.by_config.items()},
        "by_variant": {key: _summary(tally) for key, tally in report.by_variant.items()},
        "seconds": [
            {"at": s.at, "sent": s.sent, "by_config": {k: _summary(t) for k, t in s.by_config.items()}}
            for s in report.seconds
        ],
        "failures": [
            {"at": f.at, "status": f.status, "message": f.message, "config": f.config} for f in report.failures
        ],
    }


def _summary(tally: Tally) -> dict[str, object]:
    return {
        "answered": tally.count,
        "failed": tally.failed,
        "statuses": tally.statuses,
        **{f"p{percent}_ms": _ms(tally.percentile(percent)) for percent in (50, 90, 99)},
        "max_ms": _ms(tally.percentile(100)),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
