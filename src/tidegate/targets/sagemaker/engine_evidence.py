"""Engine mode: evidence and logs from CloudWatch.

Metrics of endpoints have a point a minute (``metric_period``), and come late: a period counts as complete
``metric_delay`` seconds after its end, and what it grows by later is counted, too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import SAGEMAKER, CollectionRound, FleetSecond, Latency
from tidegate.domain.observation import Observation
from tidegate.ports.logs import ReplicaLog
from tidegate.targets.aws.client import Calls
from tidegate.targets.aws.log_streams import CloudLogs, OwnLogs
from tidegate.targets.aws.metric_data import MetricQuery
from tidegate.targets.aws.period_counts import PeriodCounts, latency
from tidegate.targets.aws.period_progress import PeriodProgress, PeriodValues
from tidegate.targets.sagemaker.engine_state import fleet_of
from tidegate.targets.sagemaker.engine_target import SagemakerTarget
from tidegate.targets.sagemaker.limits import LOG_GROUP as GROUP

_COUNTS = ("Invocations", "Invocation5XXErrors", "Invocation4XXErrors", "InvocationModelErrors")
"""In the order of ``PeriodCounts``."""
_PERCENTILES = (50, 90, 99)
_LATENCIES = {"model_latency": "ModelLatency", "overhead_latency": "OverheadLatency"}
_LATENCY_STATS = ("SampleCount", "Sum", "Minimum", "Maximum", *(f"p{part}" for part in _PERCENTILES))
_Values = Mapping[tuple[str, str], float]
"""Metric and statistic -> value in one period."""


@dataclass
class SagemakerEvidence:
    target: SagemakerTarget
    calls: Calls

    def __post_init__(self) -> None:
        options = self.target.options
        self.progress = PeriodProgress(options.metric_delay, options.metric_period, early=False)

    async def collect(self, now: int) -> CollectionRound:
        """Collect the metrics of all endpoints. Raises Transient if no endpoint can be read, and TargetRefused; then
        nothing is known of this round."""
        serving = {name: seen for name, (_, seen) in self.target.endpoints().items() if seen and seen.variants}
        variants = {
            id: variant
            for name, seen in serving.items()
            for variant in seen.variants
            if (id := fleet_of(name, variant)) is not None
        }
        queries = {id: _queries(id.endpoint, variant) for id, variant in variants.items()}

        def count(id: FleetId, start: int, values: PeriodValues) -> Iterator[FleetSecond]:
            seen = serving[id.endpoint]
            found = {one: values[query][start] for one, query in queries[id].items() if start in values[query]}
            config = config_name(self.target, id, seen.config)
            latencies = {member: _latency(found, metric) for member, metric in _LATENCIES.items()}
            instances = seen.variants[variants[id]].count
            yield from self.progress.add(id, config, start, _counts(found), latencies, instances)

        asked = {id: list(mine.values()) for id, mine in queries.items()}
        return await self.progress.collect(self.calls, asked, now, count)

    def refresh(self, look: Observation) -> Observation:
        """SageMaker tells nobody what is in flight."""
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()


def _counts(values: _Values) -> PeriodCounts:
    return PeriodCounts(*(int(values.get((metric, "Sum"), 0)) for metric in _COUNTS))


def config_name(target: SagemakerTarget, fleet: FleetId, otherwise: str) -> str:
    """The platform's own name of the version that a fleet belongs to; alarms on a new version watch it."""
    wanted, _ = target.endpoints()[fleet.endpoint]
    known = wanted.fleets.get(fleet)
    return known.spec.config_name if known is not None else otherwise


def _queries(endpoint: str, variant: str) -> dict[tuple[str, str], MetricQuery]:
    """Metric and statistic -> what is asked."""
    wanted = [(metric, "Sum") for metric in _COUNTS]
    wanted += [(metric, stat) for metric in _LATENCIES.values() for stat in _LATENCY_STATS]
    dimensions = (("EndpointName", endpoint), ("VariantName", variant))
    return {(metric, stat): MetricQuery(SAGEMAKER, metric, dimensions, stat) for metric, stat in wanted}


def _latency(values: _Values, metric: str) -> Latency | None:
    """Microseconds, from the percentiles that CloudWatch knows."""
    high = values.get((metric, "Maximum"), 0.0)
    percentiles = {float(part): values.get((metric, f"p{part}"), high) for part in _PERCENTILES} | {100.0: high}
    count = int(values.get((metric, "SampleCount"), 0))
    return latency(count, percentiles, values.get((metric, "Sum"), 0.0), values.get((metric, "Minimum"), 0.0))


@dataclass
class SagemakerLogs(OwnLogs):
    """Streams are named ``VARIANT/INSTANCE``."""

    target: SagemakerTarget
    logs: CloudLogs

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        if endpoint not in self.target.endpoints():
            return []
        found: list[ReplicaLog] = []
        for stream in await self.logs.streams(GROUP + endpoint):
            variant, _, instance = stream.name.partition("/")
            if (id := fleet_of(endpoint, variant)) is not None:
                shown = await self.logs.tail(GROUP + endpoint, stream.name, lines)
                found.append(ReplicaLog(id.generation, id.variant, instance, shown))
        return sorted(found, key=lambda one: one.generation)

    async def groups(self) -> Sequence[str]:
        return [GROUP + name for name in self.target.endpoints()]
