"""Read what CloudWatch counted for each version: invocations, errors and durations by the minute.

Numbers of a minute arrive for a while after it. Errors are passed on as soon as they are seen; a minute counts as
complete, so that a rollout may rely on it, once it lies ``metric_delay`` seconds back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import CollectionRound, FleetSecond
from tidegate.domain.observation import Observation
from tidegate.serving.aws_lambda.embedded_metrics import FAILED, NAMESPACE, REFUSED
from tidegate.targets.aws.client import Calls
from tidegate.targets.aws.metric_data import MetricQuery
from tidegate.targets.aws.period_counts import PeriodCounts, latency
from tidegate.targets.aws.period_progress import PeriodProgress, PeriodValues
from tidegate.targets.aws_lambda.marks import LIVE
from tidegate.targets.aws_lambda.options import AwsLambdaOptions, function_name
from tidegate.targets.aws_lambda.target import AwsLambdaTarget

LAMBDA = "AWS/Lambda"
PERCENTILES = ("p10", "p50", "p90", "p95", "p99", "Maximum")
_MICROSECONDS = 1000.0
"""Of a millisecond, in which CloudWatch has durations."""


@dataclass
class AwsLambdaEvidence:
    """A ``ports.evidence.Evidence``. Times are epoch seconds."""

    calls: Calls
    target: AwsLambdaTarget
    options: AwsLambdaOptions
    progress: PeriodProgress
    _alone_since: dict[FleetId, int] = field(default_factory=dict)
    """Fleets to which alone the alias leads -> when that was seen first."""

    async def collect(self, now: int) -> CollectionRound:
        fleets = {id: found for id, found in self.target.configs.items() if id.endpoint in self.target.routes}
        alone = {id: self._alone_since.get(id, now) for id in fleets if self._takes_the_rest(id)}
        self._alone_since = alone
        queries = {id: list(self._queries(id, version)) for id, (version, _) in fleets.items()}

        def count(id: FleetId, start: int, values: PeriodValues) -> Iterator[FleetSecond]:
            version, config = fleets[id]
            counts = self._counts(id, fleets, values, start)
            times = {
                _percent(name): values[query][start] * _MICROSECONDS
                for name, query in self._durations(id, version).items()
                if start in values[query]
            }
            latencies = {"model_latency": latency(counts.requests, times)}
            yield from self.progress.add(id, config, start, counts, latencies)

        return await self.progress.collect(self.calls, queries, now, count)

    def refresh(self, look: Observation) -> Observation:
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()

    def _counts(
        self,
        id: FleetId,
        fleets: Mapping[FleetId, tuple[str, str]],
        found: PeriodValues,
        start: int,
    ) -> PeriodCounts:
        def value(query: MetricQuery) -> int:
            return int(found[query].get(start, 0))

        version = fleets[id][0]
        alone = self._alone(id, start)
        others = [other for other in fleets if other.endpoint == id.endpoint and other != id]

        def executed(name: str) -> int:
            own = value(self._alias_query(id, name, version))
            if not alone:
                return own
            elsewhere = sum(value(self._alias_query(other, name, fleets[other][0])) for other in others)
            return max(own, value(self._alias_query(id, name)) - elsewhere)

        requests, errors = executed("Invocations"), executed("Errors")
        failed, refused = (value(self._own_query(id, name, version)) for name in (FAILED, REFUSED))
        failed, refused = min(requests, errors + failed), min(requests, refused)
        return PeriodCounts(requests, failed, refused, failed + refused)

    def _alone(self, id: FleetId, start: int) -> bool:
        """Whether a fleet had all requests of a period, or of its last part. An earlier period is that of others,
        too, although their version may be gone by now."""
        since = self._alone_since.get(id)
        return since is not None and start + self.options.metric_period > since

    def _takes_the_rest(self, id: FleetId) -> bool:
        """Lambda names the version that was executed only while an alias routes to two of them."""
        return self.target.routes.get(id.endpoint) == (id,)

    def _queries(self, id: FleetId, version: str) -> Iterator[MetricQuery]:
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
