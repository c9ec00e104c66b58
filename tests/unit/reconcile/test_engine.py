"""The engine on a real store and a stand-in target that does at once what it is told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.memory_metrics import MemoryMetrics
from tests.memory_target import MemoryTarget
from tests.metric_alarm import metric_alarm
from tests.samples import canary, percent, version
from tidegate.domain import alarm_rule
from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.drift import DriftSchedule
from tidegate.domain.endpoint import Endpoint, VersionRequest
from tidegate.domain.errors import TargetRefused, TidegateError, Transient, UnreadableRecord
from tidegate.domain.evidence import EvidenceConfig
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import BlueGreen, CapacitySize, DeploymentConfig, Phase, SizeType, TrafficRouting
from tidegate.domain.targets import LOCAL
from tidegate.domain.traffic import RouteTable
from tidegate.features.drift.kinds import DRIFT_SCHEDULE
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.host.features import FeatureSet, choose, find_installed
from tidegate.monitoring.guard_verdicts import GuardVerdict, judge_composite
from tidegate.ports.store import Kind, Tx
from tidegate.ports.target import Look
from tidegate.reconcile.engine import (
    ACTIVE_RESYNC,
    RETRY,
    SETTLE,
    Engine,
    combine_states,
    find_alarms_from_before,
    present_states,
)
from tidegate.reconcile.guards import GuardedRollout, Guards
from tidegate.reconcile.rollout_observers import RolloutObserver, RolloutObservers
from tidegate.reconcile.unsaved_rollbacks import LoadedEndpoint
from tidegate.rollout import commands
from tidegate.service import record_kinds
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.store import SqlStore, open_store

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass
class StandInTarget(MemoryTarget):
    """``trouble`` is raised by every ``ensure_fleet`` while it is set. ``deaf``: it takes no routes."""

    trouble: TidegateError | None = None
    deaf: bool = False
    looks: int = 0

    async def observe(self, endpoint: str) -> Look:
        self.looks += 1
        return await super().observe(endpoint)

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        if self.trouble is not None:
            raise self.trouble
        await super().ensure_fleet(fleet, fence)

    async def set_traffic(self, table: RouteTable) -> None:
        if not self.deaf:
            await super().set_traffic(table)


@dataclass
class Still:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at


@dataclass
class Case:
    store: SqlStore
    target: StandInTarget
    clock: Still
    engine: Engine

    async def create(self, name: str = "fraud") -> None:
        endpoint = Endpoint(name, NOON, NOON)
        wanted = VersionRequest(version("v1", {"a": 1}), DeploymentConfig(), NOON)
        begun = commands.begin(endpoint, wanted, rollout_id="r", can=self.target.can, now=NOON)
        await self.store.run(lambda tx: tx.put(ENDPOINT, name, begun, expect=0, now=NOON))

    async def delete(self, name: str = "fraud") -> None:
        saved = await self.store.run(lambda tx: tx.get(ENDPOINT, name))
        assert saved is not None
        after = commands.delete(saved.body, NOON)
        await self.store.run(lambda tx: tx.put(ENDPOINT, name, after, expect=None, now=NOON))

    async def ticks(self, number: int, name: str = "fraud") -> float | None:
        pause: float | None = 0.0
        for _ in range(number):
            pause = await self.engine.tick(name)
        return pause


def told(folder: Path, story: Callable[[Case], Awaitable[None]]) -> None:
    async def test() -> None:
        store, target, clock = open_store(f"sqlite:///{folder / 'tidegate.db'}"), StandInTarget(), Still()
        case = Case(
            store, target, clock, Engine(store, {LOCAL: target}, clock, Guards(MemoryMetrics()), lambda name: None)
        )
        try:
            await story(case)
        finally:
            await case.engine.stop()
            await store.close()

    asyncio.run(test())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(300):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_record_that_cannot_be_read_keeps_no_other_from_being_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(case: Case) -> None:
        await case.create("good")
        broken = Kind(ENDPOINT.name, object)
        await case.store.run(lambda tx: tx.put(broken, "bad", {"name": 1}, expect=0, now=NOON))
        await case.engine.start()
        await until(lambda: case.target.tables.get("good"))
        for _ in range(3):
            assert await case.engine._tick_logged("bad") == ACTIVE_RESYNC
        said = [r for r in caplog.records if "'bad' in the database cannot be read" in r.getMessage()]
        assert len(said) == 1, "told once"

    with caplog.at_level(logging.WARNING):
        told(tmp_path, story)


def test_a_rollout_whose_record_can_no_longer_be_read_still_turns_back(tmp_path: Path) -> None:
    alarm = replace(metric_alarm(NOON), name="errors")
    ten = CapacitySize(SizeType.CAPACITY_PERCENT, 10)
    canary = DeploymentConfig(BlueGreen(TrafficRouting.CANARY, 600, ten), alarms=("errors",))

    async def story(case: Case) -> None:
        await case.create()
        await case.ticks(6)
        saved = await case.store.run(lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None and saved.body.rollout is None
        wanted = VersionRequest(version("v2", {"a": 1}), canary, NOON, guards=(alarm,))
        begun = commands.begin(saved.body, wanted, rollout_id="r2", can=case.target.can, now=NOON)
        await case.store.run(lambda tx: tx.put(ALARM, "errors", alarm, expect=0, now=NOON))
        await case.store.run(lambda tx: tx.put(ENDPOINT, "fraud", begun, expect=None, now=NOON))
        await case.ticks(2)
        assert FleetId("fraud", begun.generation, "a") in case.target.fleets
        raw = Kind(ENDPOINT.name, object)
        await case.store.run(lambda tx: tx.put(raw, "fraud", "what a later version wrote", expect=None, now=NOON))
        with pytest.raises(UnreadableRecord):
            await case.engine.tick("fraud")
        assert not case.engine._unsaved.known["fraud"].turned, "nothing speaks against it"
        ringing = replace(alarm, state=AlarmState.ALARM)
        case.engine.guards._verdicts["r2", "errors"] = GuardVerdict(ringing, NOON, NOON)
        with pytest.raises(UnreadableRecord):
            await case.engine.tick("fraud")
        turned = case.engine._unsaved.known["fraud"]
        assert turned.turned and turned.endpoint.rollout is not None
        assert turned.endpoint.rollout.phase is Phase.ROLLING_BACK
        assert case.engine.trouble is None, "the store is well"

    told(tmp_path, story)


def test_the_last_confirmed_table_and_the_reason_why_none_is_seen_are_kept_for_those_who_show_them(
    tmp_path: Path,
) -> None:
    async def story(case: Case) -> None:
        await case.create()
        await case.ticks(6)
        table = case.target.tables["fraud"]
        seen = case.engine.observed["fraud"]
        assert (seen.routes, seen.confirmed, seen.troubles) == (table, table, ())
        look = await case.target.observe("fraud")

        async def observe(endpoint: str) -> Look:
            return Look(look.fleets, None, "gateway g does not answer")

        async def refuse(table: RouteTable) -> None:
            raise Transient("gateway g refuses the token")

        case.target.observe = observe  # type: ignore[method-assign]
        case.target.set_traffic = refuse  # type: ignore[method-assign]
        await case.ticks(2)
        seen = case.engine.observed["fraud"]
        assert (seen.routes, seen.confirmed) == (None, table)
        assert seen.troubles == ("gateway g does not answer", "gateway g refuses the token")

    told(tmp_path, story)


def test_nothing_is_taken_up_after_the_stop(tmp_path: Path) -> None:
    """Supervisors go on for as long as requests are drained, and tell of what they see."""

    async def story(case: Case) -> None:
        await case.create()
        await case.engine.stop()
        case.engine.kick("fraud")
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert case.target.looks == 0

    told(tmp_path, story)


def test_an_endpoint_that_is_gone_leaves_nothing_to_the_next_of_its_name(tmp_path: Path) -> None:
    async def story(case: Case) -> None:
        await case.create()
        case.target.trouble = TargetRefused("no such machine")
        await case.ticks(2)
        assert isinstance(case.engine.observed["fraud"], Observation)
        await case.delete()
        await case.ticks(4)
        assert await case.store.run(lambda tx: tx.get(ENDPOINT, "fraud")) is None
        assert case.engine.observed == {}
        case.target.trouble = None
        await case.create()
        await case.ticks(6)
        saved = await case.store.run(lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None and saved.body.serving is not None and saved.body.generation == 1

    told(tmp_path, story)


@pytest.mark.parametrize("observers", [(), (RolloutObserver(),)])
def test_a_rollout_is_told_whether_anything_observes_it(
    tmp_path: Path, observers: tuple[RolloutObserver, ...]
) -> None:
    async def story(case: Case) -> None:
        deployment = replace(canary(percent(10), 60, 60), evidence=EvidenceConfig())
        record = make_updating_world(version("v1", 2), version("v2", 2), deployment).record
        assert record is not None
        await case.store.run(lambda tx: tx.put(ENDPOINT, record.name, record, expect=0, now=NOON))
        case.engine.guards.observers = RolloutObservers(observers, "it is off")
        await case.engine.tick(record.name)
        assert case.engine.observed[record.name].unobserved == ("" if observers else "it is off")

    told(tmp_path, story)


@pytest.mark.parametrize("switches", ["", "-drift"])
def test_records_of_features_go_with_their_endpoint_whether_the_features_are_on_or_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switches: str
) -> None:
    installed = find_installed()
    found = FeatureSet(installed, choose(installed, switches))
    monkeypatch.setattr(record_kinds, "features", lambda: found)

    async def story(case: Case) -> None:
        await case.create()

        def schedule(tx: Tx) -> None:
            for name in ("fraud", "other"):
                tx.put(DRIFT_SCHEDULE, name, DriftSchedule(name, "s3://base", NOON), expect=0, now=NOON)

        await case.store.run(schedule)
        await case.ticks(4)
        await case.delete()
        await case.ticks(6)
        assert await case.store.run(lambda tx: tx.versions(ENDPOINT)) == {}
        assert set(await case.store.run(lambda tx: tx.versions(DRIFT_SCHEDULE))) == {"other"}

    told(tmp_path, story)


def test_what_is_taken_after_all_is_no_failure_any_more(tmp_path: Path) -> None:
    async def story(case: Case) -> None:
        await case.create()
        await case.ticks(6)
        fleet = next(iter(case.target.fleets))
        case.target.fleets.clear()
        case.target.trouble = TargetRefused("no such machine")
        await case.ticks(2)
        seen = case.engine.observed["fraud"].fleets
        assert seen is not None and seen[fleet].failure == "no such machine"
        case.target.trouble = None
        await case.ticks(2)
        seen = case.engine.observed["fraud"].fleets
        assert seen is not None and seen[fleet].failure is None

    told(tmp_path, story)


def test_a_refused_growth_keeps_no_later_one_from_being_tried(tmp_path: Path) -> None:
    async def story(case: Case) -> None:
        async def grow() -> Endpoint:
            saved = await case.store.run(lambda tx: tx.get(ENDPOINT, "fraud"))
            assert saved is not None
            after = commands.scale(saved.body, {"a": commands.VariantChange(count=2)}, NOON)
            await case.store.run(lambda tx: tx.put(ENDPOINT, "fraud", after, expect=None, now=NOON))
            await case.ticks(6)
            saved = await case.store.run(lambda tx: tx.get(ENDPOINT, "fraud"))
            assert saved is not None and saved.body.scaling is None
            return saved.body

        await case.create()
        await case.ticks(6)
        (fleet,) = case.target.fleets
        case.target.trouble = TargetRefused("asks for 1 device, 0 of 1 are free")
        undone = await grow()
        assert "asks for 1 device" in (undone.failure_reason or "") and case.target.fleets[fleet].desired == 1
        seen = case.engine.observed["fraud"].fleets
        assert seen is not None and seen[fleet].failure is None, "what is wanted again runs"
        case.target.trouble = None  # there is a device now
        grown = await grow()
        assert grown.failure_reason is None and case.target.fleets[fleet].desired == 2

    told(tmp_path, story)


def test_routes_that_never_come_in_force_are_not_asked_for_in_a_hot_loop(tmp_path: Path) -> None:
    async def story(case: Case) -> None:
        await case.create()
        case.target.deaf = True
        pauses = [await case.engine.tick("fraud") for _ in range(4)]
        assert SETTLE in pauses
        assert pauses[-1] == RETRY

    told(tmp_path, story)


def test_a_kick_in_the_middle_of_a_tick_is_not_lost(tmp_path: Path) -> None:
    async def story(case: Case) -> None:
        await case.create()
        await case.engine.start()
        await until(lambda: case.target.looks > 3)
        case.clock.at = NOON + timedelta(seconds=1)
        for _ in range(20):
            before = case.target.looks
            case.engine.kick("fraud")
            await until(lambda: case.target.looks > before)  # noqa: B023 (awaited right here)

    told(tmp_path, story)


LATER = NOON + timedelta(seconds=5)


def turn(alarm: Alarm, state: AlarmState, reason: str = "", data: str | None = None) -> Alarm:
    """The alarm after its state was set by hand; without a reason, by its data."""
    made = (reason, data) if reason else ("Threshold Crossed: 1 datapoint", "{}")
    return replace(
        alarm,
        state=state,
        state_reason=made[0],
        state_reason_data=made[1],
        state_updated_at=LATER,
        state_changed_at=LATER,
    )


@dataclass
class Guarded:
    """A rollout with the composite guard ``both``. It began when every alarm was OK; ``errors`` is in ALARM since
    then, by data of before. ``records`` are the alarms on record, of which these are changed."""

    rule: str = "ALARM(errors) OR ALARM(late)"
    nested: bool = False

    def __post_init__(self) -> None:
        errors, late = (turn(metric_alarm(NOON, name=name), AlarmState.OK) for name in ("errors", "late"))
        rules = {"inner": self.rule, "both": "ALARM(inner)"} if self.nested else {"both": self.rule}
        composites = [
            metric_alarm(NOON, name=name, rule=rule, state=AlarmState.OK) for name, rule in rules.items()
        ]
        self.one = GuardedRollout("fraud", "r", (errors, late, *composites), since=NOON)
        self.verdicts = {
            "errors": GuardVerdict(turn(errors, AlarmState.ALARM), LATER, LATER, from_before=True),
            "late": GuardVerdict(late, LATER, LATER),
        }
        for rule in composites:
            found = judge_composite(rule, self.verdicts, LATER)
            assert found is not None
            self.verdicts[rule.name] = found
        self.records = {name: verdict.alarm for name, verdict in self.verdicts.items()}

    def record(self, alarm: Alarm) -> None:
        """As ``service.alarms`` writes it: composite alarms follow at once."""
        self.records[alarm.name] = alarm
        self.records |= {one.name: one for one in alarm_rule.judge_all(self.records, LATER)}

    @property
    def both(self) -> tuple[AlarmState, bool]:
        """The state of the composite guard that the rollout observes, and whether it is by data of before alone."""
        loaded = LoadedEndpoint(Endpoint("fraud", NOON, NOON), 1, self.records, Endpoint("fraud", NOON, NOON))
        judged = {name: verdict.alarm.state for name, verdict in self.verdicts.items()}
        states = combine_states(present_states(self.one, loaded, self.verdicts), judged)
        return states["both"], "both" in find_alarms_from_before(self.one, loaded, self.verdicts)


HELD, FIRING = (AlarmState.ALARM, True), (AlarmState.ALARM, False)


@pytest.mark.parametrize("nested", [False, True])
def test_a_composite_guard_of_before_rolls_nothing_back_once_it_is_on_record(nested: bool) -> None:
    case = Guarded(nested=nested)
    assert case.records["both"].state is AlarmState.ALARM
    assert case.both == HELD
    case.records["errors"] = metric_alarm(NOON, name="errors")
    assert case.both == HELD, "an alarm that it names was never judged, as far as the record says"


def test_a_composite_guard_of_before_that_an_alarm_without_data_opens_rolls_nothing_back() -> None:
    case = Guarded("NOT OK(errors)")
    case.records["errors"] = metric_alarm(NOON, name="errors")
    assert case.both == HELD


@pytest.mark.parametrize("name", ["errors", "late"])
@pytest.mark.parametrize("nested", [False, True])
def test_an_alarm_set_by_hand_fires_the_composite_guard_that_names_it(name: str, nested: bool) -> None:
    case = Guarded(nested=nested)
    case.record(turn(case.records[name], AlarmState.ALARM, "drill"))
    assert case.both == FIRING


def test_an_alarm_set_by_hand_to_what_does_not_fire_leaves_the_guard_of_before() -> None:
    case = Guarded("ALARM(errors) AND NOT ALARM(late)")
    case.record(turn(case.records["late"], AlarmState.OK, "the maintenance is over"))
    assert case.both == HELD


def test_a_redefined_alarm_that_goes_off_fires_the_composite_guard_that_names_it() -> None:
    case = Guarded()
    case.record(turn(replace(case.records["late"], threshold=0.5), AlarmState.ALARM))
    assert case.both == FIRING


@pytest.mark.parametrize("data", [None, "{}"])
@pytest.mark.parametrize("judged", [False, True])
def test_a_composite_guard_set_by_hand_fires(judged: bool, data: str | None) -> None:
    case = Guarded()
    calm = case.records["errors"] = turn(case.records["errors"], AlarmState.OK)
    case.verdicts["errors"] = GuardVerdict(calm, LATER, LATER)
    if judged:
        case.verdicts["both"] = GuardVerdict(turn(case.records["both"], AlarmState.OK), LATER, LATER)
    else:
        del case.verdicts["both"]
    case.records["both"] = turn(case.records["both"], AlarmState.ALARM, "drill", data)
    assert case.both == FIRING


def test_a_composite_guard_that_fired_and_was_not_judged_yet_is_unknown() -> None:
    case = Guarded()
    case.verdicts.clear()
    assert case.both[0] is AlarmState.INSUFFICIENT_DATA
    case.record(turn(case.records["late"], AlarmState.ALARM, "drill"))
    assert case.both == FIRING


def test_the_engine_that_saw_a_rollout_without_traffic_says_so_and_a_later_one_does_not(tmp_path: Path) -> None:
    """Whoever compares versions may look first when the new one has its share already."""

    async def story(case: Case) -> None:
        await case.create()
        await case.ticks(9)
        saved = await case.store.run(lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None
        wanted = VersionRequest(version("v2", {"a": 1}), canary(percent(10), 600, 0), NOON)
        begun = commands.begin(saved.body, wanted, rollout_id="r2", can=case.target.can, now=NOON)
        await case.store.run(lambda tx: tx.put(ENDPOINT, "fraud", begun, expect=None, now=NOON))
        await case.ticks(1)
        saved = await case.store.run(lambda tx: tx.get(ENDPOINT, "fraud"))
        assert saved is not None and saved.body.rollout is not None
        routed = replace(saved.body, rollout=replace(saved.body.rollout, losses=1))
        await case.store.run(lambda tx: tx.put(ENDPOINT, "fraud", routed, expect=None, now=NOON))
        later = Engine(case.store, {LOCAL: case.target}, case.clock, Guards(MemoryMetrics()), lambda name: None)
        for engine in (case.engine, later):
            await engine.tick("fraud")
        own, inherited = (engine.guarded()[0].versions for engine in (case.engine, later))
        assert own is not None and inherited is not None and own.routed and inherited.routed
        assert own.followed_from == NOON
        assert inherited.followed_from is None

    told(tmp_path, story)
