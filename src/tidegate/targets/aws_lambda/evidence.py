"""What CloudWatch counted of each version: invocations, errors and durations by the minute.

Numbers of a minute arrive for a while after it. Errors are passed on as soon as they are seen; a minute counts as
complete, so that a rollout may rely on it, once it lies ``SETTLE`` seconds back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import CollectionRound, Coverage, FleetSecond
from tidegate.domain.observation import Observation
from tidegate.serving.aws_lambda.embedded_metrics import FAILED, NAMESPACE, REFUSED
from tidegate.targets.aws.calls import Calls
from tidegate.targets.aws.metric_data import PERIOD, MetricQuery, read_minutes
from tidegate.targets.aws.minute_counts import MinuteCounts, latency, spread
from tidegate.targets.aws_lambda.marks import LIVE
from tidegate.targets.aws_lambda.options import AwsLambdaOptions, function_name
from tidegate.targets.aws_lambda.target import AwsLambdaTarget

LAMBDA = "AWS/Lambda"
SETTLE = 120
"""Seconds after its end at which a minute is complete."""
EVERY = 10
"""Seconds between calls of CloudWatch."""
PERCENTILES = ("p10", "p50", "p90", "p95", "p99", "Maximum")
_MICROSECONDS = 1000.0
"""Of a millisecond, in which CloudWatch has durations."""


@dataclass
class AwsLambdaEvidence:
    """A ``ports.evidence.Evidence``. Times are epoch seconds."""

    calls: Calls
    target: AwsLambdaTarget
    options: AwsLambdaOptions
    _since: dict[str, int] = field(default_factory=dict)
    """Endpoint -> the first minute that is counted."""
    _through: dict[str, int] = field(default_factory=dict)
    """Endpoint -> up to which minute everything is counted."""
    _passed_on: dict[tuple[FleetId, int], MinuteCounts] = field(default_factory=dict)
    _asked_at: int = 0

    async def collect(self, now: int) -> CollectionRound:
        fleets = {id: found for id, found in self.target.configs.items() if id.endpoint in self.target.routes}
        self._forget({id.endpoint for id in fleets})
        seconds: list[FleetSecond] = []
        if fleets and now - self._asked_at >= EVERY:
            seconds = await self._count(fleets, now)
            self._asked_at = now
        coverage = {name: Coverage(since, self._through.get(name, since)) for name, since in self._since.items()}
        return CollectionRound(seconds, coverage)

    def refresh(self, look: Observation) -> Observation:
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()

    def _forget(self, endpoints: set[str]) -> None:
        for name in self._since.keys() - endpoints:
            del self._since[name]
            self._through.pop(name, None)
        self._passed_on = {key: counts for key, counts in self._passed_on.items() if key[0].endpoint in endpoints}

    async def _count(self, fleets: Mapping[FleetId, tuple[str, str]], now: int) -> list[FleetSecond]:
        minute = now // PERIOD * PERIOD
        complete = (now - SETTLE) // PERIOD * PERIOD
        for id in fleets:
            self._since.setdefault(id.endpoint, minute)
        since = min(self._through.get(id.endpoint, self._since[id.endpoint]) for id in fleets)
        found = await read_minutes(self.calls, self._queries(fleets), since, minute + PERIOD)
        seconds: list[FleetSecond] = []
        for id in fleets:
            first = self._through.get(id.endpoint, self._since[id.endpoint])
            for at in range(first, minute + PERIOD, PERIOD):
                seconds += self._new(id, fleets, found, at, at + PERIOD <= complete)
        for name in {id.endpoint for id in fleets}:
            if complete > self._since[name]:
                self._through[name] = max(complete, self._through.get(name, 0))
        oldest = complete - PERIOD
        self._passed_on = {key: counts for key, counts in self._passed_on.items() if key[1] >= oldest}
        return seconds

    def _new(
        self,
        id: FleetId,
        fleets: Mapping[FleetId, tuple[str, str]],
        found: Mapping[MetricQuery, Mapping[int, float]],
        minute: int,
        final: bool,
    ) -> Iterator[FleetSecond]:
        """What was not passed on of a minute; durations once it is complete."""
        counts = self._counts(id, fleets, found, minute)
        yield from spread(
            id, fleets[id][1], minute, counts.minus(self._passed_on.get((id, minute), MinuteCounts())), 1
        )
        self._passed_on[id, minute] = counts
        if not final:
            return
        durations = {
            _percent(name): found[query][minute] * _MICROSECONDS
            for name, query in self._durations(id, fleets[id][0]).items()
            if minute in found[query]
        }
        times = latency(counts.requests, durations)
        if times is not None:
            yield FleetSecond(id, fleets[id][1], minute + PERIOD - 1, 1, model_latency=times)

    def _counts(
        self,
        id: FleetId,
        fleets: Mapping[FleetId, tuple[str, str]],
        found: Mapping[MetricQuery, Mapping[int, float]],
        minute: int,
    ) -> MinuteCounts:
        def value(query: MetricQuery) -> int:
            return int(found[query].get(minute, 0))

        version = fleets[id][0]
        others = [other for other in fleets if other.endpoint == id.endpoint and other != id]

        def executed(name: str) -> int:
            own = value(self._alias_query(id, name, version))
            if not self._takes_the_rest(id):
                return own
            elsewhere = sum(value(self._alias_query(other, name, fleets[other][0])) for other in others)
            return max(own, value(self._alias_query(id, name)) - elsewhere)

        requests, errors = executed("Invocations"), executed("Errors")
        failed, refused = (value(self._own_query(id, name, version)) for name in (FAILED, REFUSED))
        return MinuteCounts(requests, min(requests, errors + failed), min(requests, refused))

    def _takes_the_rest(self, id: FleetId) -> bool:
        """Lambda names the version that was executed only while an alias routes to two of them."""
        return self.target.routes.get(id.endpoint) == (id,)

    def _queries(self, fleets: Mapping[FleetId, tuple[str, str]]) -> Iterator[MetricQuery]:
        for id, (version, _) in fleets.items():
            for name in ("Invocations", "Errors"):
                yield self._alias_query(id, name, version)
                yield self._alias_query(id, name)
            yield from (self._own_query(id, name, version) for name in (FAILED, REFUSED))
            yield from self._durations(id, version).values()

    def _durations(self, id: FleetId, version: str) -> dict[str, MetricQuery]:
        executed = "" if self._takes_the_rest(id) else version
        return {name: self._alias_query(id, "Duration", executed, name) for name in PERCENTILES}

    def _alias_query(self, id: FleetId, metric: str, version: str = "", statistic: str = "Sum") -> MetricQuery:
        function = function_name(self.options, id.endpoint)
        executed = (("ExecutedVersion", version),) if version else ()
        dimensions = (*executed, ("FunctionName", function), ("Resource", f"{function}:{LIVE}"))
        return MetricQuery(LAMBDA, metric, dimensions, statistic)

    def _own_query(self, id: FleetId, metric: str, version: str) -> MetricQuery:
        dimensions = (("ExecutedVersion", version), ("FunctionName", function_name(self.options, id.endpoint)))
        return MetricQuery(NAMESPACE, metric, dimensions, "Sum")


def _percent(statistic: str) -> float:
    return 100.0 if statistic == "Maximum" else float(statistic.removeprefix("p"))
