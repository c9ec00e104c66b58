"""How far the counts of each endpoint reach: from which second on without a hole, and up to which one.

What is known is kept in a small file, so that a controller that comes after this one knows whether its predecessor
left a hole. The file may be lost at any time: then less is claimed.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidegate.model.metric import Coverage
from tidegate.whole_files import write_whole

log = logging.getLogger(__name__)

SLACK = 3
"""Seconds that a replica which has ended may have counted without being asked: requests that it had in flight were
accounted for by the proxy, so a gap this short is no hole."""


class _Kept(msgspec.Struct):
    """``endpoints``: name -> since and through; ``replicas``: id -> its endpoint, first second not yet taken."""

    endpoints: dict[str, tuple[int, int]]
    replicas: dict[str, tuple[str, int]]


@dataclass
class CoverageTracker:
    """Epoch seconds throughout. ``proxy`` is the first second for which the proxy's own counts were not yet read."""

    file: Path | None = None
    proxy: int | None = None
    _since: dict[str, int] = field(default_factory=dict)
    """Endpoint -> first second of its unbroken counts."""
    _taken: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Replica -> its endpoint, and the first second not yet taken from it."""
    _before: dict[str, int] = field(default_factory=dict)
    """Endpoint -> the first second that an earlier controller had not counted."""
    _written: bytes = b""

    def restore(self, now: int) -> frozenset[str]:
        """Go on from what an earlier controller left; returns the replicas that it followed."""
        try:
            kept = msgspec.json.decode(self.file.read_bytes(), type=_Kept) if self.file else _Kept({}, {})
        except (OSError, msgspec.DecodeError):
            return frozenset()
        self._since = {name: min(since, now) for name, (since, _) in kept.endpoints.items()}
        self._before = {name: min(through, now) for name, (_, through) in kept.endpoints.items()}
        self._taken = {replica: (name, min(taken, now)) for replica, (name, taken) in kept.replicas.items()}
        return frozenset(kept.replicas)

    def resume(self, endpoint: str, first: int, least: int) -> None:
        """A replica of an earlier controller is asked for the seconds from ``first`` on, what was before is stored;
        it may have kept them from ``least`` on. Where that leaves seconds that nobody counted, there is a hole."""
        before = self._before.get(endpoint)
        if before is None:
            self.follow(endpoint, least)
        elif first > before:
            self.lose(endpoint, first)

    def follow(self, endpoint: str, since: int) -> None:
        """Begin to follow an endpoint whose counts are complete from ``since`` on; a known one stays as it is."""
        self._since.setdefault(endpoint, since)

    def meet(self, endpoint: str, replica: str, since: int) -> None:
        """A replica takes requests that was not asked before; it has taken none before ``since``."""
        self._taken.setdefault(replica, (endpoint, since))

    def take(self, endpoint: str, replica: str, through: int) -> None:
        """Everything that a replica counted before ``through`` is in."""
        self._taken[replica] = (endpoint, through)

    def lose(self, endpoint: str, until: int) -> None:
        """Counts from before ``until`` are missing for good."""
        self._since[endpoint] = max(until, self._since.get(endpoint, until))

    def forget(self, present: Iterable[str], harvested: Iterable[str], now: int) -> None:
        """Drop replicas that have ended. One that ended with seconds untaken leaves a hole, unless its last counts
        were harvested."""
        kept = set(harvested)
        for replica in self._taken.keys() - set(present):
            endpoint, through = self._taken.pop(replica)
            if replica not in kept and now - through > SLACK:
                self.lose(endpoint, now)

    def report(self, endpoints: Iterable[str] | None, now: int) -> dict[str, Coverage]:
        """The coverage of these endpoints, the others are forgotten; None: of those that are known."""
        through: dict[str, int] = {}
        for endpoint in set(self._since if endpoints is None else endpoints):
            since = self._since[endpoint] = min(self._since.get(endpoint, now), now)
            through[endpoint] = min(now, since if self.proxy is None else self.proxy)
        self._since = {endpoint: self._since[endpoint] for endpoint in through}
        for endpoint, taken in self._taken.values():
            if endpoint in through:
                through[endpoint] = min(through[endpoint], taken)
        found = {endpoint: Coverage(self._since[endpoint], reached) for endpoint, reached in through.items()}
        self._keep(found)
        return found

    def _keep(self, found: dict[str, Coverage]) -> None:
        """A file that cannot be written costs a later controller some of its evidence, not this one its turn."""
        if self.file is None:
            return
        spans = {endpoint: (one.since, one.through) for endpoint, one in found.items()}
        data = msgspec.json.encode(_Kept(spans, self._taken))
        if data != self._written:
            try:
                write_whole(self.file, data, durable=False)
            except OSError:
                return
            self._written = data
