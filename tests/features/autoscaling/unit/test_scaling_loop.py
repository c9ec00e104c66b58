"""The scaling loop: what it sees, what it writes and when, and what it does when others write first or refuse."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore
from tidegate.domain.asynchronous import AsyncConfig, Backlog
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetId, VariantSpec
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import Version
from tidegate.domain.scaling import ActivityStatus, Dimension, FastPolicy, ScalableTarget
from tidegate.features.autoscaling import activities
from tidegate.features.autoscaling import service as scalables
from tidegate.features.autoscaling.loop import Scaling
from tidegate.features.autoscaling.scalable_records import ACTIVITY, SCALABLE, PolicyRecord, Scalable
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MODEL = Model("m", (ContainerDefinition("tidegate/xgboost"),), NOON)
FLEET = FleetId("fraud", 1, "main")
TARGET = ScalableTarget("fraud", "main", Dimension.INSTANCES, 1, 8, NOON)
FAST = PolicyRecord("f", "arn:f", NOON, fast=FastPolicy("fast", 4.0, scale_in_window=5.0))


def endpoint(count: int = 1, **more: Any) -> Endpoint:
    version = Version(1, "c", (VariantSpec("main", MODEL, count, **more),))
    return Endpoint("fraud", NOON, NOON, generation=1, serving=version)


@dataclass
class Ticking:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at


@dataclass
class Counting:
    given: int = 0

    def new(self, kind: str) -> str:
        self.given += 1
        return f"{kind}-{self.given}"


@dataclass
class Backlogs:
    """Of a queue, no more than the loop asks it."""

    size: int = 0

    async def backlogs(self) -> dict[str, Backlog]:
        return {"fraud": Backlog(waiting=self.size)} if self.size else {}


@dataclass
class House:
    """One endpoint with one target; ``seen`` is what is there of it."""

    store: MemoryStore = field(default_factory=MemoryStore)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    clock: Ticking = field(default_factory=Ticking)
    ids: Counting = field(default_factory=Counting)
    waiting: Backlogs = field(default_factory=Backlogs)
    seen: FleetStatus | None = None
    kicked: list[str] = field(default_factory=list)
    loop: Scaling = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A controller that knows nothing but what is stored."""
        self.loop = Scaling(
            self.store,
            self.metrics,
            self.clock,
            self.ids,
            self.observed,
            self.waiting,  # type: ignore[arg-type]
            self.kicked.append,
        )

    def observed(self, name: str) -> Observation | None:
        return None if self.seen is None else Observation({FLEET: self.seen}, None)

    async def put(self, scalable: Scalable, body: Endpoint) -> None:
        def work(tx: Tx) -> None:
            tx.put(ENDPOINT, body.name, body, expect=None, now=self.clock.at)
            tx.put(SCALABLE, scalable.name, scalable, expect=None, now=self.clock.at)

        await self.store.run(work)

    async def second(self, load: int | None = None, ready: int | None = None) -> None:
        """One turn, with so many requests in hand; the fleet has what is wanted unless ``ready`` says otherwise."""
        self.clock.at += timedelta(seconds=1)
        count = await self.count()
        self.seen = FleetStatus(FLEET, count, count if ready is None else ready, in_flight=load, queued=0)
        await self.loop.turn()
        await self.store.run(self._in_force)

    def _in_force(self, tx: Tx) -> None:
        """The engine's part: a change in place ends when it is there."""
        saved = tx.get(ENDPOINT, "fraud")
        assert saved is not None
        if saved.body.scaling is not None:
            tx.put(ENDPOINT, "fraud", replace(saved.body, scaling=None), expect=None, now=self.clock.at)

    async def count(self) -> int:
        saved = await self.store.run(lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None
        assert saved.body.serving is not None
        return saved.body.serving.variants[0].instance_count

    async def done(self) -> list[tuple[int, int, ActivityStatus]]:
        """Oldest first."""
        found = await self.store.run(lambda tx: activities.find(tx))
        shown = [(one.activity.before, one.activity.desired, one.activity.status) for one in found]
        return shown[::-1]

    async def version(self) -> int:
        saved = await self.store.run(lambda tx: tx.get(SCALABLE, Scalable("id", TARGET).name))
        assert saved is not None
        return saved.version


def told(story: Callable[[House], Awaitable[None]]) -> None:
    asyncio.run(story(House()))  # type: ignore[arg-type]


def test_a_count_outside_its_bounds_is_moved_and_the_activity_ends_when_it_is_there() -> None:
    async def story(house: House) -> None:
        await house.put(Scalable("id", replace(TARGET, minimum=2)), endpoint(1))
        await house.second()
        assert await house.count() == 2
        assert house.kicked == ["fraud"]
        await house.second(ready=1)
        assert await house.done() == [(1, 2, ActivityStatus.IN_PROGRESS)]
        await house.second()
        assert await house.done() == [(1, 2, ActivityStatus.SUCCESSFUL)]

    told(story)


def test_a_quiet_second_writes_nothing() -> None:
    async def story(house: House) -> None:
        await house.put(Scalable("id", TARGET, (FAST,)), endpoint(1))
        await house.second(1)
        before = await house.version()
        for _ in range(10):
            await house.second(1)
        assert await house.version() == before
        assert await house.done() == []

    told(story)


def test_a_controller_that_is_started_anew_neither_repeats_nor_forgets_a_change() -> None:
    async def story(house: House) -> None:
        await house.put(Scalable("id", replace(TARGET, minimum=2)), endpoint(1))
        await house.second()
        house.start()
        await house.second(ready=1)
        assert await house.done() == [(1, 2, ActivityStatus.IN_PROGRESS)]
        await house.second()
        assert await house.done() == [(1, 2, ActivityStatus.SUCCESSFUL)]
        assert house.kicked == ["fraud"]

    told(story)


def test_a_load_that_rises_and_falls_moves_the_count_and_a_blind_look_moves_nothing() -> None:
    async def story(house: House) -> None:
        await house.put(Scalable("id", TARGET, (FAST,)), endpoint(1))
        for _ in range(5):
            await house.second(12)
        grown = await house.count()
        assert grown >= 3
        for _ in range(30):
            await house.second(None)
        assert await house.count() == grown
        for _ in range(40):
            await house.second(0)
        assert await house.count() == 1

    told(story)


def test_after_a_start_nothing_is_scaled_in_before_a_whole_window_was_seen() -> None:
    async def story(house: House) -> None:
        await house.put(Scalable("id", TARGET, (FAST,)), endpoint(4))
        await house.second(0)
        house.start()
        for _ in range(4):
            await house.second(0)
        assert await house.count() == 4
        for _ in range(4):
            await house.second(0)
        assert await house.count() == 1

    told(story)


def test_what_waits_for_an_asynchronous_endpoint_wakes_it() -> None:
    async def story(house: House) -> None:
        asleep = endpoint(0, asynchronous=AsyncConfig("file:///out"))
        await house.put(Scalable("id", replace(TARGET, minimum=0), (FAST,)), asleep)
        await house.second()
        assert await house.count() == 0
        house.waiting.size = 3
        await house.second()
        assert await house.count() == 1
        house.waiting.size = 0
        for _ in range(60):
            await house.second()
        assert await house.count() == 0

    told(story)


def test_what_cannot_be_is_told_as_failed_and_tried_again_later() -> None:
    async def story(house: House) -> None:
        await house.put(Scalable("id", replace(TARGET, minimum=2000, maximum=3000)), endpoint(1))
        await house.second()
        await house.second()
        assert await house.count() == 1
        assert [status for *_, status in await house.done()] == [ActivityStatus.FAILED]
        house.clock.at += timedelta(minutes=2)
        await house.second()
        assert len(await house.done()) == 2

    told(story)


def test_a_clock_set_back_holds_no_change_that_was_refused_for_longer() -> None:
    async def story(house: House) -> None:
        await house.put(Scalable("id", replace(TARGET, minimum=2000, maximum=3000)), endpoint(1))
        await house.second()
        assert len(await house.done()) == 1
        house.clock.at -= timedelta(hours=1)
        await house.second()
        assert len(await house.done()) == 2

    told(story)


def test_where_somebody_else_wrote_first_the_next_turn_decides() -> None:
    async def story(house: House) -> None:
        await house.put(Scalable("id", replace(TARGET, minimum=2)), endpoint(1))
        run, raced = house.store.run, False

        async def racing(work: Callable[[Tx], Any]) -> Any:
            nonlocal raced
            if house.loop._known and not raced:
                raced = True
                other = Scalable("id", TARGET)
                await run(lambda tx: tx.put(SCALABLE, other.name, other, expect=None, now=NOON))
            return await run(work)

        house.store.run = racing  # type: ignore[method-assign]
        await house.second()
        assert await house.count() == 1, "the bounds are others by now"
        assert await house.done() == []

    told(story)


def test_activities_are_kept_for_six_weeks() -> None:
    async def story(house: House) -> None:
        await house.put(Scalable("id", replace(TARGET, minimum=2)), endpoint(1))
        await house.second()
        await house.second()
        house.clock.at += timedelta(weeks=6, hours=1)
        await house.second()
        assert await house.store.run(lambda tx: tx.find(ACTIVITY).items) == []

    told(story)


def test_endpoints_that_are_not_scaled_cost_one_read() -> None:
    async def story(house: House) -> None:
        await house.store.run(lambda tx: tx.put(ENDPOINT, "fraud", endpoint(), expect=0, now=NOON))
        await house.loop.turn()
        assert house.loop.followed() == frozenset()
        assert await house.store.run(lambda tx: scalables.list_all(tx)) == []

    told(story)


def test_arrivals_and_the_time_of_one_request_come_from_the_metrics() -> None:
    """20 requests a second of 100 ms are 2 at one time, whatever a look happens to find: one instance is enough."""

    async def story(house: House) -> None:
        await house.put(Scalable("id", TARGET, (FAST,)), endpoint(1))
        named = {"EndpointName": "fraud", "VariantName": "main"}
        for _ in range(20):
            at = int(house.clock.at.timestamp())
            for name, total in (("Invocations", 20.0), ("ModelLatency", 2e6), ("OverheadLatency", 0.0)):
                metric = MetricId.of(SAGEMAKER, name, named)
                await house.metrics.put([Sample(metric, at, 20.0, total, total / 20, total / 20)])
            await house.second(4)
        assert await house.count() == 1

    told(story)
