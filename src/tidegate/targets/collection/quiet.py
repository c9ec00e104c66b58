"""Replicas of this machine that have counted nothing since they were asked: they need not be asked each second. Pure.

A worker raises a number before it counts anything, or has a request in flight, that its last page did not show. The
number is believed as far as the page is: both are the worker's own.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.ports.router import PassedRequests
from tidegate.targets.collection.sources import ServingReplica
from tidegate.targets.collection.stats_page import ReplicaStats

ASKED_EVERY = 5
"""Seconds between questions to a replica at rest, and between measurements of its processor time and memory."""


class _RestMark(NamedTuple):
    """The number before the last question, which a page answered that had nothing in flight."""

    mark: int
    at: int


@dataclass
class QuietReplicas:
    seen: dict[str, _RestMark] = field(default_factory=dict)
    _busy: frozenset[FleetId] | None = None
    """Fleets for which the router had requests, or a replica that it takes for dead, at its last answer; None: not
    known."""

    def set_load(self, passed: Mapping[FleetId, PassedRequests] | None) -> None:
        """Take the load that the router reported; None: it did not answer. Requests may wait for a worker that does
        not count them."""
        self._busy = None
        if passed is not None:
            self._busy = frozenset(
                fleet for fleet, load in passed.items() if load.in_flight or load.queued or load.down
            )

    def note(self, replica: str, mark: int | None, now: int, page: ReplicaStats | None) -> None:
        """Take the answer to a question of the second ``now``, before which the number was ``mark``. Where the worker
        says another one, it cannot write its file, or has counted something since."""
        self.seen.pop(replica, None)
        if mark is None or page is None or page.activity != mark:
            return
        if page.in_flight == 0 and page.through >= now:
            self.seen[replica] = _RestMark(mark, now)

    def is_quiet(self, replica: ServingReplica, mark: int | None, now: int) -> bool:
        """Return whether a replica's answer would contain nothing new. False if in doubt, and for jobs: each host of
        a job has metrics of its own, by its place among all that were measured."""
        seen = self.seen.get(replica.id)
        if (
            replica.fleet.detached is not None
            or seen is None
            or mark != seen.mark
            or not 0 <= now - seen.at < ASKED_EVERY
        ):
            return False
        return self._busy is not None and replica.fleet.id not in self._busy


def measured_idle(
    resting: Iterable[FleetSpec], followed: Container[tuple[str, str]] | None
) -> Iterator[FleetSpec]:
    """Yield the replicas at rest whose idleness is a measurement."""
    for spec in resting:
        if followed is None or spec.variant.serverless or (spec.id.endpoint, spec.id.variant) in followed:
            yield spec
