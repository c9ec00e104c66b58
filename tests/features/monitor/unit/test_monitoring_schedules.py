"""Which executions of a monitoring schedule are due and kept, over random turns of a loop."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.drift.unit.test_drift import endpoint
from tidegate.domain.drift import DriftOutcome, DriftVerdict
from tidegate.domain.errors import Invalid
from tidegate.features.monitor.schedule_records import (
    ONCE,
    ExecutionOutcome,
    ExecutionStatus,
    LabelSource,
    MonitoringJob,
    MonitoringSchedule,
)
from tidegate.features.monitor.schedules import (
    KEPT,
    DueExecution,
    create_schedule,
    define_job,
    drift_execution,
    find_executions,
    get_schedule,
    keep_execution,
    last_execution,
)
from tidegate.features.monitor.times import Window, check_offsets, find_window
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT
from tidegate.store import open_store

START = datetime(2026, 3, 1, 12, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTLE = timedelta(seconds=60)
JOB = MonitoringJob("quality", "fraud", "s3://b/statistics.json", "", "s3://b/reports/", "", START)
HOURLY = MonitoringSchedule("hourly", JOB, "cron(0 * ? * * *)", START, START, START)


@given(st.lists(st.integers(min_value=1, max_value=3 * 3_600), max_size=60))
def test_each_scheduled_time_is_due_once_and_in_order_whenever_the_loop_turns(waits: list[int]) -> None:
    now, schedule, seen = START, HOURLY, list[Window]()
    for wait in waits:
        now += timedelta(seconds=wait)
        found = find_window(schedule, SETTLE, now)
        if found is not None:
            seen.append(found)
            schedule = replace(schedule, last=found.at)
            assert find_window(schedule, SETTLE, now) is None
    assert all(earlier.at < later.at for earlier, later in pairwise(seen))
    assert all((one.start, one.end) == (one.at - HOUR, one.at) for one in seen)
    newest = (now - SETTLE).replace(minute=0, second=0, microsecond=0)
    assert [one.at for one in seen[-1:]] == ([newest] if newest > START else [])


async def test_the_newest_executions_are_kept(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'monitoring.db'}")
    outcome = DriftOutcome(START, START, DriftVerdict.DRIFT, total=2)

    def fill(tx: Tx) -> None:
        tx.put(ENDPOINT, "fraud", endpoint(), expect=0, now=START)
        define_job(tx, JOB, {}, START)
        for name in ("hourly", "other"):
            create_schedule(tx, replace(HOURLY, name=name), {}, HOUR, START)
        for number in range(KEPT + 5):
            at = START + number * HOUR
            for name in ("hourly", "other")[: 2 if number == 0 else 1]:
                due = DueExecution(get_schedule(tx, name), (), Window(at, at - HOUR, at))
                keep_execution(tx, due, drift_execution(outcome), at, at)

    try:
        await store.run(fill)
        kept = await store.run(lambda tx: find_executions(tx, "hourly"))
        assert sorted(one.scheduled_at for one in kept) == [START + n * HOUR for n in range(5, KEPT + 5)]
        assert len(await store.run(find_executions)) == KEPT + 1
        last = await store.run(lambda tx: last_execution(tx, get_schedule(tx, "hourly")))
        assert last is not None and last.scheduled_at == START + (KEPT + 4) * HOUR
        assert (last.status, last.violations) == (ExecutionStatus.COMPLETED_WITH_VIOLATIONS, 2)
        assert last.output == "s3://b/reports/fraud/hourly/2026/03/05/20/07"
    finally:
        await store.close()


async def test_an_execution_of_a_deleted_and_recreated_schedule_is_not_the_new_ones(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'monitoring.db'}")
    again = replace(HOURLY, created_at=START + HOUR, expression=ONCE, start_offset="-PT1H", end_offset="-PT0H")

    def run(tx: Tx) -> MonitoringSchedule:
        tx.put(ENDPOINT, "fraud", endpoint(), expect=0, now=START)
        create_schedule(tx, again, {}, HOUR, START)
        due = DueExecution(HOURLY, (), Window(START, START - HOUR, START))
        keep_execution(tx, due, ExecutionOutcome(ExecutionStatus.COMPLETED), START, START)
        return get_schedule(tx, "hourly")

    try:
        assert (await store.run(run)).last is None
    finally:
        await store.close()


def test_the_analysed_time_is_earlier_by_the_offsets_of_labels() -> None:
    job = replace(JOB, labels=LabelSource("s3://b/truth", "-P8D", "-P7D"))
    found = find_window(replace(HOURLY, job=job), SETTLE, START + HOUR)
    at = START.replace(minute=0) + HOUR
    week = timedelta(days=7)
    assert found == Window(at, at - HOUR - week - timedelta(days=1), at - week)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("-P1D", "-P2D", "no time would be analysed"),
        ("", "-PT1H", "EndTimeOffset -PT1H is longer than StartTimeOffset -PT0H"),
        ("-P500D", "", "give 400 days at most"),
        ("-1D", "", "is no duration"),
    ],
)
def test_offsets_that_leave_nothing_are_refused(start: str, end: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check_offsets(LabelSource("s3://b/truth", start, end))
