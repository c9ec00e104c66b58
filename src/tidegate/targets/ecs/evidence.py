"""What the load balancer counted of each fleet's target group, by the minute.

Numbers of a minute arrive for a while after it: errors are passed on as soon as they are seen, and a minute counts as
complete once it lies ``metric_delay`` seconds back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import CollectionRound, FleetSecond
from tidegate.domain.observation import Observation
from tidegate.targets.aws.calls import Calls
from tidegate.targets.aws.metric_data import MetricQuery, find_unread, read_points
from tidegate.targets.aws.period_counts import PeriodCounts
from tidegate.targets.aws.period_progress import PeriodProgress
from tidegate.targets.ecs.options import EcsOptions
from tidegate.targets.ecs.target import EcsTarget

BALANCER = "AWS/ApplicationELB"
SUMS = (
    *("RequestCount", "TargetConnectionErrorCount"),
    *("HTTPCode_Target_5XX_Count", "HTTPCode_Target_4XX_Count"),
)
"""A task that cannot be connected to answers nothing: the balancer's own 5XX names no target group."""
PERCENTILES = {"p10": 10.0, "p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "Maximum": 100.0}
_MICROSECONDS = 1e6
"""Of a second, in which the load balancer has response times."""


@dataclass
class EcsEvidence:
    """A ``ports.evidence.Evidence``."""

    calls: Calls
    target: EcsTarget
    options: EcsOptions
    progress: PeriodProgress

    async def collect(self, now: int) -> CollectionRound:
        fleets = dict(self.target.configs)
        span = self.progress.begin({id.endpoint for id in fleets}, now)
        if span is None:
            return CollectionRound([], self.progress.coverage(), self.progress.periods())
        queries = [query for id in fleets for query in self._queries(id)]
        found = await read_points(self.calls, queries, *span, self.options.metric_period)
        unread = find_unread(found, ((id.endpoint, self._queries(id)) for id in fleets))
        seconds: list[FleetSecond] = []
        for id, (_, config) in fleets.items():
            if id.endpoint in unread:
                continue
            for start in range(self.progress.first(id.endpoint), span[1], self.options.metric_period):
                values = {query: found.values[query].get(start) for query in self._queries(id)}
                seconds += self.progress.add(id, config, start, self._counts(id, values), self._times(id, values))
        self.progress.end(now, unread)
        return CollectionRound(seconds, self.progress.coverage(), self.progress.periods())

    def refresh(self, look: Observation) -> Observation:
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()

    def _counts(self, id: FleetId, values: Mapping[MetricQuery, float | None]) -> PeriodCounts:
        requests, unreached, failed, refused = (int(values[query] or 0) for query in self._sums(id))
        return PeriodCounts(requests, min(requests, failed + unreached), min(requests, refused))

    def _times(self, id: FleetId, values: Mapping[MetricQuery, float | None]) -> dict[float, float]:
        return {
            PERCENTILES[query.statistic]: value * _MICROSECONDS
            for query in self._response_times(id)
            if (value := values[query]) is not None
        }

    def _queries(self, id: FleetId) -> Iterator[MetricQuery]:
        yield from self._sums(id)
        yield from self._response_times(id)

    def _sums(self, id: FleetId) -> list[MetricQuery]:
        return [MetricQuery(BALANCER, name, self._dimensions(id), "Sum") for name in SUMS]

    def _response_times(self, id: FleetId) -> list[MetricQuery]:
        return [MetricQuery(BALANCER, "TargetResponseTime", self._dimensions(id), name) for name in PERCENTILES]

    def _dimensions(self, id: FleetId) -> tuple[tuple[str, str], ...]:
        group, _ = self.target.configs.get(id, ("", ""))
        balancer = "/".join(self.options.listener.partition(":listener/")[2].split("/")[:-1])
        return ("LoadBalancer", balancer), ("TargetGroup", group.rpartition(":")[2])
