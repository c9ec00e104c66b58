"""A collector over a target, workers and a proxy that are all of the test's own making."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.memory_metrics import MemoryMetrics
from tests.unit.targets.local.local_harness import spec
from tidegate.domain.errors import Transient, Unavailable
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import CollectionRound, MetricId
from tidegate.domain.observation import FleetStatus
from tidegate.monitoring import sketch
from tidegate.ports.router import PassedRequests, ServerAddress
from tidegate.service import metric_samples
from tidegate.targets.collection.collector import Collector
from tidegate.targets.collection.coverage import CoverageTracker
from tidegate.targets.collection.sources import ServingReplica
from tidegate.targets.local.resource_usage import ProcessUsage

NOW = 1_800_000_000
NO_PROCESS = 2**22 + 1
"""A pid that no process has."""


def spread(*values: float) -> dict[str, Any]:
    bins: dict[str, int] = {}
    for value in values:
        bins[str(sketch.index(value))] = bins.get(str(sketch.index(value)), 0) + 1
    whole = {"total": sum(values), "low": min(values), "high": max(values)} if values else {}
    return {"count": len(values), "total": 0, "low": 0, "high": 0, "bins": bins, **whole}


def second(at: int, errors: int = 0, good: int = 1) -> dict[str, Any]:
    times = [1000.0] * (errors + good)
    return {
        "second": at,
        "invocations": errors + good,
        "4xx": 0,
        "5xx": errors,
        "model_errors": errors,
        "latency": spread(*times),
        "overhead": spread(*times),
        "series": [],
    }


@dataclass
class Worker:
    """What a worker has counted, by second. ``raw``: what its page is instead; None: it hangs."""

    seconds: dict[int, dict[str, Any]] = field(default_factory=dict)
    answered: int | None = 0
    in_flight: int = 0
    activity: int | None = None
    """What its file has; ``told``: what its page says of that."""
    told: int | None = None
    raw: bytes | None = b""
    failures: Any = None
    asked: list[int] = field(default_factory=list)
    """The first second of every question."""

    def page(self, since: int = 0, before: int = 2**40, now: float | None = None) -> bytes:
        rows = [row for at, row in sorted(self.seconds.items()) if since <= at < before]
        made = {} if now is None else {"now": now}
        page = {"in_flight": self.in_flight, "seconds": rows, **made}
        said = {"answered": self.answered, "activity": self.told}
        if self.failures is not None:
            page["failures"] = self.failures
        page |= {name: value for name, value in said.items() if value is not None}
        return json.dumps(page).encode()


@dataclass
class StandInTarget:
    """Fleets by id, with the replicas of each."""

    fleets: dict[FleetId, dict[str, Worker]] = field(default_factory=dict)
    failing: set[FleetId] = field(default_factory=set)
    passed: Mapping[FleetId, PassedRequests] = field(default_factory=dict)
    answers: Mapping[FleetId, tuple[int, int]] = field(default_factory=dict)

    def serving(self) -> Iterator[ServingReplica]:
        for fleet, replicas in self.fleets.items():
            for replica in replicas:
                yield ServingReplica(spec(1, fleet), replica, NO_PROCESS, Path(replica))

    def provisioned(self) -> list[FleetSpec]:
        return []

    def spec(self, fleet: FleetId) -> FleetSpec | None:
        return spec(1, fleet) if fleet in self.fleets else None

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        if fleet not in self.fleets:
            return None
        failure = "it does not start" if fleet in self.failing else None
        return FleetStatus(fleet, 1, self.ready_count(fleet), failure=failure)

    def ready_count(self, fleet: FleetId) -> int:
        return len(self.fleets.get(fleet, ()))

    def set_answers(self, counts: Mapping[FleetId, tuple[int, int]]) -> None:
        self.answers = dict(counts)

    def set_load(self, passed: Mapping[FleetId, PassedRequests]) -> None:
        self.passed = passed


@dataclass
class History(MemoryMetrics):
    away: bool = False

    async def last(self, metric: MetricId, since: int) -> int | None:
        if self.away:
            raise Unavailable("the database is away")
        return await super().last(metric, since)


@dataclass
class CollectorHarness:
    """``loads`` is what the proxy says of each fleet, one list item a look; it is away where that is None."""

    file: Path | None = None
    target: StandInTarget = field(default_factory=StandInTarget)
    metrics: History = field(default_factory=History)
    loads: list[Mapping[FleetId, PassedRequests]] | None = field(default_factory=list)
    now: int = NOW
    collector: Collector = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new controller."""
        tracker, usage = CoverageTracker(self.file), ProcessUsage().measure
        self.collector = Collector(
            *(self.target, self.metrics, self._passed, self.answer, usage, tracker),
            patience=60,
            activity=lambda replica: self.target.fleets[replica.fleet.id][replica.id].activity,
        )

    def worker(self, fleet: FleetId, replica: str) -> Worker:
        return self.target.fleets.setdefault(fleet, {}).setdefault(replica, Worker())

    def forget(self, fleet: FleetId, replica: str) -> Worker:
        return self.target.fleets[fleet].pop(replica)

    async def collect(self, now: int) -> CollectionRound:
        """Ask, and keep what is found as the platform would."""
        self.now = now
        found = await self.collector.collect(now)
        await self.metrics.put(metric_samples.samples(found.seconds))
        await asyncio.sleep(0)
        return found

    async def counted(self, now: int) -> dict[int, tuple[int, int]]:
        """Requests and errors by second."""
        found: dict[int, tuple[int, int]] = {}
        for one in (await self.collect(now)).seconds:
            if one.invocations:
                before = found.get(one.second, (0, 0))
                found[one.second] = before[0] + one.invocations, before[1] + one.errors_5xx
        return found

    async def _passed(self) -> Mapping[FleetId, PassedRequests]:
        if self.loads is None:
            raise Transient("the proxy is away")
        found = self.loads.pop(0) if self.loads else {}
        return {**dict.fromkeys(self.target.fleets, PassedRequests(queue_time=0.0)), **found}

    async def answer(self, socket: ServerAddress, path: str, seconds: float = 0) -> tuple[int, bytes] | None:
        asked = parse_qs(urlsplit(path).query)
        since, before = int(asked["since"][0]), int(asked["before"][0])
        for replicas in self.target.fleets.values():
            if (worker := replicas.get(str(socket))) is not None:
                worker.asked.append(since)
                if worker.raw is None:
                    await asyncio.Event().wait()
                return 200, worker.raw or worker.page(since, min(before, self.now), self.now + 0.05)
        return None


@contextmanager
def collecting(file: Path | None = None) -> Iterator[CollectorHarness]:
    yield CollectorHarness(file)


def loaded(**changed: Any) -> PassedRequests:
    return replace(PassedRequests(queue_time=0.0), **changed)
