"""What an open list of endpoints costs the server: processor time of an update while every endpoint is asked.

    python -m bench.console_updates [--endpoints 100] [--updates 60] [--keep]

Records are in SQLite and metrics in the platform's own store; the parts are made, compared and written as events by
the console's own code, once for each second of a clock that nobody waits for. There are no workers. The time is that
of all threads. Where a record is written in each update, one endpoint's changes, as while a rollout goes on.
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from bench import tables
from tests.samples import canary, percent, version
from tidegate.console.endpoint_list import EndpointList
from tidegate.console.list_query import ListQuery
from tidegate.console.live_stream import changed_parts, write_event
from tidegate.console.page_context import PageContext
from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.gateway.dependencies import Gateway
from tidegate.host.clock import RandomIds
from tidegate.monitoring import sketch
from tidegate.ports.store import Tx
from tidegate.rollout import desired_state
from tidegate.service import usage
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.settings import Settings
from tidegate.store import SqlStore, open_store
from tidegate.store.metrics import SqlMetrics
from tidegate.wire.operation import WireContext

VARIANT = "AllTraffic"
RATE = 20
"""Requests a second of each endpoint."""
SECONDS_BEFORE = 300
"""Of traffic before the first update: as long as a sparkline shows."""


@dataclass
class SteppedClock:
    second: int

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.second + 0.35, UTC)


class Scene:
    """Endpoints that serve, with two alarms each, in a folder of their own."""

    def __init__(self, folder: Path, count: int) -> None:
        self.clock = SteppedClock(int(time.time()) - SECONDS_BEFORE)
        self.store: SqlStore = open_store(f"sqlite:///{folder}/bench.db")
        self.metrics = SqlMetrics(self.store.database, self.clock)
        self.names = [f"endpoint-{number:03d}" for number in range(count)]
        context = WireContext(
            store=self.store,
            metrics=self.metrics,
            clock=self.clock,
            ids=RandomIds(),
            region="us-east-1",
            account="000000000000",
            observed=self._observe,
        )

        @dataclass(frozen=True)
        class Parts:
            """Of a gateway, what the list needs."""

            context: WireContext
            settings: Settings

        self.gateway = cast(Gateway, Parts(context, Settings(state=folder)))

    def _observe(self, name: str) -> Observation:
        id = FleetId(name, 1, VARIANT)
        return Observation({id: FleetStatus(id, 1, 1)}, None)

    def write(self, tx: Tx) -> None:
        now = self.clock.now()
        for name in self.names:
            alarms = (f"{name}-errors", f"{name}-slow")
            serving = replace(version(f"{name}-v1", 1, created_at=now), generation=1)
            endpoint = Endpoint(name, now, now, 1, serving, deployment=canary(percent(10), 600, alarms=alarms))
            endpoint = desired_state.route(endpoint, 0)
            tx.put(ENDPOINT, name, endpoint, expect=0, now=now)
            usage.record(tx, None, endpoint, now)
            for alarm in alarms:
                tx.put(ALARM, alarm, _alarm(alarm, name, now), expect=0, now=now)

    def touch(self, tx: Tx) -> None:
        """Write one endpoint's record again, a little later."""
        name = self.names[self.clock.second % len(self.names)]
        saved = tx.get(ENDPOINT, name)
        assert saved is not None
        changed = replace(saved.body, fence=saved.body.fence + 1)
        tx.put(ENDPOINT, name, changed, expect=saved.version, now=self.clock.now())

    async def serve_second(self) -> None:
        """A second of traffic, as the metrics loop stores it; latencies differ from second to second."""
        at = self.clock.second
        samples = []
        for place, name in enumerate(self.names):
            dimensions = (("EndpointName", name), ("VariantName", VARIANT))
            latency = 1000.0 + (at * 37 + place * 101) % 4000
            bins = {sketch.index(latency): float(RATE - 1), sketch.index(latency * 3): 1.0}
            counts = float(RATE + (at + place) % 3)
            samples += [
                Sample(MetricId(SAGEMAKER, "Invocations", dimensions), at, counts, counts, 1.0, 1.0),
                Sample(
                    MetricId(SAGEMAKER, "ModelLatency", dimensions),
                    *(at, float(RATE), RATE * latency, latency, latency * 3, bins),
                ),
            ]
        await self.metrics.put(samples)
        self.clock.second += 1


def _alarm(name: str, endpoint: str, now: datetime) -> Alarm:
    dimensions = {"EndpointName": endpoint, "VariantName": VARIANT}
    limit, above = 0.02, ComparisonOperator.GREATER
    return Alarm(name, SAGEMAKER, "Invocation5XXErrors", dimensions, "Average", 10, 3, 2, limit, above, now)


async def measure(folder: Path, count: int, updates: int, written: bool) -> list[object]:
    scene = Scene(folder, count)
    await scene.store.run(scene.write)
    for _ in range(SECONDS_BEFORE):
        await scene.serve_second()
    listed = EndpointList(PageContext(scene.gateway, {}))
    sent = dict((await listed.snapshot(ListQuery())).parts)
    spent, size = [], []
    for _ in range(updates):
        await scene.serve_second()
        if written:
            await scene.store.run(scene.touch)
        begun = time.process_time()
        found = await listed.snapshot(ListQuery())
        event = write_event("news", {"parts": changed_parts(sent, found.parts)})
        sent = dict(found.parts)
        spent.append(time.process_time() - begun)
        size.append(float(len(event)))
    await scene.store.close()
    mean = sum(spent) / len(spent)
    cost = f"{1000 * mean:.1f} ms, {100 * mean:.1f} %"
    return [
        count,
        "one in each update" if written else "none",
        cost,
        f"{1000 * max(spent):.0f} ms",
        f"{sum(size) / len(size) / 1024:.0f} KiB",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", type=int, default=100)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    rows = []
    for written in (False, True):
        with tempfile.TemporaryDirectory(prefix="tg-") as folder:
            rows.append(asyncio.run(measure(Path(folder), given.endpoints, given.updates, written)))
    header = (
        "endpoints, all asked",
        "records written",
        "an update: processor time, share of a core",
        "longest",
        "sent",
    )
    tables.show(
        "console-updates", "An open list of endpoints", header, rows, keep=given.keep, command="console_updates"
    )


if __name__ == "__main__":
    main()
