"""How far the counts of each endpoint reach: from which second on without a hole, and up to which one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidegate.model.metric import Coverage

SLACK = 3
"""Seconds that a replica which has ended may have counted without being asked: requests that it had in flight were
accounted for by the proxy, so a gap this short is no hole."""


@dataclass
class CoverageTracker:
    """Epoch seconds throughout. ``proxy`` is the first second for which the proxy's own counts were not yet read."""

    proxy: int | None = None
    _since: dict[str, int] = field(default_factory=dict)
    """Endpoint -> first second of its unbroken counts."""
    _taken: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Replica -> its endpoint, and the first second not yet taken from it."""

    def follow(self, endpoint: str, since: int) -> None:
        """Begin to follow an endpoint whose counts are complete from ``since`` on; a known one stays as it is."""
        self._since.setdefault(endpoint, since)

    def take(self, endpoint: str, replica: str, through: int) -> None:
        """Everything that a replica counted before ``through`` is in."""
        self._taken[replica] = (endpoint, through)

    def lose(self, endpoint: str, until: int) -> None:
        """Counts from before ``until`` are missing for good."""
        self._since[endpoint] = max(until, self._since.get(endpoint, until))

    def endpoints(self) -> Iterable[str]:
        return self._since.keys()

    def forget(self, present: Iterable[str], harvested: Iterable[str], now: int) -> None:
        """Drop replicas that have ended. One that ended with seconds untaken leaves a hole, unless its last counts
        were harvested."""
        gone = self._taken.keys() - set(present)
        kept = set(harvested)
        for replica in gone:
            endpoint, through = self._taken.pop(replica)
            if replica not in kept and now - through > SLACK:
                self.lose(endpoint, now)

    def report(self, endpoints: Iterable[str], waiting: Mapping[str, str], now: int) -> dict[str, Coverage]:
        """The coverage of these endpoints; others are forgotten. ``waiting``: replica -> endpoint of those that were
        never taken from, whose endpoint therefore does not move on."""
        through = {endpoint: self._read(endpoint, now) for endpoint in endpoints}
        for endpoint, taken in self._taken.values():
            if endpoint in through:
                through[endpoint] = min(through[endpoint], taken)
        for endpoint in waiting.values():
            if endpoint in through:
                through[endpoint] = min(through[endpoint], self._since.get(endpoint, now))
        self._since = {endpoint: min(self._since.get(endpoint, now), now) for endpoint in through}
        return {endpoint: Coverage(self._since[endpoint], reached) for endpoint, reached in through.items()}

    def _read(self, endpoint: str, now: int) -> int:
        """The first second that the proxy's counts of this endpoint do not reach."""
        return min(now, self._since.get(endpoint, now) if self.proxy is None else self.proxy)
