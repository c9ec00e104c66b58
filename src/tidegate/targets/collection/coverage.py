"""How far the counts of each endpoint reach: from which second on without a hole, and up to which one.

What is known is kept in a small file, so that a controller that comes after this one knows whether its predecessor
left a hole. The file may be lost at any time: then less is claimed.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.metric import Coverage
from tidegate.host.background_file import BackgroundFile

SLACK = 3
"""Seconds that a replica which has ended may have counted without being asked: requests that it had in flight were
accounted for by the proxy, so a gap this short is no hole."""


class _SavedCoverage(msgspec.Struct):
    """``endpoints``: name -> since and through; ``replicas``: id -> its endpoint, first second not yet taken."""

    endpoints: dict[str, tuple[int, int]]
    replicas: dict[str, tuple[str, int]]


class CoverageTracker:
    """All times are epoch seconds. ``proxy`` is the first second for which the proxy's own counts were not read yet.
    ``file`` keeps what is known for a later controller."""

    def __init__(self, file: Path | None = None) -> None:
        self.proxy: int | None = None
        self._file = BackgroundFile(file) if file is not None else None
        self._since: dict[str, int] = {}
        """Endpoint -> first second of its unbroken counts."""
        self._seen: dict[str, int] = {}
        """Endpoint -> when it was there first; of one without replicas nothing else is known."""
        self._moved, self._reported = True, 0
        """Whether a beginning has changed since the last report, and when that was."""
        self._taken: dict[str, tuple[str, int]] = {}
        """Replica -> its endpoint, and the first second not yet taken from it."""
        self._before: dict[str, int] = {}
        """Endpoint -> the first second that an earlier controller had not counted."""

    @property
    def is_behind(self) -> bool:
        """Whether the file has yet to be written."""
        return self._file is not None and self._file.is_behind

    def restore(self, now: int) -> frozenset[str]:
        """Go on from what an earlier controller left; returns the replicas that it followed."""
        try:
            kept = (
                msgspec.json.decode(self._file.path.read_bytes(), type=prepare_type(_SavedCoverage))
                if self._file
                else _SavedCoverage({}, {})
            )
        except (OSError, msgspec.DecodeError):
            return frozenset()
        # Counts from a time to come: the clock was set back, and what was counted since then was not collected.
        self._since = {
            name: now if through > now + 1 else min(since, now)
            for name, (since, through) in kept.endpoints.items()
        }
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
            self.mark_lost(endpoint, first)

    def follow(self, endpoint: str, since: int) -> None:
        """Begin to follow an endpoint whose counts are complete from ``since`` on; a known one stays as it is."""
        if endpoint not in self._since:
            self._since[endpoint] = min(since, self._seen.get(endpoint, since))
            self._moved = True

    def begin(self, endpoint: str, replica: str, since: int) -> None:
        """Follow a replica that was not asked before; it took no requests before ``since``."""
        self._taken.setdefault(replica, (endpoint, since))

    def advance(self, endpoint: str, replica: str, through: int) -> None:
        """All that a replica counted before ``through`` has been taken."""
        self._taken[replica] = (endpoint, through)

    def mark_lost(self, endpoint: str, until: int) -> None:
        """Counts from before ``until`` are lost for good."""
        self._since[endpoint] = max(until, self._since.get(endpoint, until))
        self._moved = True

    def forget(self, present: Iterable[str], harvested: Iterable[str], now: int) -> None:
        """Drop replicas that have ended. One that ended with seconds untaken leaves a hole, unless its last counts
        were harvested."""
        kept = set(harvested)
        for replica in self._taken.keys() - set(present):
            endpoint, through = self._taken.pop(replica)
            if replica not in kept and now - through > SLACK:
                self.mark_lost(endpoint, now)

    def report(self, endpoints: Iterable[str] | None, now: int) -> dict[str, Coverage]:
        """The coverage of these endpoints, forgetting all others; with None of those that are known."""
        followed = frozenset(self._since.keys() | self._seen.keys() if endpoints is None else endpoints)
        if self._moved or now < self._reported or followed != self._seen.keys():
            self._seen = {endpoint: min(now, self._seen.get(endpoint, now)) for endpoint in followed}
            self._since = {
                endpoint: min(now, since) for endpoint, since in self._since.items() if endpoint in followed
            }
        self._moved, self._reported = False, now
        whole = self._seen | self._since
        if self.proxy is None:
            through = {one: min(now, since) for one, since in whole.items()}
        else:
            through = dict.fromkeys(whole, min(now, self.proxy))
        for endpoint, taken in self._taken.values():
            if endpoint in through:
                through[endpoint] = min(through[endpoint], taken)
        found = {endpoint: Coverage(whole[endpoint], reached) for endpoint, reached in through.items()}
        self._keep(found)
        return found

    def _keep(self, found: dict[str, Coverage]) -> None:
        """Write the coverage to the file. If that fails, a later controller loses some evidence; this one goes on."""
        if self._file is not None:
            spans = {endpoint: (one.since, one.through) for endpoint, one in found.items()}
            self._file.write(msgspec.json.encode(_SavedCoverage(spans, self._taken)))
