"""All that the target at ECS supplies, the logs of tasks and the counts of the load balancer among it.

The load balancer counts each fleet's target group by the minute. Numbers of a minute arrive for a while after it:
errors are passed on as soon as they are seen, and a minute counts as complete once it lies ``metric_delay`` seconds
back.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.domain.errors import Invalid, StartupError, TargetError
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import CollectionRound, FleetSecond
from tidegate.domain.observation import Observation
from tidegate.domain.traffic import RouteTable
from tidegate.ports.logs import ReplicaLog
from tidegate.ports.target import Chore, Provider
from tidegate.targets.aws.client import Calls, open_calls
from tidegate.targets.aws.lifecycle import AwsLifecycle
from tidegate.targets.aws.log_streams import CloudLogs, OwnLogs
from tidegate.targets.aws.metric_data import MetricQuery
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws.period_counts import PeriodCounts, latency
from tidegate.targets.aws.period_progress import PeriodProgress, PeriodValues
from tidegate.targets.context import TargetContext
from tidegate.targets.ecs.options import NAME, EcsOptions, service_name
from tidegate.targets.ecs.target import EcsTarget
from tidegate.targets.refused_jobs import RefusedRecommendations, RefusedTransforms

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
        queries = {id: list(self._queries(id)) for id in fleets}

        def count(id: FleetId, start: int, values: PeriodValues) -> Iterator[FleetSecond]:
            sums, times = queries[id][: len(SUMS)], queries[id][len(SUMS) :]
            requests, unreached, failed, refused = (int(values[query].get(start, 0)) for query in sums)
            failed, refused = min(requests, failed + unreached), min(requests, refused)
            counts = PeriodCounts(requests, failed, refused, failed + refused)
            slow = {
                PERCENTILES[query.statistic]: values[query][start] * _MICROSECONDS
                for query in times
                if start in values[query]
            }
            latencies = {"model_latency": latency(requests, slow)}
            yield from self.progress.add(id, fleets[id][1], start, counts, latencies)

        return await self.progress.collect(self.calls, queries, now, count)

    def refresh(self, look: Observation) -> Observation:
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()

    def _queries(self, id: FleetId) -> Iterator[MetricQuery]:
        """The sums first, then the response times."""
        dimensions = self._dimensions(id)
        yield from (MetricQuery(BALANCER, name, dimensions, "Sum") for name in SUMS)
        yield from (MetricQuery(BALANCER, "TargetResponseTime", dimensions, name) for name in PERCENTILES)

    def _dimensions(self, id: FleetId) -> tuple[tuple[str, str], ...]:
        group, _ = self.target.configs.get(id, ("", ""))
        balancer = "/".join(self.options.listener.partition(":listener/")[2].split("/")[:-1])
        return ("LoadBalancer", balancer), ("TargetGroup", group.rpartition(":")[2])


MOST_TAILS = 10
"""Tasks whose last lines are shown, those that wrote last."""


@dataclass(frozen=True)
class EcsLogs(OwnLogs):
    logs: CloudLogs
    target: EcsTarget
    options: EcsOptions

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        fleets = {service_name(id): id for id in self.target.configs if id.endpoint == endpoint}
        if not fleets:
            return ()
        streams = await self.logs.streams(self.options.log_group)
        mine = [(fleets.get(stream.name.partition("/")[0]), stream.name) for stream in streams]
        found = []
        for id, name in [(id, name) for id, name in mine if id is not None][:MOST_TAILS]:
            written = await self.logs.tail(self.options.log_group, name, lines)
            found.append(ReplicaLog(id.generation, id.variant, name.rpartition("/")[2], written))
        return sorted(found, key=lambda log: log.generation)

    async def groups(self) -> Sequence[str]:
        return (self.options.log_group,) if self.target.configs else ()


log = logging.getLogger(__name__)

RETIRE_EVERY = 30.0


def provide_ecs(context: TargetContext) -> Provider:
    """Assemble the target ``ecs`` from its settings. It does not call AWS yet. Raises StartupError."""
    try:
        options = parse_options(context.options, EcsOptions, NAME)
    except Invalid as error:
        raise StartupError(error.message) from None
    return join_parts(context, options, open_calls(options))


def join_parts(context: TargetContext, options: EcsOptions, calls: Calls) -> Provider:
    installation = options.installation or context.installation.id
    target = EcsTarget(calls, options, installation, context.images, context.changed, settings=context.settings)
    return Provider(
        target=target,
        fleets=target,
        lifecycle=EcsLifecycle(target),
        evidence=EcsEvidence(calls, target, options, PeriodProgress(options.metric_delay, options.metric_period)),
        logs=EcsLogs(CloudLogs(calls), target, options),
        runners=RefusedTransforms(NAME),
        recommenders=RefusedRecommendations(NAME),
    )


@dataclass
class EcsLifecycle(AwsLifecycle):
    target: EcsTarget
    _retiring: set[str] = field(default_factory=set)
    """Endpoints without a record."""
    _troubles: dict[str, str] = field(default_factory=dict)
    """Why one of them cannot be removed now; logged once."""

    @property
    def chores(self) -> Sequence[Chore]:
        return (Chore(RETIRE_EVERY, self.retire),)

    async def retire_unknown(self, owners: Collection[str]) -> None:
        """Raises TargetError."""
        await self.target.groups.search()
        self._retiring = {id.endpoint for id in self.target.groups.known} - set(owners)
        await self.retire()

    async def retire(self) -> None:
        """Go on with what has no record, until nothing is left of it: tasks finish their requests first."""
        for endpoint in sorted(self._retiring):
            try:
                if any(spec.id.endpoint == endpoint for spec in self.target.desired()):
                    self._retiring.discard(endpoint)  # it was created anew
                    continue
                look = await self.target.observe(endpoint)
                if (rule := await self.target.rules.find(endpoint)) is not None:
                    await self.target.close(rule, RouteTable(endpoint, rule.fence))
                for fleet in look.fleets or ():
                    found = await self.target.find_fleet(fleet)
                    await self.target.delete_fleet(fleet, found.fence)
            except TargetError as error:
                if self._troubles.get(endpoint) != str(error):
                    log.warning("endpoint %s has no record and cannot be removed now: %s", endpoint, error)
                self._troubles[endpoint] = str(error)
            else:
                if not look.fleets:
                    self._retiring.discard(endpoint)

    def desired(self) -> list[FleetSpec]:
        return self.target.desired()
