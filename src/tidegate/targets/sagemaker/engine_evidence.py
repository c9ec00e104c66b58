"""Engine mode: evidence and logs from CloudWatch.

Metrics of endpoints have a point a minute (``metric_period``), and come late. Each point is counted as of the first
second of its period; a period counts as complete ``metric_delay`` seconds after its end. What cannot be read shortens
the span that is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import SAGEMAKER, CollectionRound, Coverage, FleetSecond, Latency
from tidegate.domain.observation import Observation
from tidegate.monitoring import sketch
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.targets.aws.calls import Calls
from tidegate.targets.aws.log_streams import CloudLogs
from tidegate.targets.aws.metric_data import MetricQuery, read_points
from tidegate.targets.sagemaker.engine_state import SeenEndpoint, fleet_of
from tidegate.targets.sagemaker.engine_target import SagemakerTarget
from tidegate.targets.sagemaker.names import LOG_GROUP as GROUP

MOST = 60
"""Periods that are read after a gap; older ones shorten the span."""
_COUNTS = {
    "invocations": "Invocations",
    "errors_4xx": "Invocation4XXErrors",
    "errors_5xx": "Invocation5XXErrors",
    "model_errors": "InvocationModelErrors",
}
_PERCENTILES = (50, 90, 99)
_LATENCIES = {"model_latency": "ModelLatency", "overhead_latency": "OverheadLatency"}
_LATENCY_STATS = ("SampleCount", "Sum", "Minimum", "Maximum", *(f"p{part}" for part in _PERCENTILES))


@dataclass
class SagemakerEvidence:
    target: SagemakerTarget
    calls: Calls
    _covered: dict[str, Coverage] = field(default_factory=dict)

    async def collect(self, now: int) -> CollectionRound:
        """Raises Transient or TargetRefused; then nothing is known of this round."""
        period = self.target.options.metric_period
        through = (now - self.target.options.metric_delay) // period * period
        seconds: list[FleetSecond] = []
        present = self.target.endpoints()
        for name in [name for name in self._covered if name not in present]:
            del self._covered[name]
        for name, (_, seen) in present.items():
            if seen is None or not seen.variants:
                continue
            before = self._covered.get(name)
            since = max(before.through if before else through - period, through - MOST * period)
            if since < through:
                seconds += await self._read(name, seen, since, through)
            begun = before.since if before and before.through >= since else since
            self._covered[name] = Coverage(begun, max(through, before.through if before else through))
        return CollectionRound(seconds, dict(self._covered))

    def refresh(self, look: Observation) -> Observation:
        """SageMaker tells nobody what is in flight."""
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()

    async def _read(self, endpoint: str, seen: SeenEndpoint, since: int, through: int) -> list[FleetSecond]:
        fleets = {variant: id for variant in seen.variants if (id := fleet_of(endpoint, variant)) is not None}
        queries = {variant: _queries(endpoint, variant) for variant in fleets}
        asked = [one for mine in queries.values() for one in mine.values()]
        period = self.target.options.metric_period
        points = await read_points(self.calls, asked, since, through, period)
        found: list[FleetSecond] = []
        for variant, id in fleets.items():
            version = config_name(self.target, id, seen.config)
            for start in range(since, through, period):
                values = {
                    what: points[one][start] for what, one in queries[variant].items() if start in points[one]
                }
                members: dict[str, Any] = {
                    member: int(values.get((one, "Sum"), 0)) for member, one in _COUNTS.items()
                }
                members |= {member: _latency(values, one) for member, one in _LATENCIES.items()}
                found.append(FleetSecond(id, version, start, seen.variants[variant].count, **members))
        return found


def config_name(target: SagemakerTarget, fleet: FleetId, otherwise: str) -> str:
    """The platform's own name of the version that a fleet belongs to; alarms on a new version watch it."""
    wanted, _ = target.endpoints()[fleet.endpoint]
    known = wanted.fleets.get(fleet)
    return known.spec.config_name if known is not None else otherwise


def _queries(endpoint: str, variant: str) -> dict[tuple[str, str], MetricQuery]:
    """Metric and statistic -> what is asked."""
    wanted = [(metric, "Sum") for metric in _COUNTS.values()]
    wanted += [(metric, stat) for metric in _LATENCIES.values() for stat in _LATENCY_STATS]
    dimensions = (("EndpointName", endpoint), ("VariantName", variant))
    return {(metric, stat): MetricQuery(SAGEMAKER, metric, dimensions, stat) for metric, stat in wanted}


def _latency(values: Mapping[tuple[str, str], float], metric: str) -> Latency | None:
    """Bins from the percentiles that CloudWatch knows: half of the requests at p50, and so on; never below them."""
    count = values.get((metric, "SampleCount"), 0.0)
    if count <= 0:
        return None
    high = values.get((metric, "Maximum"), 0.0)
    bins: dict[int, float] = {}
    below = 0.0
    for part in (*_PERCENTILES, 100):
        value = high if part == 100 else values.get((metric, f"p{part}"), high)
        index = sketch.index(value)
        bins[index] = bins.get(index, 0.0) + count * (part - below) / 100
        below = part
    return Latency(bins, values.get((metric, "Sum"), 0.0), values.get((metric, "Minimum"), 0.0), high)


@dataclass
class SagemakerLogs:
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

    async def streams(self, group: str) -> Sequence[LogStream]:
        return await self.logs.streams(group) if group in await self.groups() else []

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        return await self.logs.read(group, stream, offset, limit) if group in await self.groups() else None
