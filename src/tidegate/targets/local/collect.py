"""What the fleets did, second by second: asked of every worker, completed by what only the proxy saw.

A worker shows a second once it is over and keeps it for three minutes, so a question that goes unanswered, or a
controller that was away, loses nothing: the next one asks from where the last answer ended.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import psutil

from tidegate.evidence import sketch
from tidegate.evidence.spread import together
from tidegate.model.errors import TidegateError
from tidegate.model.fleet import FleetId, FleetSpec
from tidegate.model.metric import SAGEMAKER, Collected, FleetSecond, Latency, MetricId, Series
from tidegate.ports.metrics import Metrics
from tidegate.ports.router import Passed
from tidegate.targets.local import ping
from tidegate.targets.local.coverage import CoverageTracker
from tidegate.targets.local.target import LocalTarget

log = logging.getLogger(__name__)

BACKLOG = 170
"""Seconds that a controller which was away asks for: a little less than a worker keeps."""


class Spread(msgspec.Struct):
    count: int
    total: float
    low: float
    high: float
    bins: dict[int, float]

    def latency(self) -> Latency | None:
        return Latency(self.bins, self.total, self.low, self.high) if self.count else None


class Noted(msgspec.Struct):
    name: str
    dimensions: dict[str, str]
    spread: Spread


class Second(msgspec.Struct):
    """One record of a worker's stats page."""

    second: int
    invocations: int
    model_errors: int
    latency: Spread
    overhead: Spread
    errors_4xx: int = msgspec.field(name="4xx")
    errors_5xx: int = msgspec.field(name="5xx")
    series: list[Noted] = []


class Page(msgspec.Struct):
    """``in_flight``: requests in hand when it was asked."""

    seconds: list[Second]
    in_flight: int = 0


@dataclass
class Collector:
    """``passed`` gives, per fleet, how many requests since the last call the proxy answered itself (worker died,
    timed out, none ready, client over its quota), and what is in hand now."""

    target: LocalTarget
    metrics: Metrics
    passed: Callable[[], Awaitable[Mapping[FleetId, Passed]]]
    _since: dict[str, int] = field(default_factory=dict)
    """Replica -> first second not yet taken."""
    _coverage: CoverageTracker = field(default_factory=CoverageTracker)
    _left: list[tuple[FleetSpec, str, bytes]] = field(default_factory=list)
    """What replicas left behind that have ended, not yet taken."""
    _known: dict[int, psutil.Process] = field(default_factory=dict)
    _began: bool = False
    """All that an earlier controller left is taken up: a replica that comes now was never asked before."""

    async def collect(self, now: int) -> Collected:
        """Everything new that is over by ``now`` (epoch seconds), one record per fleet and second, and how far the
        counts of each endpoint reach. What cannot be had now is asked for again the next time."""
        left, self._left = self._left, []
        parts = [part for one in left for part in await self._harvested(*one, now)]
        replicas = list(self.target.serving())
        pages = await asyncio.gather(*(self._ask(spec, id, socket, now) for spec, id, _, socket in replicas))
        parts += [part for page, _ in pages for part in page]
        hands = [(spec, held) for (spec, *_), (_, held) in zip(replicas, pages, strict=True) if held is not None]
        parts += self._in_hand(hands, now - 1)
        parts += self._readings(replicas, now - 1)
        parts += [self._provisioned(spec, now - 1) for spec in self.target.provisioned()]
        passed = await self._passed(now)
        self.target.told(passed)
        for fleet, load in passed.items():
            if (spec := self.target.spec(fleet)) is not None and load != Passed(queue_time=0.0):
                parts.append(self._by_proxy(spec, now - 1, load))
        self._began = self._began or (not self._left and all(id in self._since for _, id, *_ in replicas))
        alive = {id for _, id, *_ in replicas} | {id for _, id, _ in self._left}
        self._coverage.forget(alive, (id for _, id, _ in left), now)
        owners = {id: spec.id.endpoint for spec, id, *_ in replicas}
        waiting = {id: endpoint for id, endpoint in owners.items() if id not in self._since}
        self._since = {id: since for id, since in self._since.items() if id in alive}
        endpoints = {fleet.endpoint for fleet in passed} | set(owners.values()) | self._endpoints(passed)
        return Collected(list(merged(parts)), self._coverage.report(endpoints, waiting, now))

    def _endpoints(self, passed: Mapping[FleetId, Passed]) -> set[str]:
        """Those that were followed before, where the proxy did not say which there are."""
        return set() if passed else set(self._coverage.endpoints())

    def harvest(self, spec: FleetSpec, replica: str, page: bytes) -> None:
        """Takes what a replica left behind; it goes out with the next ``collect``."""
        self._left.append((spec, replica, page))

    async def _harvested(self, spec: FleetSpec, replica: str, page: bytes, now: int) -> list[FleetSecond]:
        try:
            left = _page(page)
            return self._records(spec, left, await self._first(spec, replica, now)) if left is not None else []
        except TidegateError:
            self._left.append((spec, replica, page))
            return []

    async def _passed(self, now: int) -> Mapping[FleetId, Passed]:
        try:
            passed = await self.passed()
            self._coverage.proxy = now
            return passed
        except TidegateError as error:
            log.warning("what the proxy answered itself is not known now: %s", error)
            return {}

    async def _ask(
        self, spec: FleetSpec, replica: str, socket: Path, now: int
    ) -> tuple[list[FleetSecond], int | None]:
        """What is new, and how many requests it has in hand (None: it did not answer)."""
        try:
            since = self._since[replica] = await self._first(spec, replica, now)
        except TidegateError:
            return [], None
        if now - since > BACKLOG:
            self._coverage.lose(spec.id.endpoint, now - BACKLOG)
        self._coverage.follow(spec.id.endpoint, max(since, now - BACKLOG))
        answer = await ping.get(socket, f"/_tidegate/stats?since={since}")
        page = _page(answer[1]) if answer is not None and answer[0] == 200 else None
        if page is None:
            return [], None
        records = self._records(spec, page, since)
        self._since[replica] = max([since, now, *(record.second + 1 for record in records)])
        self._coverage.take(spec.id.endpoint, replica, self._since[replica])
        return records, page.in_flight

    def _in_hand(self, hands: Iterable[tuple[FleetSpec, int]], second: int) -> list[FleetSecond]:
        """What each replica has in hand, and the part of what is provisioned that this makes of a serverless
        fleet."""
        groups: dict[FleetId, tuple[FleetSpec, list[float]]] = {}
        for spec, held in hands:
            groups.setdefault(spec.id, (spec, []))[1].append(float(held))
        found = []
        for spec, values in groups.values():
            bounds = spec.variant.serverless
            series: tuple[Series, ...] = ()
            if bounds is not None and bounds.provisioned:
                series = (
                    _single("ServerlessProvisionedConcurrencyUtilization", sum(values) / bounds.provisioned),
                )
            found.append(replace(self._blank(spec, second), in_flight=tuple(values), series=series))
        return found

    async def _first(self, spec: FleetSpec, replica: str, now: int) -> int:
        """The first second not yet taken of a replica. A clock that was set back does not blind us until it is
        where it was."""
        since = self._since.get(replica)
        if since is not None:
            return min(since, now)
        return now - BACKLOG if self._began else await self._taken(spec, now)

    async def _taken(self, spec: FleetSpec, now: int) -> int:
        """The first second that an earlier controller has not taken of this fleet."""
        named = {
            "EndpointName": spec.id.endpoint,
            "VariantName": spec.id.variant,
            "EndpointConfigName": spec.config_name,
        }
        # Every request has a value of this one, also of an asynchronous endpoint.
        metric = MetricId.of(SAGEMAKER, "Invocation5XXErrors", named)
        taken = await self.metrics.read(metric, now - BACKLOG, now, 1)
        return max(taken, default=now - BACKLOG) + 1

    def _records(self, spec: FleetSpec, page: Page, since: int) -> list[FleetSecond]:
        return [self._record(spec, second) for second in page.seconds if second.second >= since]

    def _record(self, spec: FleetSpec, second: Second) -> FleetSecond:
        return replace(
            self._blank(spec, second.second),
            invocations=second.invocations,
            errors_4xx=second.errors_4xx,
            errors_5xx=second.errors_5xx,
            model_errors=second.model_errors,
            model_latency=second.latency.latency(),
            overhead_latency=second.overhead.latency(),
            series=billed(spec, max(0.0, second.latency.total - second.overhead.total) / 1e6)
            + tuple(
                Series(noted.name, tuple(sorted(noted.dimensions.items())), values)
                for noted in second.series
                if (values := noted.spread.latency())
            ),
        )

    def _provisioned(self, spec: FleetSpec, second: int) -> FleetSecond:
        """Replicas that are always there are billed whether they are asked or not."""
        bounds = spec.variant.serverless
        return replace(self._blank(spec, second), series=billed(spec, bounds.least if bounds else 0))

    def _by_proxy(self, spec: FleetSpec, second: int, load: Passed) -> FleetSecond:
        """A refused request is one that was made, and an error of the server's; a throttled one is neither, or one
        client could make an endpoint grow."""
        return replace(
            self._blank(spec, second),
            invocations=load.unanswered,
            errors_5xx=load.unanswered,
            model_errors=load.unanswered - load.refused,
            series=waiting(load),
        )

    def _blank(self, spec: FleetSpec, second: int) -> FleetSecond:
        return FleetSecond(
            spec.id,
            spec.config_name,
            second,
            self.target.ready_count(spec.id),
            queued=spec.variant.asynchronous is not None,
        )

    def _readings(self, replicas: Iterable[tuple[FleetSpec, str, int, object]], second: int) -> list[FleetSecond]:
        """Of each replica and what it started: percent of one core since the last look, percent of the memory of
        the machine."""
        known, readings = dict[int, psutil.Process](), []
        for spec, _, pid, _ in replicas:
            cpu = memory = 0.0
            for one in family(pid):
                with contextlib.suppress(psutil.Error):
                    process = known[one] = self._known.get(one) or psutil.Process(one)
                    with process.oneshot():
                        cpu, memory = cpu + process.cpu_percent(None), memory + process.memory_percent()
            if pid in known:
                readings.append(replace(self._blank(spec, second), cpu=(cpu,), memory=(memory,)))
        self._known = known
        return readings


def waiting(load: Passed) -> tuple[Series, ...]:
    """What the proxy saw at the end of a second; what is 0 is not told. A wait that has no end yet is not, either."""
    told = {
        "QueuedRequests": float(load.queued),
        "QueueTime": 1e6 * (load.queue_time or 0.0),
        "RefusedRequests": float(load.refused),
        "ThrottledRequests": float(load.throttled),
    }
    return tuple(
        Series(name, (), Latency({sketch.index(value): 1.0}, value, value, value))
        for name, value in told.items()
        if value > 0
    )


def billed(spec: FleetSpec, seconds: float) -> tuple[Series, ...]:
    """Of a serverless fleet: its memory in GiB times the seconds; nothing for any other."""
    bounds = spec.variant.serverless
    if bounds is None or seconds <= 0:
        return ()
    return (_single("BilledGBSeconds", bounds.memory / 2**30 * seconds),)


def _single(name: str, value: float) -> Series:
    return Series(name, (), Latency({sketch.index(value): 1.0}, value, value, value))


def _page(body: bytes) -> Page | None:
    """None: it cannot be read."""
    try:
        return msgspec.json.decode(body, type=Page)
    except msgspec.DecodeError:
        return None


def family(pid: int) -> Iterator[int]:
    """A process and those that its main thread, and theirs, started and that still run: what Linux tells without
    a look at every process of the machine. Elsewhere the process alone."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from family(int(child))


def merged(parts: Iterable[FleetSecond]) -> Iterator[FleetSecond]:
    """One record per fleet and second."""
    groups: dict[tuple[FleetId, int], list[FleetSecond]] = {}
    for part in parts:
        groups.setdefault((part.fleet, part.second), []).append(part)
    for group in groups.values():
        yield replace(
            group[0],
            invocations=sum(p.invocations for p in group),
            errors_4xx=sum(p.errors_4xx for p in group),
            errors_5xx=sum(p.errors_5xx for p in group),
            model_errors=sum(p.model_errors for p in group),
            model_latency=together([p.model_latency for p in group]),
            overhead_latency=together([p.overhead_latency for p in group]),
            cpu=tuple(value for p in group for value in p.cpu),
            memory=tuple(value for p in group for value in p.memory),
            in_flight=tuple(value for p in group for value in p.in_flight),
            series=_united([series for p in group for series in p.series]),
        )


def _united(series: Iterable[Series]) -> tuple[Series, ...]:
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Latency | None]] = {}
    for one in series:
        groups.setdefault((one.name, one.dimensions), []).append(one.values)
    return tuple(Series(*key, values) for key, parts in groups.items() if (values := together(parts)))
