"""Every request is counted once: over restarts, in spite of a proxy or a database that is away, whatever the clock
does."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import pytest

from tests.memory_metrics import MemoryMetrics
from tests.unit.targets.local.local_harness import FLEET, LocalTargetHarness, run, spec, stand, until
from tidegate.domain.errors import Transient, Unavailable
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import FleetSecond, MetricId
from tidegate.ports.router import PassedRequests
from tidegate.service import metric_samples
from tidegate.targets.collection import worker_http
from tidegate.targets.collection.collector import BACKLOG, Collector
from tidegate.targets.local.replica import SERVED
from tidegate.targets.local.resource_usage import ProcessUsage
from tidegate.targets.local.supervisor_context import DesiredFleet, save_desired
from tidegate.targets.local.target import LocalTarget

NOW = 1_800_000_000
NOTHING = {"count": 0, "total": 0, "low": 0, "high": 0, "bins": {}}


def page(seconds: Mapping[int, int], since: int = 0, before: int = 2**40) -> bytes:
    """What a worker says that had so many requests in each of these seconds."""
    zero = {"model_errors": 0, "4xx": 0, "5xx": 0, "latency": NOTHING, "overhead": NOTHING}
    rows = [{"second": s, "invocations": n, **zero} for s, n in seconds.items() if since <= s < before]
    return msgspec.json.encode({"seconds": rows})


def counted(seconds: list[FleetSecond]) -> dict[int, int]:
    return {one.second: one.invocations for one in seconds if one.invocations}


@dataclass
class Forgetful(MemoryMetrics):
    """A database that is away for the next so many reads."""

    away: int = 0

    async def last(self, metric: MetricId, since: int) -> int | None:
        if self.away:
            self.away -= 1
            raise Unavailable("the database is away")
        return await super().last(metric, since)


@dataclass
class Case:
    here: LocalTargetHarness
    target: LocalTarget
    collector: Collector
    metrics: Forgetful
    seconds: dict[int, int] = field(default_factory=dict)
    """What the replica r-a had."""
    refused: dict[FleetId, int] = field(default_factory=dict)
    load: PassedRequests | None = None
    """What the proxy says of the fleet, where that is more than what it refused."""
    proxy_away: bool = False
    now: int = NOW

    async def passed(self) -> Mapping[FleetId, PassedRequests]:
        if self.proxy_away:
            raise Transient("the proxy is away")
        if self.load is not None:
            return {FLEET: self.load}
        found, self.refused = self.refused, {}
        return {fleet: PassedRequests(unanswered=count) for fleet, count in found.items()}

    async def collect(self, now: int) -> dict[int, int]:
        self.now = now
        return counted((await self.collector.collect(now)).seconds)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, asked, since = (await reader.readuntil(b"\r\n\r\n")).partition(b"since=")
        body = page(self.seconds, int(since.split(b"&")[0].split()[0]), self.now) if asked else b""
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        writer.close()


@asynccontextmanager
async def serving(here: LocalTargetHarness, worker: "subprocess.Popen[bytes]") -> AsyncIterator[Case]:
    """One replica, r-a, that an earlier controller left, with a stand-in for what it answers."""
    save_desired(here.folders, DesiredFleet(spec(1), 1))
    here.left("r-a", worker, SERVED)
    metrics = Forgetful()
    target = here.target()
    usage = ProcessUsage().measure
    collector = Collector(target, metrics, lambda: case.passed(), worker_http.get, usage, patience=40)
    case = Case(here, target, collector, metrics)
    async with await asyncio.start_unix_server(case.answer, here.folders.socket("r-a")):
        await until(lambda: target.ready_count(FLEET) == 1, "it is ready")
        yield case
        await target.detach()


def told(story: Callable[[Case], Awaitable[None]]) -> None:
    async def test() -> None:
        with stand() as here, here.sleeper() as worker:
            async with serving(here, worker) as case:
                await story(case)

    run(test())


def test_a_proxy_that_does_not_answer_costs_nothing_of_what_the_workers_counted() -> None:
    async def story(case: Case) -> None:
        case.seconds = {NOW - 1: 5}
        case.proxy_away = True
        assert await case.collect(NOW) == {NOW - 1: 5}
        case.proxy_away, case.refused = False, {FLEET: 2}
        assert await case.collect(NOW + 1) == {NOW: 2}

    told(story)


def test_a_database_that_is_away_at_the_start_costs_nothing() -> None:
    async def story(case: Case) -> None:
        case.seconds, case.metrics.away = {NOW - 1: 5}, 1
        assert await case.collect(NOW) == {}
        assert await case.collect(NOW + 1) == {NOW - 1: 5}
        assert await case.collect(NOW + 2) == {}

    told(story)


def test_refusals_for_a_fleet_that_has_nothing_left_are_counted() -> None:
    async def story(case: Case) -> None:
        await case.target.ensure_fleet(spec(0), 2)
        await until(lambda: not list(case.target.serving()), "nothing serves")
        case.refused = {FLEET: 7}
        seconds = (await case.collector.collect(NOW)).seconds
        assert counted(seconds) == {NOW - 1: 7}
        assert [one.errors_5xx for one in seconds] == [7]

    told(story)


@pytest.mark.parametrize("asked_before", [True, False])
def test_what_a_replica_left_is_not_counted_again(asked_before: bool) -> None:
    """By this controller, or by an earlier one whose metrics are there."""

    async def story(case: Case) -> None:
        case.seconds = {NOW - 2: 3, NOW - 1: 5}
        if asked_before:
            assert await case.collect(NOW) == case.seconds
        else:
            earlier = [FleetSecond(FLEET, "fraud-v1", second, 1, n) for second, n in case.seconds.items()]
            await case.metrics.put(metric_samples.samples(earlier))
        case.collector.harvest(spec(1), "r-a", page({**case.seconds, NOW: 4}))
        case.seconds = {}
        assert await case.collect(NOW + 1) == {NOW: 4}

    told(story)


def test_the_first_second_of_a_new_replica_is_counted() -> None:
    async def story(case: Case) -> None:
        case.seconds = {NOW - 1: 5}
        assert await case.collect(NOW) == {NOW - 1: 5}
        case.collector.harvest(spec(1), "r-new", page({NOW - 1: 2, NOW: 1}))
        assert await case.collect(NOW + 1) == {NOW - 1: 2, NOW: 1}

    told(story)


def test_a_clock_that_is_set_back_does_not_blind_the_collector() -> None:
    async def story(case: Case) -> None:
        case.seconds = {NOW - 1: 5}
        assert await case.collect(NOW) == {NOW - 1: 5}
        back = NOW - 3600
        await case.collect(back)
        case.seconds[back] = 6
        assert await case.collect(back + 1) == {back: 6}
        assert await case.collect(back + 2) == {}

    told(story)


def test_a_controller_that_was_away_takes_what_the_workers_kept() -> None:
    async def story(case: Case) -> None:
        case.seconds = {NOW - BACKLOG + 1: 1, NOW - 60: 2, NOW - 1: 3}
        assert await case.collect(NOW) == case.seconds

    told(story)


def test_what_the_proxy_refused_and_lets_wait_is_told_with_the_fleet() -> None:
    async def story(case: Case) -> None:
        case.load = PassedRequests(unanswered=3, refused=2, throttled=9, in_flight=4, queued=6, queue_time=0.5)
        [told] = [
            one for one in (await case.collector.collect(NOW)).seconds if one.fleet == FLEET and one.invocations
        ]
        assert (told.invocations, told.errors_5xx, told.errors_4xx, told.model_errors) == (3, 3, 0, 1)
        assert {series.name: series.values.total for series in told.series} == {
            "QueuedRequests": 6.0,
            "QueueTime": 500_000.0,
            "RefusedRequests": 2.0,
            "ThrottledRequests": 9.0,
        }
        seen = case.target.seen(FLEET)
        assert seen is not None
        assert (seen.in_flight, seen.queued, seen.queue_time) == (4, 6, 0.5)
        case.load = PassedRequests(queue_time=0.0)
        assert all(not one.series for one in (await case.collector.collect(NOW + 1)).seconds)

    told(story)
