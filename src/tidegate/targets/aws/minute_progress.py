"""How far the minutes of CloudWatch were counted, for each endpoint, and what of them was passed on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import Coverage, FleetSecond
from tidegate.targets.aws.minute_counts import MINUTE, MinuteCounts, latency, spread


@dataclass
class MinuteProgress:
    """Times are epoch seconds. ``settle``: after the end of a minute, until it is complete; ``every``: between
    questions."""

    settle: int
    every: int = 10
    _since: dict[str, int] = field(default_factory=dict)
    """Endpoint -> the first minute that is counted."""
    _through: dict[str, int] = field(default_factory=dict)
    """Endpoint -> up to which minute everything is counted."""
    _passed_on: dict[tuple[FleetId, int], MinuteCounts] = field(default_factory=dict)
    _asked_at: int = 0
    _complete: int = 0

    def begin(self, endpoints: set[str], now: int) -> tuple[int, int] | None:
        """The span of minutes to read now; None: nothing is due."""
        for name in self._since.keys() - endpoints:
            del self._since[name]
            self._through.pop(name, None)
        self._passed_on = {key: counts for key, counts in self._passed_on.items() if key[0].endpoint in endpoints}
        minute = now // MINUTE * MINUTE
        for name in endpoints:
            self._since.setdefault(name, minute)
        if not endpoints or now - self._asked_at < self.every:
            return None
        self._complete = (now - self.settle) // MINUTE * MINUTE
        return min(self.first(name) for name in endpoints), minute + MINUTE

    def first(self, endpoint: str) -> int:
        """The first minute that is not complete yet."""
        return self._through.get(endpoint, self._since[endpoint])

    def add(
        self, id: FleetId, config: str, minute: int, counts: MinuteCounts, times: Mapping[float, float]
    ) -> Iterator[FleetSecond]:
        """What was not passed on of a minute; ``times`` (percent -> microseconds) once it is complete."""
        new = counts.minus(self._passed_on.get((id, minute), MinuteCounts()))
        yield from spread(id, config, minute, new, 1)
        self._passed_on[id, minute] = counts
        slow = latency(counts.requests, times) if minute + MINUTE <= self._complete else None
        if slow is not None:
            yield FleetSecond(id, config, minute + MINUTE - 1, 1, model_latency=slow)

    def end(self, now: int) -> None:
        """All that ``begin`` asked for was added."""
        self._asked_at = now
        for name, since in self._since.items():
            if self._complete > since:
                self._through[name] = max(self._complete, self._through.get(name, 0))
        oldest = self._complete - MINUTE
        self._passed_on = {key: counts for key, counts in self._passed_on.items() if key[1] >= oldest}

    def coverage(self) -> dict[str, Coverage]:
        return {name: Coverage(since, self._through.get(name, since)) for name, since in self._since.items()}
