"""Engine mode: evidence and logs from CloudWatch.

Metrics of endpoints have a point a minute (``metric_period``), and come late. Each point is counted as of the first
second of its period; a period counts as complete ``metric_delay`` seconds after its end. What cannot be read shortens
the span that is known."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import SAGEMAKER, CollectionRound, Coverage, FleetSecond, Latency
from tidegate.domain.observation import Observation
from tidegate.monitoring import sketch
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.targets.sagemaker.calls import Params
from tidegate.targets.sagemaker.client import AwsClient
from tidegate.targets.sagemaker.engine_state import fleet_of
from tidegate.targets.sagemaker.engine_target import SagemakerTarget
from tidegate.targets.sagemaker.observe import describe

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
    in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread
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
                fleets = {variant: id for variant in seen.variants if (id := fleet_of(name, variant)) is not None}
                counts = {id: seen.variants[variant].count for variant, id in fleets.items()}
                seconds += await self.in_thread(
                    lambda n=name, f=fleets, c=counts, s=since, c2=seen.config: self._read(n, f, c, c2, s, through)
                )
            begun = before.since if before and before.through >= since else since
            self._covered[name] = Coverage(begun, max(through, before.through if before else through))
        return CollectionRound(seconds, dict(self._covered))

    def refresh(self, look: Observation) -> Observation:
        """SageMaker tells nobody what is in flight."""
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()

    def _read(
        self,
        endpoint: str,
        fleets: Mapping[str, FleetId],
        counts: Mapping[FleetId, int],
        config: str,
        since: int,
        through: int,
    ) -> list[FleetSecond]:
        found: list[FleetSecond] = []
        period = self.target.options.metric_period
        for variant, id in fleets.items():
            points = read_points(self.target.aws, endpoint, variant, since, through, period)
            for start in range(since, through, period):
                values = points.get(start, {})
                members: dict[str, Any] = {
                    member: int(values.get((one, "Sum"), 0)) for member, one in _COUNTS.items()
                }
                members |= {member: _latency(values, one) for member, one in _LATENCIES.items()}
                version = config_name(self.target, id, config)
                found.append(FleetSecond(id, version, start, counts[id], **members))
        return found


def config_name(target: SagemakerTarget, fleet: FleetId, otherwise: str) -> str:
    """The platform's own name of the version that a fleet belongs to; alarms on a new version watch it."""
    wanted, _ = target.endpoints()[fleet.endpoint]
    known = wanted.fleets.get(fleet)
    return known.spec.config_name if known is not None else otherwise


def read_points(
    aws: AwsClient, endpoint: str, variant: str, since: int, through: int, period: int
) -> dict[int, dict[tuple[str, str], float]]:
    """Start of a period (epoch seconds) -> (metric, statistic) -> value."""
    wanted = [(metric, "Sum") for metric in _COUNTS.values()]
    wanted += [(metric, stat) for metric in _LATENCIES.values() for stat in _LATENCY_STATS]
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    queries = [
        {
            "Id": f"q{index}",
            "MetricStat": {
                "Metric": {"Namespace": SAGEMAKER, "MetricName": metric, "Dimensions": dimensions},
                "Period": period,
                "Stat": stat,
            },
        }
        for index, (metric, stat) in enumerate(wanted)
    ]
    span = {"StartTime": datetime.fromtimestamp(since, UTC), "EndTime": datetime.fromtimestamp(through, UTC)}
    points: dict[int, dict[tuple[str, str], float]] = {}
    token: str | None = None
    while True:
        params: Params = {"MetricDataQueries": queries, **span} | ({"NextToken": token} if token else {})
        answer = aws.call("cloudwatch", "GetMetricData", params)
        for result in answer["MetricDataResults"]:
            what = wanted[int(result["Id"][1:])]
            for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                points.setdefault(int(at.timestamp()) // period * period, {})[what] = float(value)
        token = answer.get("NextToken")
        if not token:
            return points


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


GROUP = "/aws/sagemaker/Endpoints/"


@dataclass
class SagemakerLogs:
    """Streams are named ``VARIANT/INSTANCE``."""

    target: SagemakerTarget
    in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        if endpoint not in self.target.endpoints():
            return []
        found: list[ReplicaLog] = []
        for stream in await self.streams(GROUP + endpoint):
            variant, _, instance = stream.name.partition("/")
            id = fleet_of(endpoint, variant)
            read = await self.read(GROUP + endpoint, stream.name, None, lines)
            if id is not None and read is not None:
                found.append(ReplicaLog(id.generation, id.variant, instance, read.lines))
        return sorted(found, key=lambda one: one.generation)

    async def groups(self) -> Sequence[str]:
        return [GROUP + name for name in self.target.endpoints()]

    async def streams(self, group: str) -> Sequence[LogStream]:
        if group not in await self.groups():
            return []
        aws = self.target.aws
        found = await self.in_thread(lambda: describe(aws, "DescribeLogStreams", {"logGroupName": group}, "logs"))
        return [
            LogStream(
                one["logStreamName"],
                one.get("creationTime", 0) / 1000,
                one.get("lastEventTimestamp", 0) / 1000,
                one.get("storedBytes", 0),
            )
            for one in (found or {}).get("logStreams", ())
        ]

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        found = next((one for one in await self.streams(group) if one.name == stream), None)
        if found is None:
            return None
        named = {"logGroupName": group, "logStreamName": stream, "startFromHead": offset is not None}
        aws = self.target.aws
        answer = await self.in_thread(lambda: describe(aws, "GetLogEvents", {**named, "limit": 10_000}, "logs"))
        lines = [str(one["message"]) for one in (answer or {}).get("events", ())]
        first = max(0, len(lines) - limit) if offset is None else offset
        shown = tuple(lines[first : first + limit])
        return LogLines(found, shown, first + len(shown))
