"""Engine mode: evidence and logs from CloudWatch.

Metrics of endpoints have a point a minute (``metric_period``), and come late. Each point is counted as of the first
second of its period; a period counts as complete ``metric_delay`` seconds after its end, and what it grows by later
is counted, too. What cannot be read shortens the span that is known."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import SAGEMAKER, CollectionRound, Coverage, FleetPeriod, FleetSecond, Latency
from tidegate.domain.observation import Observation
from tidegate.monitoring import sketch
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.targets.aws.calls import Calls
from tidegate.targets.aws.log_streams import CloudLogs
from tidegate.targets.aws.metric_data import MetricQuery, read_points
from tidegate.targets.aws.period_counts import PeriodCounts
from tidegate.targets.aws.period_progress import AGAIN, CompletePeriods
from tidegate.targets.sagemaker.engine_state import SeenEndpoint, fleet_of
from tidegate.targets.sagemaker.engine_target import SagemakerTarget
from tidegate.targets.sagemaker.names import LOG_GROUP as GROUP

log = logging.getLogger(__name__)

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
_Values = Mapping[tuple[str, str], float]
"""Metric and statistic -> value in one period."""
_Points = dict[tuple[FleetId, int], dict[tuple[str, str], float]]
"""By fleet and start of the period."""


@dataclass
class SagemakerEvidence:
    target: SagemakerTarget
    calls: Calls
    _covered: dict[str, Coverage] = field(default_factory=dict)
    _passed_on: dict[tuple[FleetId, int], dict[str, int]] = field(default_factory=dict)
    _finished: CompletePeriods = field(default_factory=CompletePeriods)
    _unread: set[str] = field(default_factory=set)
    """Endpoints that could not be read in the last round."""

    async def collect(self, now: int) -> CollectionRound:
        """What cannot be read of one endpoint leaves the others known. Raises Transient if that is so of all, and
        TargetRefused; then nothing is known of this round."""
        period = self.target.options.metric_period
        through = (now - self.target.options.metric_delay) // period * period
        if any(one.through > through + period for one in self._covered.values()):
            self._begin_anew()
        present = {name: seen for name, (_, seen) in self.target.endpoints().items() if seen and seen.variants}
        covered, points, unread = dict[str, Coverage](), dict[str, _Points](), dict[str, Transient]()
        for name, seen in present.items():
            before = self._covered.get(name)
            # An earlier process may have counted everything before: read again, it would count twice.
            since = max(before.through if before else through, through - MOST * period)
            begun = before.since if before and before.through >= since else since
            try:
                if since < through:
                    points[name] = await self._read(name, seen, max(begun, since - AGAIN * period), through)
            except Transient as error:
                unread[name] = error
                continue
            covered[name] = Coverage(begun, max(through, before.through if before else through))
        if unread and unread.keys() == present.keys():
            raise next(iter(unread.values()))
        self._note(unread)
        # Nothing is counted before all of it was read: what this round does not return would never be counted.
        gone = self._covered.keys() - self.target.endpoints().keys()
        self._covered = {name: one for name, one in self._covered.items() if name not in gone} | covered
        seconds, periods = list[FleetSecond](), {name: list[FleetPeriod]() for name in self._covered}
        for name, found in points.items():
            for (id, start), values in found.items():
                seconds += self._count(present[name], id, start, values, through - period)
                periods[name] += self._finished.add(id, start, period, _failures(values))
        oldest = min([through, *(self._covered[name].through for name in unread if name in self._covered)])
        oldest = max(oldest, through - MOST * period) - (AGAIN + 1) * period
        self._passed_on = {key: counts for key, counts in self._passed_on.items() if key[1] >= oldest}
        self._finished.forget(oldest)
        return CollectionRound(seconds, dict(self._covered), periods)

    def _begin_anew(self) -> None:
        """The clock was set back: what was counted up to a time that is still to come would be taken for all that
        happens until then, and nothing of it would be read."""
        self._covered, self._passed_on, self._finished = {}, {}, CompletePeriods()

    def _note(self, unread: Mapping[str, Transient]) -> None:
        """Log which endpoints cannot be read, once."""
        for name in unread.keys() - self._unread:
            log.warning("endpoint %s was not measured: %s", name, unread[name])
        self._unread = set(unread)

    def refresh(self, look: Observation) -> Observation:
        """SageMaker tells nobody what is in flight."""
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return ()

    async def _read(self, endpoint: str, seen: SeenEndpoint, since: int, through: int) -> _Points:
        fleets = {variant: id for variant in seen.variants if (id := fleet_of(endpoint, variant)) is not None}
        queries = {variant: _queries(endpoint, variant) for variant in fleets}
        asked = [one for mine in queries.values() for one in mine.values()]
        period = self.target.options.metric_period
        points = await read_points(self.calls, asked, since, through, period)
        if (trouble := points.find_trouble(asked)) is not None:
            raise Transient(trouble)
        found = points.values
        return {
            (id, start): {what: found[one][start] for what, one in queries[variant].items() if start in found[one]}
            for variant, id in fleets.items()
            for start in range(since, through, period)
        }

    def _count(
        self, seen: SeenEndpoint, id: FleetId, start: int, values: _Values, newest: int
    ) -> Iterator[FleetSecond]:
        """What was not passed on of a period; latencies with the first report on it. What it grows by later is passed
        on as of the ``newest`` one: alarms have judged its own, and look at it no more."""
        counts, known = _counts(values), self._passed_on.get((id, start))
        new = {name: max(0, count - (known or {}).get(name, 0)) for name, count in counts.items()}
        if known is not None and not any(new.values()):
            return
        # An error that arrives after its request counts as a request, too: one without would count nowhere.
        errors = max(new["errors_4xx"] + new["errors_5xx"], new["model_errors"])
        new["invocations"] = max(new["invocations"], errors if known is not None else 0)
        self._passed_on[id, start] = {name: count + (known or {}).get(name, 0) for name, count in new.items()}
        times: dict[str, Any] = {member: _latency(values, one) for member, one in _LATENCIES.items()}
        version = config_name(self.target, id, seen.config)
        instances = next(
            one.count for variant, one in seen.variants.items() if fleet_of(id.endpoint, variant) == id
        )
        counted: dict[str, Any] = {**new, **(times if known is None else {})}
        yield FleetSecond(id, version, start if known is None else newest, instances, **counted)


def _counts(values: _Values) -> dict[str, int]:
    return {member: int(values.get((one, "Sum"), 0)) for member, one in _COUNTS.items()}


def _failures(values: _Values) -> PeriodCounts:
    """What versions are compared by."""
    counts = _counts(values)
    failed = max(counts["errors_4xx"] + counts["errors_5xx"], counts["model_errors"])
    return PeriodCounts(counts["invocations"], min(counts["invocations"], failed))


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


def _latency(values: _Values, metric: str) -> Latency | None:
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
