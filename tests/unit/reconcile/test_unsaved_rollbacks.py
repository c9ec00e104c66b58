"""A rollout that must turn back does not wait for the store: it acts, and records that afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore
from tests.samples import canary, percent, version
from tests.unit.reconcile.test_engine import StandInTarget, Still
from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator
from tidegate.domain.endpoint import ClockMark, Endpoint, VersionRequest
from tidegate.domain.errors import Unavailable
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import Coverage, Sample
from tidegate.domain.rollout import Phase
from tidegate.domain.targets import LOCAL
from tidegate.domain.traffic import WHOLE
from tidegate.monitoring.alarm_data import series_of
from tidegate.ports.store import Tx
from tidegate.reconcile import engine as module
from tidegate.reconcile.engine import Engine
from tidegate.reconcile.guards import Guards
from tidegate.rollout import commands, desired_state
from tidegate.service import history
from tidegate.service.record_kinds import ALARM, ENDPOINT

R = TypeVar("R")
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GUARD = Alarm("alarm", "N", "M", {"EndpointName": "fraud"}, "Sum", 1, 1, 1, 0.5, ComparisonOperator.GREATER, NOON)


class Trouble(MemoryStore):
    """``away``: fails. ``hung``: answers only when it is set to False again."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.hung = False

    async def run(self, work: Callable[[Tx], R]) -> R:
        while self.hung:
            await asyncio.sleep(0.001)
        if self.away:
            raise Unavailable("the database is away")
        return await super().run(work)


@dataclass
class Case:
    store: Trouble = field(default_factory=Trouble)
    target: StandInTarget = field(default_factory=StandInTarget)
    clock: Still = field(default_factory=Still)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    ahead: float = 0.0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.guards = Guards(self.metrics)
        self.engine = Engine(
            self.store,
            {LOCAL: self.target},
            self.clock,
            self.guards,
            lambda name: None,
            read_clocks=self.read_clocks,
        )

    def read_clocks(self) -> tuple[datetime, ClockMark]:
        return self.clock.now(), ClockMark("boot", self.ahead)

    async def record(self) -> Endpoint:
        saved = await MemoryStore.run(self.store, lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None
        return saved.body

    async def baking(self) -> None:
        """A canary of 10 % that bakes for 60 s, from one second ago on."""
        await self.store.run(lambda tx: tx.put(ALARM, "alarm", GUARD, expect=0, now=NOON))
        first = Endpoint("fraud", NOON, NOON, generation=1, serving=replace(version("v1", 2), generation=1))
        first = desired_state.route(first, 0)
        wish = VersionRequest(version("v2", 2), canary(percent(10), 60, 60), NOON, guards=(GUARD,))
        begun = commands.begin(first, wish, rollout_id="r", can=self.target.can, now=NOON)
        await self.store.run(lambda tx: tx.put(ENDPOINT, "fraud", begun, expect=0, now=NOON))
        for _ in range(6):
            await self.round()
        assert (await self.record()).rollout.phase is Phase.BAKING  # type: ignore[union-attr]
        assert self.share() == WHOLE // 10

    async def round(self, seconds: float = 1.0, *, judge: bool = True) -> None:
        """Time passes; what was collected is judged; the engine looks."""
        self.clock.at += timedelta(seconds=seconds)
        if judge:
            at = int(self.clock.at.timestamp())
            await self.guards.judge(self.engine.guarded(), {"fraud": Coverage(0, at)}, self.clock.at)
        try:
            await self.engine.tick("fraud")
        except Unavailable:
            assert self.store.away

    async def fail(self) -> None:
        """A request fails in this second."""
        await self.metrics.put([Sample(series_of(GUARD), int(self.clock.at.timestamp()), 1, 1.0, 1.0, 1.0)])

    def share(self) -> int:
        """Basis points that go to the new version."""
        return self.target.tables["fraud"].share_of(2)


async def on(story: Callable[[Case], Awaitable[None]]) -> None:
    await story(Case())


async def test_it_turns_back_while_the_store_is_away_and_records_it_when_it_is_back() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        case.store.away = True
        await case.fail()
        await case.round()
        assert case.share() == 0, "traffic is back although nothing can be saved"
        before = await case.record()
        assert before.rollout is not None and before.rollout.phase is Phase.BAKING
        for _ in range(3):
            await case.round()
        assert len(case.target.fleets) == 2, "removing a fleet waits for the store"
        case.store.away = False
        for _ in range(4):
            await case.round()
        after = await case.record()
        assert after.rollout is None and after.last is not None and after.last.phase is Phase.ROLLED_BACK
        assert after.failure_reason == (
            "Deployment rolled back: alarm(s) [alarm] in ALARM state during baking: Sum of M was 1, greater than the"
            " threshold of 0.5, in a period of 1 s."
        )
        assert after.rejected, "and the version is known to be bad"
        assert case.share() == 0

    await on(story)


async def test_nothing_else_is_done_while_the_store_is_away() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        case.store.away = True
        table, fleets = case.target.tables["fraud"], dict(case.target.fleets)
        for _ in range(100):
            await case.round()
        assert (case.target.tables["fraud"], case.target.fleets) == (table, fleets)
        case.store.away = False
        for _ in range(3):
            await case.round()
        assert case.share() == WHOLE, "the bake was judged to its end all the same"

    await on(story)


async def test_it_turns_back_while_the_store_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STORE_PATIENCE", 0.01)

    async def story(case: Case) -> None:
        await case.baking()
        case.store.hung = True
        await case.fail()
        ticking = asyncio.create_task(case.round())
        while case.share():
            await asyncio.sleep(0.005)
        case.store.hung = False
        await ticking
        for _ in range(4):
            await case.round()
        after = await case.record()
        assert after.last is not None and after.last.phase is Phase.ROLLED_BACK

    await on(story)


async def test_a_record_that_somebody_wrote_meanwhile_is_turned_back_all_the_same() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        case.store.away = True
        await case.fail()
        await case.round()
        paused = commands.pause(await case.record(), "ann", case.clock.at)
        await MemoryStore.run(
            case.store, lambda tx: tx.put(ENDPOINT, "fraud", paused, expect=None, now=case.clock.at)
        )
        case.store.away = False
        await case.round(30.0)
        assert case.share() == 0
        for _ in range(3):
            await case.round()
        after = await case.record()
        assert after.last is not None and after.last.phase is Phase.ROLLED_BACK
        assert "ALARM" in (after.last.reason or "")

    await on(story)


async def test_a_controller_that_ends_before_it_could_record_leaves_the_traffic_where_it_put_it() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        case.store.away = True
        await case.fail()
        await case.round()
        case.store.away = False
        case.metrics.samples.clear()
        case.restart()
        for _ in range(6):
            await case.round()
            assert case.share() == 0
        after = await case.record()
        assert after.last is not None and after.last.phase is Phase.ROLLED_BACK
        assert "could not be recorded" in (after.last.reason or "")

    await on(story)


@pytest.mark.parametrize("gap", [1.0, 57.0, 120.0, 3600.0])
async def test_after_a_gap_nothing_moves_forward_before_a_round_was_judged(gap: float) -> None:
    async def story(case: Case) -> None:
        await case.baking()
        await case.fail()  # every request does, from now on
        case.clock.at += timedelta(seconds=gap)
        await case.fail()
        await case.round(judge=False)
        assert case.share() == WHOLE // 10
        await case.round()
        assert case.share() == 0

    await on(story)


async def test_a_restarted_controller_moves_nothing_forward_before_a_round_was_judged() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        case.restart()
        await case.round(100.0, judge=False)
        assert case.share() == WHOLE // 10
        await case.round()
        await case.round()
        assert case.share() == WHOLE

    await on(story)


async def test_a_deleted_or_redefined_guard_goes_on_guarding() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        blunt = replace(GUARD, threshold=1e9)
        await case.store.run(lambda tx: tx.put(ALARM, "alarm", blunt, expect=None, now=NOON))
        await case.round()
        told = (await case.record()).rollout
        assert told is not None and "AlarmRedefined" in {c.type for c in told.conditions if c.status}
        await case.store.run(lambda tx: tx.delete(ALARM, "alarm", expect=None, now=NOON))
        await case.round()
        told = (await case.record()).rollout
        assert told is not None and "AlarmMissing" in {c.type for c in told.conditions if c.status}
        await case.fail()
        await case.round()
        assert case.share() == 0

    await on(story)


async def test_a_state_set_by_hand_turns_it_back() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        alarmed = replace(GUARD, state=AlarmState.ALARM)
        await case.store.run(lambda tx: tx.put(ALARM, "alarm", alarmed, expect=None, now=NOON))
        await case.round()
        assert case.share() == 0

    await on(story)


@pytest.mark.parametrize("step", [3600.0, -90.0, 10.0])
async def test_a_bake_lasts_as_long_as_it_should_when_the_clock_is_set(step: float) -> None:
    async def story(case: Case) -> None:
        await case.baking()
        rounds = 0
        case.clock.at += timedelta(seconds=step)
        case.ahead += step
        while case.share() < WHOLE:
            await case.round()
            rounds += 1
            assert rounds < 100
        assert 57 <= rounds <= 62

    await on(story)


async def test_a_clock_that_was_set_while_no_controller_ran_is_found_by_the_next() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        case.clock.at += timedelta(hours=1)
        case.ahead += 3600
        case.restart()
        rounds = 0
        while case.share() < WHOLE:
            await case.round()
            rounds += 1
            assert rounds < 100
        assert 57 <= rounds <= 62

    await on(story)


def kill_new_instances(case: Case) -> None:
    fleet = case.target.fleets[FleetId("fraud", 2, "AllTraffic")]
    fleet.desired = 0
    case.target.simulated.settle(fleet)


async def test_traffic_leaves_lost_instances_while_the_store_is_away() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        case.store.away = True
        kill_new_instances(case)
        for _ in range(5):
            await case.round()
            assert case.share() == 0
        assert (await case.record()).rollout.losses == 0  # type: ignore[union-attr]
        case.store.away = False
        for _ in range(4):
            await case.round()
        rollout = (await case.record()).rollout
        assert rollout is not None and (rollout.phase, rollout.losses) == (Phase.BAKING, 1)
        assert case.share() == WHOLE // 10, "they came back"

    await on(story)


async def test_a_record_that_somebody_wrote_after_instances_were_lost_is_turned_back() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        case.store.away = True
        kill_new_instances(case)
        await case.round()
        paused = commands.pause(await case.record(), "ann", case.clock.at)
        await MemoryStore.run(
            case.store, lambda tx: tx.put(ENDPOINT, "fraud", paused, expect=None, now=case.clock.at)
        )
        case.store.away = False
        for _ in range(4):
            await case.round()
        assert case.share() == 0 and "which had lost its instances" in ((await case.record()).failure_reason or "")

    await on(story)


async def test_the_alarm_is_saved_with_the_rollback_that_rests_on_it() -> None:
    async def story(case: Case) -> None:
        await case.baking()
        await case.fail()
        await case.round()
        assert (await case.record()).rollout.cause == "Alarm"  # type: ignore[union-attr]
        alarm = await case.store.run(lambda tx: tx.get(ALARM, "alarm"))
        assert alarm is not None and alarm.body.state is AlarmState.ALARM
        lines = await case.store.run(lambda tx: tx.journal(kind="alarm", name="alarm"))
        assert "Alarm updated from" in lines[-1].events[0].message

    await on(story)


async def test_errors_of_before_the_rollout_hold_it_and_do_not_turn_it_back() -> None:
    async def story(case: Case) -> None:
        late = replace(GUARD, period=10, state=AlarmState.OK)
        await case.store.run(lambda tx: tx.put(ALARM, "alarm", late, expect=0, now=NOON))
        first = Endpoint("fraud", NOON, NOON, generation=1, serving=replace(version("v1", 2), generation=1))
        await case.metrics.put([Sample(series_of(late), int(NOON.timestamp()) - 2, 1, 1.0, 1.0, 1.0)])
        wish = VersionRequest(version("v2", 2), canary(percent(10), 60, 60), NOON, guards=(late,))
        begun = commands.begin(desired_state.route(first, 0), wish, rollout_id="r", can=case.target.can, now=NOON)
        await case.store.run(lambda tx: tx.put(ENDPOINT, "fraud", begun, expect=0, now=NOON))
        for _ in range(5):
            await case.round()
        rollout = (await case.record()).rollout
        assert rollout is not None and rollout.phase is Phase.PROVISIONING and rollout.cause is None
        assert [one.type for one in rollout.conditions if one.status] == ["AlarmFromBefore"]
        assert case.target.tables["fraud"].share_of(2) == 0, "nor does it go on while the alarm is on"
        for _ in range(40):
            await case.round()
        rollout = (await case.record()).rollout
        assert rollout is not None and rollout.phase is Phase.BAKING

    await on(story)


async def test_a_rollback_says_what_failed_everywhere() -> None:
    said = ("500 KeyError: 'income' (27 times)", "500 no age")

    async def story(case: Case) -> None:
        await case.baking()
        case.guards.failures = {
            FleetId("fraud", 2, "AllTraffic"): said,
            FleetId("fraud", 1, "AllTraffic"): ("old",),
        }
        await case.fail()
        for _ in range(3):
            await case.round()
        after = await case.record()
        assert after.last is not None and after.last.failures == said
        assert (after.failure_reason or "").endswith(
            "in a period of 1 s; its last error: 500 KeyError: 'income' (27 times)."
        )
        lines = await case.store.run(lambda tx: tx.journal(kind="endpoint", name="fraud"))
        told = [event.data.get("failures") for line in lines for event in line.events]
        assert list(said) in told
        entry = (await case.store.run(lambda tx: history.read(tx, "fraud"))).entries[-1]
        assert entry.failures == said and "KeyError" in entry.reason

    await on(story)
