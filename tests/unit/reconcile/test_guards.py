"""Guards: judged by the definitions that a rollout began with, apart from each other, cheap ones first."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.memory_metrics import MemoryMetrics
from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator, MissingData
from tidegate.domain.errors import Unavailable
from tidegate.domain.metric import SIGNALS, Coverage, MetricId, Query, Sample
from tidegate.monitoring.alarm_data import series_of
from tidegate.monitoring.guard_verdicts import BUDGET
from tidegate.reconcile.guards import GuardedRollout, Guards

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
AT = int(NOON.timestamp())


def guard(name: str = "errors", endpoint: str = "fraud", periods: int = 1, period: int = 1) -> Alarm:
    dimensions = {"EndpointName": endpoint}
    return Alarm(name, "N", "M", dimensions, "Sum", period, periods, 1, 0.5, ComparisonOperator.GREATER, NOON)


def covered(through: int = AT, since: int = AT - 100) -> Coverage:
    return Coverage(since, through)


@dataclass
class Counting(MemoryMetrics):
    """Counts reads; those of ``broken`` metrics fail."""

    reads: list[str] = field(default_factory=list)
    broken: str = ""

    async def read_units(
        self, metrics: Sequence[MetricId], start: int, end: int, period: int
    ) -> list[dict[str, dict[int, Sample]]]:
        endpoints = [dict(metric.dimensions)["EndpointName"] for metric in metrics]
        self.reads += endpoints
        if self.broken in endpoints:
            raise Unavailable("the database is away")
        return await super().read_units(metrics, start, end, period)


async def test_a_verdict_reaches_no_further_than_the_counts_it_rests_on() -> None:
    guards, one = Guards(MemoryMetrics()), GuardedRollout("fraud", "r", (guard(),))
    await guards.judge([one], {"fraud": covered(through=AT - 7)}, NOON)
    evidence = guards.evidence(one)
    assert evidence is not None
    assert (evidence.judged_at, evidence.through) == (NOON, NOON - 7 * SECOND)
    assert evidence.since == NOON - 100 * SECOND


async def test_an_alarm_on_another_endpoint_reaches_no_further_than_the_counts_of_that_one() -> None:
    guards, one = Guards(MemoryMetrics()), GuardedRollout("fraud", "r", (guard(endpoint="downstream"),))
    await guards.judge([one], {"fraud": covered(), "downstream": covered(AT - 3)}, NOON)
    evidence = guards.evidence(one)
    assert evidence is not None and evidence.through == NOON - 3 * SECOND


@pytest.mark.parametrize(("missing", "seconds"), [(MissingData.MISSING, 2), (MissingData.NOT_BREACHING, 0)])
async def test_a_verdict_on_a_signal_reaches_no_further_than_its_last_reading(
    missing: MissingData, seconds: int
) -> None:
    alarm = replace(guard(periods=3), namespace=SIGNALS, missing=missing)
    metrics, one = MemoryMetrics(), GuardedRollout("fraud", "r", (alarm,))
    guards = Guards(metrics)
    await metrics.put([Sample(series_of(alarm), AT - 3, 1, 0.0, 0.0, 0.0)])
    await guards.judge([one], {"fraud": covered()}, NOON)
    evidence = guards.evidence(one)
    assert guards.states(one) == {"errors": AlarmState.OK}
    assert evidence is not None and evidence.through == NOON - seconds * SECOND
    assert evidence.read_through == ({"errors": evidence.through} if seconds else {})


async def test_a_signal_is_not_blamed_for_requests_that_were_not_counted() -> None:
    alarm = replace(guard(periods=3), namespace=SIGNALS)
    metrics, one = MemoryMetrics(), GuardedRollout("fraud", "r", (alarm,))
    guards = Guards(metrics)
    await metrics.put([Sample(series_of(alarm), AT - 3, 1, 0.0, 0.0, 0.0)])
    await guards.judge([one], {"fraud": covered(AT - 5)}, NOON)
    evidence = guards.evidence(one)
    assert evidence is not None and (evidence.through, evidence.read_through) == (NOON - 5 * SECOND, {})


@pytest.mark.parametrize(("bad", "seconds"), [((1,), 3), ((), 0)])
async def test_the_first_bad_reading_after_a_silence_lets_no_rollout_pass(
    bad: tuple[int, ...], seconds: int
) -> None:
    """The alarm needs three bad readings of five, of which two are missing: it may have them already."""
    alarm = replace(guard(periods=5), namespace=SIGNALS, datapoints_to_alarm=3)
    metrics, one = MemoryMetrics(), GuardedRollout("fraud", "r", (alarm,))
    guards = Guards(metrics)
    for at in (1, 4, 5):
        value = 1.0 if at in bad else 0.0
        await metrics.put([Sample(series_of(alarm), AT - at, 1, value, value, value)])
    await guards.judge([one], {"fraud": covered()}, NOON)
    evidence = guards.evidence(one)
    assert guards.states(one) == {"errors": AlarmState.OK}
    assert evidence is not None and evidence.through == NOON - seconds * SECOND


async def test_counts_of_a_time_to_come_are_no_evidence() -> None:
    """They were made before the clock was set back by an hour, and nothing was counted since."""
    guards, one = Guards(MemoryMetrics()), GuardedRollout("fraud", "r", (guard(),))
    await guards.judge([one], {"fraud": covered(through=AT + 3_600)}, NOON)
    assert guards.evidence(one) is None
    await guards.judge([one], {"fraud": covered(through=AT + 1)}, NOON)
    assert guards.evidence(one) is not None


async def test_a_verdict_of_whole_minutes_reaches_to_the_last_whole_minute() -> None:
    guards, one = Guards(MemoryMetrics()), GuardedRollout("fraud", "r", (guard(period=60),))
    await guards.judge([one], {"fraud": covered(AT + 59)}, NOON + 59 * SECOND)
    evidence = guards.evidence(one)
    assert evidence is not None
    assert (evidence.judged_at, evidence.through) == (NOON + 59 * SECOND, NOON)


async def test_what_cannot_be_judged_is_unknown_and_disturbs_no_other() -> None:
    metrics = Counting(broken="loan")
    guards = Guards(metrics)
    mine, other = (
        GuardedRollout("fraud", "r1", (guard(),)),
        GuardedRollout("loan", "r2", (guard(endpoint="loan"),)),
    )
    await guards.judge([other, mine], {"fraud": covered(), "loan": covered()}, NOON)
    assert guards.evidence(mine) is not None and guards.states(mine)
    assert guards.evidence(other) is None and guards.states(other) == {}


async def test_a_guard_that_this_program_cannot_read_disarms_no_other() -> None:
    """Another version of it may have taken its metric math."""
    series = MetricId.of("N", "M", {"EndpointName": "loan"})
    queries = (Query("rate", expression="SLOPE(bad)"), Query("bad", series, "Sum", returned=False))
    guards = Guards(MemoryMetrics())
    mine = GuardedRollout("fraud", "r1", (guard(),))
    other = GuardedRollout("loan", "r2", (replace(guard(endpoint="loan"), queries=queries),))
    await guards.judge([other, mine], {"fraud": covered(), "loan": covered()}, NOON)
    assert guards.evidence(mine) is not None and guards.states(mine)
    assert guards.evidence(other) is None


async def test_guards_that_wait_for_the_database_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    given = asyncio.Event()

    class Slow(MemoryMetrics):
        async def read_units(
            self, metrics: Sequence[MetricId], start: int, end: int, period: int
        ) -> list[dict[str, dict[int, Sample]]]:
            if any(dict(metric.dimensions)["EndpointName"] == "loan" for metric in metrics):
                await given.wait()
            return await super().read_units(metrics, start, end, period)

    monkeypatch.setattr("tidegate.reconcile.guards.PATIENCE", 3_600.0)
    guards = Guards(Slow())
    mine = GuardedRollout("fraud", "r1", (guard(),))
    others = GuardedRollout("loan", "r2", tuple(guard(f"slow-{n}", endpoint="loan") for n in range(5)))
    turn = asyncio.create_task(guards.judge([others, mine], {"fraud": covered(), "loan": covered()}, NOON))
    async with asyncio.timeout(300):
        while not guards.states(mine):
            await asyncio.sleep(0.01)
    assert guards.states(others) == {} and not turn.done()
    given.set()
    await turn
    assert len(guards.states(others)) == 5


async def test_a_rollout_without_alarms_rests_on_its_counts() -> None:
    guards, one = Guards(MemoryMetrics()), GuardedRollout("fraud", "r", ())
    assert guards.evidence(one) is None, "nothing was collected yet"
    await guards.judge([one], {"fraud": covered()}, NOON)
    assert guards.evidence(one) is not None


async def test_a_guard_keeps_its_state_from_round_to_round() -> None:
    metrics = MemoryMetrics()
    guards, one = Guards(metrics), GuardedRollout("fraud", "r", (guard(),))
    await metrics.put([Sample(series_of(guard()), AT - 1, 1, 1.0, 1.0, 1.0)])
    await guards.judge([one], {"fraud": covered()}, NOON)
    assert guards.states(one) == {"errors": AlarmState.ALARM}
    await metrics.put([Sample(series_of(guard()), AT, 1, 0.0, 0.0, 0.0)])
    await guards.judge([one], {"fraud": covered(AT + 1)}, NOON + SECOND)
    assert guards.states(one) == {"errors": AlarmState.OK}


async def test_however_expensive_others_are_a_cheap_guard_is_judged_in_every_round() -> None:
    metrics = Counting()
    guards, mine = Guards(metrics), GuardedRollout("fraud", "mine", (guard(),))
    greedy = [GuardedRollout("loan", f"r{n}", (guard(f"g{n}", "loan", BUDGET // 4),)) for n in range(12)]
    judged_of = list[datetime | None]()
    for second in range(6):
        now = NOON + second * SECOND
        await guards.judge([*greedy, mine], {"fraud": covered(AT + second), "loan": covered()}, now)
        evidence = guards.evidence(mine)
        assert evidence is not None and evidence.judged_at == now
    judged_of = [e.judged_at if (e := guards.evidence(one)) else None for one in greedy]
    assert None not in judged_of, "the others take turns"
    assert metrics.reads.count("loan") <= 6 * 4


async def test_what_is_no_longer_guarded_is_forgotten() -> None:
    guards, one = Guards(MemoryMetrics()), GuardedRollout("fraud", "r", (guard(),))
    await guards.judge([one], {"fraud": covered()}, NOON)
    await guards.judge([], {}, NOON + SECOND)
    assert guards.states(one) == {}
    assert guards.states(GuardedRollout("fraud", "r", (replace(guard(), name="other"),))) == {}


def composite(rule: str, name: str = "both") -> Alarm:
    return replace(guard(name), namespace="", metric="", dimensions={}, statistic="", rule=rule)


async def count(metrics: MemoryMetrics, endpoint: str, at: int, value: float) -> None:
    metric = series_of(guard(endpoint=endpoint))
    await metrics.put([Sample(metric, at, 1, value, value, value)])


async def test_a_composite_guard_is_judged_by_the_verdicts_on_its_alarms() -> None:
    metrics = MemoryMetrics()
    errors, maintenance = guard(), guard("maintenance", endpoint="maintenance")
    both = composite("ALARM(errors) AND NOT ALARM(maintenance)")
    guards, one = Guards(metrics), GuardedRollout("fraud", "r", (both, errors, maintenance))
    for endpoint, value in (("fraud", 1.0), ("maintenance", 0.0)):
        await count(metrics, endpoint, AT - 1, value)
    coverage = {"fraud": covered(), "maintenance": covered(AT - 3)}
    await guards.judge([one], coverage, NOON)
    assert guards.states(one)["both"] is AlarmState.ALARM
    evidence = guards.evidence(one)
    assert evidence is not None and evidence.through == NOON - 3 * SECOND, "as old as the oldest of them"
    await count(metrics, "maintenance", AT, 1.0)
    await count(metrics, "fraud", AT, 1.0)
    await guards.judge([one], coverage, NOON + SECOND)
    assert guards.states(one)["both"] is AlarmState.OK


async def test_a_composite_guard_whose_alarms_cannot_be_judged_is_no_evidence() -> None:
    metrics = Counting(broken="maintenance")
    await count(metrics, "fraud", AT - 1, 0.0)
    alarms = (guard(), guard("maintenance", endpoint="maintenance"))
    open_, decided = composite("ALARM(errors) OR ALARM(maintenance)"), composite("NOT OK(errors)", "decided")
    guards, one = Guards(metrics), GuardedRollout("fraud", "r", (open_, decided, *alarms))
    await guards.judge([one], {"fraud": covered()}, NOON)
    assert guards.states(one) == {"errors": AlarmState.OK, "decided": AlarmState.OK}
    assert guards.evidence(one) is None


async def test_a_composite_guard_fires_though_one_of_its_alarms_cannot_be_judged() -> None:
    metrics = Counting(broken="maintenance")
    await count(metrics, "fraud", AT - 1, 1.0)
    either = composite("ALARM(errors) OR ALARM(maintenance)")
    guards = Guards(metrics)
    one = GuardedRollout("fraud", "r", (either, guard(), guard("maintenance", endpoint="maintenance")))
    await guards.judge([one], {"fraud": covered()}, NOON)
    assert guards.states(one)["both"] is AlarmState.ALARM


@dataclass
class Story:
    """A guard of a rollout that began at noon; ``errors`` fail in that second after noon."""

    alarm: Alarm
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    began: datetime = NOON
    ahead: float = 0.0

    def __post_init__(self) -> None:
        self.guards = Guards(self.metrics, read_ahead=lambda: self.ahead)
        self.one = GuardedRollout("fraud", "r", (self.alarm,), since=self.began)

    async def count(self, second: int, errors: float, requests: int = 1) -> None:
        await self.metrics.put([Sample(series_of(self.alarm), AT + second, requests, errors, 0.0, 1.0)])

    async def judge(self, second: float) -> tuple[AlarmState, bool]:
        now = NOON + second * SECOND
        await self.guards.judge([self.one], {"fraud": covered(int(now.timestamp()))}, now)
        verdict = self.guards.verdicts(self.one)["errors"]
        return verdict.alarm.state, verdict.from_before


def calm(period: int, periods: int = 1) -> Alarm:
    return replace(guard(period=period, periods=periods), state=AlarmState.OK)


@pytest.mark.parametrize("period", [1, 5, 10, 30, 60, 300])
async def test_errors_of_before_the_rollout_are_told_from_those_since(period: int) -> None:
    story = Story(calm(period), began=NOON + 20 * SECOND)
    await story.count(19, 1.0)
    end = 20 + period if period < 60 else 60
    assert await story.judge(end) in {(AlarmState.ALARM, True), (AlarmState.OK, False)}
    await story.count(min(end, 50), 1.0)
    later = end + 2 if period < 60 else 121
    assert await story.judge(later) == (AlarmState.ALARM, False)


async def test_a_minute_that_the_rollout_began_in_counts_from_then_on() -> None:
    story = Story(calm(60), began=NOON + 30 * SECOND)
    await story.count(29, 1.0)
    assert await story.judge(61) == (AlarmState.ALARM, True)
    fresh = Story(calm(60), began=NOON + 30 * SECOND)
    await fresh.count(31, 1.0)
    assert await fresh.judge(61) == (AlarmState.ALARM, False), "no later than without the rule"


async def test_an_average_that_rises_as_good_answers_leave_its_window_is_of_before() -> None:
    rate = replace(calm(10), statistic="Average", threshold=0.1)
    story = Story(rate)
    await story.count(-10, 0.0, 100)
    await story.count(-2, 1.0, 5)
    assert await story.judge(0) == (AlarmState.OK, False)
    assert await story.judge(2) == (AlarmState.ALARM, True)
    await story.count(2, 0.0, 100)
    assert await story.judge(3) == (AlarmState.OK, False)


async def test_an_alarm_that_was_on_when_the_rollout_began_is_not_excused() -> None:
    story = Story(replace(calm(10), state=AlarmState.ALARM))
    await story.count(-2, 1.0)
    assert await story.judge(1) == (AlarmState.ALARM, False)
    assert await story.judge(2) == (AlarmState.ALARM, False)


async def test_missing_data_that_counts_as_breaching_counts_since_the_rollout_began() -> None:
    heartbeat = replace(calm(10), missing=MissingData.BREACHING)
    assert await Story(heartbeat).judge(1) == (AlarmState.ALARM, False)


async def test_metric_math_is_told_apart_alike() -> None:
    errors = MetricId.of("N", "M", {"EndpointName": "fraud"})
    queries = (
        Query("e", metric=errors, statistic="Sum", returned=False),
        Query("twice", expression="e * 2", returned=True),
    )
    story = Story(replace(calm(10), namespace="", metric="", dimensions={}, statistic="", queries=queries))
    await story.metrics.put([Sample(errors, AT - 2, 1, 1.0, 1.0, 1.0)])
    assert await story.judge(1) == (AlarmState.ALARM, True)
    await story.metrics.put([Sample(errors, AT + 1, 1, 1.0, 1.0, 1.0)])
    assert await story.judge(2) == (AlarmState.ALARM, False)


async def test_after_the_clock_was_set_nothing_is_taken_for_of_before() -> None:
    story = Story(calm(10))
    await story.count(-2, 1.0)
    assert await story.judge(1) == (AlarmState.ALARM, True)
    story.ahead = -3600.0
    assert await story.judge(2) == (AlarmState.ALARM, False)
    ahead = Story(calm(10), began=NOON + 3600 * SECOND)
    await ahead.count(1, 1.0)
    assert await ahead.judge(2) == (AlarmState.ALARM, False), "it began in a time to come"


async def test_a_composite_guard_is_of_before_if_the_alarm_that_it_rests_on_is() -> None:
    story = Story(replace(calm(10), name="errors"))
    both = replace(composite("ALARM(errors)"), state=AlarmState.OK)
    story.one = replace(story.one, alarms=(both, story.alarm))

    async def judge(second: float) -> tuple[AlarmState, bool]:
        await story.judge(second)
        verdict = story.guards.verdicts(story.one)["both"]
        return verdict.alarm.state, verdict.from_before

    await story.count(-2, 1.0)
    assert await judge(1) == (AlarmState.ALARM, True)
    await story.count(1, 1.0)
    assert await judge(2) == (AlarmState.ALARM, False)


@dataclass
class KeptShortly(MemoryMetrics):
    """Seconds are in memory for 300 s, and the database is away, or hangs. ``now``: seconds after noon."""

    now: int = 0
    hangs: bool = False

    async def read_units(
        self, metrics: Sequence[MetricId], start: int, end: int, period: int
    ) -> list[dict[str, dict[int, Sample]]]:
        if (period % 60 or start % 60) and start < AT + self.now - 300:
            if self.hangs:
                await asyncio.Event().wait()
            raise Unavailable("the database is away")
        return await super().read_units(metrics, start, end, period)


@pytest.mark.parametrize("hangs", [False, True])
async def test_an_alarm_fires_though_it_cannot_be_read_whether_its_data_are_of_before(
    hangs: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tidegate.reconcile.guards.PATIENCE", 0.2)
    metrics = KeptShortly(hangs=hangs)
    story = Story(replace(calm(60, 5), datapoints_to_alarm=5), metrics, began=NOON + 20 * SECOND)
    for second in range(20, 420):
        await story.count(second, 1.0)
    metrics.now = 250
    assert await story.judge(250) == (AlarmState.OK, False)
    for second in (330, 331):
        metrics.now = second
        assert await story.judge(second) == (AlarmState.ALARM, False)
        evidence = story.guards.evidence(story.one)
        assert evidence is not None and evidence.judged_at == NOON + second * SECOND
    said = [one for one in caplog.records if "it cannot be read whether" in one.getMessage()]
    assert len(said) == 1, "logged once"


async def test_an_alarm_of_before_rolls_back_once_that_cannot_be_read_any_more() -> None:
    metrics = KeptShortly()
    story = Story(calm(60, 5), metrics, began=NOON + 20 * SECOND)
    await story.count(19, 1.0)
    for second, expected in ((61, True), (300, True), (321, False)):
        metrics.now = second
        assert await story.judge(second) == (AlarmState.ALARM, expected)
