"""The alarm loop's body on a real database: what is due, what is written, what others changed meanwhile."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.memory_metrics import MemoryMetrics
from tests.metric_alarm import metric_alarm
from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.metric import MetricId, Query, Sample
from tidegate.monitoring import sketch
from tidegate.monitoring.alarm_data import needed, points, series_of
from tidegate.monitoring.samples import Datapoint
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Tx
from tidegate.reconcile.alarm_loop import BUDGET, evaluate_due
from tidegate.reconcile.reads import read_all
from tidegate.service import alarms as use
from tidegate.service.record_kinds import ALARM
from tidegate.store import SqlStore, open_store
from tidegate.store.metrics import SqlMetrics

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ERRORS = metric_alarm(NOON)


async def datapoints(metrics: Metrics, alarm: Alarm) -> list[Datapoint | None]:
    """Ten seconds after noon."""
    now = NOON + timedelta(seconds=10)
    return points(alarm, await read_all(metrics, needed(alarm, now)), now)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Noon:
    """It is noon."""

    def now(self) -> datetime:
        return NOON


@dataclass
class World:
    store: SqlStore
    metrics: SqlMetrics
    last: dict[str, datetime] = field(default_factory=dict)

    async def tick(
        self, seconds: float, guards: Mapping[str, Alarm] | None = None, counted: Mapping[str, int] | None = None
    ) -> list[str]:
        given = self.store, self.metrics, at(seconds), self.last
        return await evaluate_due(*given, guards=guards or {}, counted=counted or {})

    async def put(self, *alarms: Alarm, at: datetime = NOON) -> None:
        def work(tx: Tx) -> None:
            for alarm in alarms:
                use.put(tx, alarm, at)

        await self.store.run(work)

    async def see(self, alarm: Alarm, second: int, value: float) -> None:
        """One request in that second, with this value."""
        series = MetricId.of(alarm.namespace, alarm.metric, alarm.dimensions)
        await self.metrics.put([Sample(series, int(NOON.timestamp()) + second, 1, value, value, value)])

    async def state(self, name: str) -> AlarmState:
        saved = await self.store.run(lambda tx: tx.get(ALARM, name))
        assert saved is not None
        return saved.body.state


async def on(url: str, story: Callable[[World], Awaitable[None]]) -> None:
    store = open_store(url)
    try:
        await story(World(store, SqlMetrics(store.database, Noon())))
    finally:
        await store.close()


async def test_a_breach_is_saved_once_and_told(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        await world.put(ERRORS)
        assert await world.tick(0) == []
        await world.see(ERRORS, 3, 1.0)
        assert await world.tick(5) == []
        assert await world.tick(10) == ["errors"]
        assert await world.state("errors") is AlarmState.ALARM
        assert await world.tick(11) == []
        lines = await world.store.run(lambda tx: tx.journal(kind="alarm", name="errors"))
        assert [[event.data["item"] for event in line.events] for line in lines] == [
            ["ConfigurationUpdate"],
            ["StateUpdate"],
        ]

    await on(sqlite_url, story)


async def test_it_recovers_and_at_last_has_no_data(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        await world.put(ERRORS)
        await world.see(ERRORS, 3, 1.0)
        await world.see(ERRORS, 13, 0.0)
        states = []
        for second in range(10, 71, 10):
            await world.tick(second)
            states.append(await world.state("errors"))
        assert states == [AlarmState.ALARM] + [AlarmState.OK] * 3 + [AlarmState.INSUFFICIENT_DATA] * 3

    await on(sqlite_url, story)


async def test_each_alarm_has_its_own_pace(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        periods = (1, 5, 10, 60)
        await world.put(*[replace(ERRORS, name=f"every-{p}", period=p) for p in periods])
        await world.tick(0)
        turns: dict[str, list[int]] = {f"every-{p}": [] for p in periods}
        for second in range(1, 61):
            before = dict(world.last)
            await world.tick(second)
            for name, at in world.last.items():
                if at != before[name]:
                    turns[name].append(second)
        assert turns == {
            "every-1": list(range(1, 61)),
            "every-5": list(range(5, 61, 5)),
            "every-10": list(range(10, 61, 10)),
            "every-60": [60],
        }

    await on(sqlite_url, story)


async def test_a_redefined_alarm_is_judged_at_once_and_a_deleted_one_forgotten(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        await world.put(ERRORS)
        await world.see(ERRORS, -3, 1.0)
        assert await world.tick(0) == ["errors"]
        await world.put(replace(ERRORS, threshold=2.0), at=NOON + timedelta(seconds=1))
        assert await world.tick(2) == ["errors"]
        assert await world.state("errors") is AlarmState.OK
        await world.store.run(lambda tx: use.delete(tx, ["errors"], NOON))
        assert await world.tick(3) == []
        assert world.last == {}

    await on(sqlite_url, story)


async def test_a_state_set_by_hand_lasts_until_the_next_turn(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        await world.put(ERRORS)
        await world.see(ERRORS, -1, 0.0)
        assert await world.tick(0) == ["errors"]
        await world.store.run(lambda tx: use.set_state(tx, "errors", AlarmState.ALARM, "drill", None, NOON))
        assert await world.tick(1) == []
        assert await world.state("errors") is AlarmState.ALARM
        assert await world.tick(10) == ["errors"]
        assert await world.state("errors") is AlarmState.OK

    await on(sqlite_url, story)


@dataclass
class Meddling:
    """Real metrics; someone else writes an alarm while they are read."""

    world: World
    change: Alarm

    async def read(self, metric: MetricId, start: int, end: int, period: int) -> dict[int, Sample]:
        raise AssertionError("what alarms are judged by is read together")

    async def read_units(
        self, metrics: Sequence[MetricId], start: int, end: int, period: int
    ) -> list[dict[str, dict[int, Sample]]]:
        await self.world.put(self.change, at=NOON + timedelta(seconds=10))
        return await self.world.metrics.read_units(metrics, start, end, period)

    async def put(self, samples: Sequence[Sample]) -> None:
        raise AssertionError("nothing is put here")

    async def series(
        self, namespace: str | None, name: str | None, dimensions: Sequence[tuple[str, str | None]], since: int
    ) -> list[MetricId]:
        raise AssertionError("nothing is listed here")


async def test_a_record_that_changed_while_it_was_judged_is_left_alone(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        await world.put(ERRORS)
        await world.see(ERRORS, 3, 1.0)
        meddling = Meddling(world, replace(ERRORS, threshold=2.0))
        assert await evaluate_due(world.store, meddling, NOON + timedelta(seconds=10), world.last) == []
        assert await world.state("errors") is AlarmState.INSUFFICIENT_DATA
        assert await world.tick(20) == ["errors"]
        assert await world.state("errors") is AlarmState.OK

    await on(sqlite_url, story)


async def test_p99_of_a_latency_in_microseconds(sqlite_url: str) -> None:
    slow = replace(ERRORS, name="slow", metric="ModelLatency", statistic="p99", threshold=4e4, unit="Microseconds")
    other = replace(slow, name="other-unit", unit="Seconds")

    async def story(world: World) -> None:
        await world.put(slow, other)
        for second, value in enumerate((900.0, 50_000.0, 50_000.0)):
            series = series_of(slow)
            at = int(NOON.timestamp()) + second
            await world.metrics.put([Sample(series, at, 1, value, value, value, unit="Microseconds")])
        assert await world.tick(10) == ["slow"]
        assert await world.state("slow") is AlarmState.ALARM
        assert await world.state("other-unit") is AlarmState.INSUFFICIENT_DATA

    await on(sqlite_url, story)


async def test_metric_math_is_judged(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        series = {"bad": MetricId("Mine", "Bad"), "all": MetricId("Mine", "All")}
        queries = (
            Query("share", expression="bad / all"),
            *(Query(id, metric, "Sum", returned=False) for id, metric in series.items()),
        )
        nothing = {"namespace": "", "metric": "", "dimensions": {}, "statistic": ""}
        await world.put(replace(ERRORS, queries=queries, **nothing))  # type: ignore[arg-type]

        async def see(second: int, bad: float, among: float) -> None:
            at = int(NOON.timestamp()) + second
            of = ((series["bad"], bad), (series["all"], among))
            await world.metrics.put([Sample(metric, at, 1, value, value, value) for metric, value in of])

        await see(5, 1, 100)
        await world.tick(10)
        assert await world.state("errors") is AlarmState.OK
        await see(15, 6, 100)
        await world.tick(20)
        assert await world.state("errors") is AlarmState.ALARM
        saved = await world.store.run(lambda tx: tx.get(ALARM, "errors"))
        assert saved is not None and "[0.06 (" in saved.body.state_reason
        assert "statistic" not in json.loads(saved.body.state_reason_data or "")

    await on(sqlite_url, story)


@pytest.mark.parametrize("statistic", ["p99", "Maximum", "Average"])
async def test_requests_without_an_answer_count_as_latency_while_they_hang(statistic: str) -> None:
    slow = replace(ERRORS, metric="ModelLatency", statistic=statistic, threshold=1e6, unit="Microseconds")
    series = series_of(slow)
    hanging = replace(series, name="InFlightLatency")

    metrics, at = MemoryMetrics(), int(NOON.timestamp())
    for second in range(10):
        age = 1e6 * (second + 2)
        bins = {sketch.index(age): 3.0}
        await metrics.put([Sample(hanging, at + second, 3, 3 * age, age, age, bins, "Microseconds")])
    found = await datapoints(metrics, slow)
    assert found[-1] is not None and found[-1].value > 1e6
    assert found[-1].samples == pytest.approx(3), "each request is one, however long it hangs"
    assert found[-2] is None


async def test_a_count_of_requests_leaves_out_those_without_an_answer() -> None:
    counted = replace(ERRORS, metric="ModelLatency", statistic="SampleCount", threshold=1)

    metrics, series = MemoryMetrics(), series_of(counted)
    await metrics.put([Sample(replace(series, name="InFlightLatency"), int(NOON.timestamp()), 1, 2e6, 2e6, 2e6)])
    assert set(await datapoints(metrics, counted)) == {None}


async def test_an_alarm_sees_values_of_its_unit_alone_and_never_a_mixture() -> None:
    metrics, at = MemoryMetrics(), int(NOON.timestamp())
    series = MetricId.of("Shop", "Wait", {})
    await metrics.put(
        [
            Sample(series, at + 2, 1, 3.0, 3.0, 3.0, unit="Seconds"),
            Sample(series, at + 4, 1, 3000.0, 3000.0, 3000.0, unit="Milliseconds"),
        ]
    )
    alarm = replace(ERRORS, namespace="Shop", metric="Wait", dimensions={})
    summed = Query("m", series, "Sum", "Seconds")

    async def newest(one: Alarm) -> float | None:
        found = (await datapoints(metrics, one))[-1]
        return None if found is None else found.value

    assert await newest(replace(alarm, unit="Seconds")) == 3.0
    assert await newest(replace(alarm, unit="Milliseconds")) == 3000.0
    assert await newest(replace(alarm, unit="Bytes")) is None
    assert await newest(replace(alarm, queries=(summed,))) == 3.0
    assert await newest(alarm) == 3000.0, "the first by name of those with the newest span"


async def test_however_many_expensive_alarms_there_are_every_alarm_has_its_turn(sqlite_url: str) -> None:
    costly = [replace(ERRORS, name=f"costly-{n:02}", period=1, evaluation_periods=10_000) for n in range(60)]

    async def story(world: World) -> None:
        await world.put(*costly, replace(ERRORS, name="cheap"))
        turns = [len(world.last)]
        for second in range(6):
            await world.tick(second)
            turns.append(len(world.last))
        most = BUDGET // 10_000
        assert all(after - before <= most for before, after in pairwise(turns))
        assert len(world.last) == 61

    await on(sqlite_url, story)


async def test_an_alarm_that_cannot_be_judged_stops_no_other(sqlite_url: str) -> None:
    class Failing(SqlMetrics):
        async def read_units(
            self, metrics: Sequence[MetricId], start: int, end: int, period: int
        ) -> list[dict[str, dict[int, Sample]]]:
            if any(metric.name == "Broken" for metric in metrics):
                raise ZeroDivisionError
            return await super().read_units(metrics, start, end, period)

    async def story(world: World) -> None:
        world.metrics = Failing(world.store.database, Noon())
        await world.put(replace(ERRORS, name="a-broken", metric="Broken"), ERRORS)
        await world.see(ERRORS, 3, 1.0)
        assert await world.tick(10) == ["errors"]

    await on(sqlite_url, story)


async def test_metric_math_of_another_version_of_this_program_stops_no_other(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        series = MetricId("Mine", "Bad")
        queries = (Query("rate", expression="SLOPE(bad)"), Query("bad", series, "Sum", returned=False))
        nothing = {"namespace": "", "metric": "", "dimensions": {}, "statistic": ""}
        later = replace(ERRORS, name="a-later", queries=queries, **nothing)  # type: ignore[arg-type]
        await world.store.run(lambda tx: tx.put(ALARM, later.name, later, expect=0, now=NOON))
        await world.put(ERRORS)
        await world.see(ERRORS, 3, 1.0)
        assert await world.tick(10) == ["errors"]

    await on(sqlite_url, story)


async def test_a_composite_alarm_changes_with_the_alarm_that_its_rule_names(sqlite_url: str) -> None:
    rule = replace(ERRORS, name="both", namespace="", metric="", dimensions={}, statistic="", rule="ALARM(errors)")

    async def story(world: World) -> None:
        await world.put(ERRORS, rule)
        assert await world.state("both") is AlarmState.OK
        await world.see(ERRORS, 5, 100.0)
        assert await world.tick(10) == ["errors", "both"]
        assert await world.state("both") is AlarmState.ALARM
        assert await world.tick(11) == []

    await on(sqlite_url, story)


async def test_an_alarm_has_the_state_that_it_has_as_a_guard_at_once(sqlite_url: str) -> None:
    """Guards are judged each second; DescribeAlarms must not lag behind by a period."""

    async def story(world: World) -> None:
        alarm = replace(ERRORS, period=60)
        await world.put(alarm)
        await world.tick(0)
        rings = replace(alarm, state=AlarmState.ALARM, state_reason="Threshold Crossed: x", state_changed_at=at(3))
        assert await world.tick(3, guards={"errors": rings}) == ["errors"]
        assert await world.state("errors") is AlarmState.ALARM
        over = replace(rings, state=AlarmState.OK, state_changed_at=at(7))
        assert await world.tick(7, guards={"errors": over}) == ["errors"]
        assert await world.state("errors") is AlarmState.OK
        assert await world.tick(8, guards={"errors": over}) == []

    await on(sqlite_url, story)


async def test_a_composite_alarm_follows_a_state_that_was_written_elsewhere(sqlite_url: str) -> None:
    rule = replace(ERRORS, name="both", namespace="", metric="", dimensions={}, statistic="", rule="ALARM(errors)")

    def write(tx: Tx) -> None:
        saved = tx.get(ALARM, "errors")
        assert saved is not None
        tx.put(ALARM, "errors", replace(saved.body, state=AlarmState.ALARM), expect=saved.version, now=NOON)

    async def story(world: World) -> None:
        await world.put(ERRORS, rule)
        await world.tick(10)
        await world.store.run(write)
        assert await world.tick(11) == ["both"]

    await on(sqlite_url, story)


async def test_a_guard_is_judged_in_one_place(sqlite_url: str) -> None:
    """By what is collected so far it would be OK: the guard is not judged here as well."""

    async def story(world: World) -> None:
        await world.put(ERRORS)
        await world.see(ERRORS, 3, 0.0)
        rings = replace(
            ERRORS, state=AlarmState.ALARM, state_reason="Threshold Crossed: x", state_changed_at=at(1)
        )
        for second in (10, 20, 30):
            await world.tick(second, guards={"errors": rings})
            assert await world.state("errors") is AlarmState.ALARM
        other = replace(rings, threshold=99.0)
        await world.tick(40, guards={"errors": other})
        assert await world.state("errors") is not AlarmState.ALARM, "another definition is another alarm"

    await on(sqlite_url, story)


async def test_a_state_set_by_hand_stays_until_the_alarm_is_due(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        alarm = replace(ERRORS, period=60)
        await world.put(alarm)
        await world.tick(0)
        fine = replace(alarm, state=AlarmState.OK, state_reason="Threshold Crossed: x", state_changed_at=at(1))
        await world.tick(1, guards={"errors": fine})
        await world.store.run(lambda tx: use.set_state(tx, "errors", AlarmState.ALARM, "a drill", None, at(5)))
        await world.tick(59, guards={"errors": fine})
        assert await world.state("errors") is AlarmState.ALARM
        await world.tick(60, guards={"errors": fine})
        assert await world.state("errors") is AlarmState.OK

    await on(sqlite_url, story)


@pytest.mark.parametrize("period", [10, 60])
async def test_a_period_is_judged_once_its_requests_are_counted(sqlite_url: str, period: int) -> None:
    """Not a moment before, and then not until a period later."""

    async def story(world: World) -> None:
        alarm = replace(ERRORS, period=period, dimensions={"EndpointName": "fraud"})
        await world.put(alarm)
        await world.tick(0)
        assert await world.tick(period + 0.2, counted={"fraud": int(NOON.timestamp()) + period - 1}) == []
        await world.see(alarm, period - 1, 1.0)
        assert await world.tick(period + 1.2, counted={"fraud": int(NOON.timestamp()) + period}) == ["errors"]
        assert await world.state("errors") is AlarmState.ALARM

    await on(sqlite_url, story)


async def test_counts_that_do_not_come_hold_up_no_alarm(sqlite_url: str) -> None:
    async def story(world: World) -> None:
        alarm = replace(ERRORS, dimensions={"EndpointName": "fraud"})
        await world.put(alarm)
        await world.tick(0)
        await world.see(alarm, 3, 1.0)
        assert await world.tick(16, counted={"fraud": int(NOON.timestamp()) + 4}) == ["errors"]

    await on(sqlite_url, story)
