"""Drift schedules: which look is due, what is kept of it, and what is published."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.memory_store import MemoryTx
from tests.unit.service.test_deploy import START
from tidegate.domain.capture import Capture
from tidegate.domain.drift import DriftFinding, DriftOutcome, DriftSchedule, DriftVerdict
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid, NotFound
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import Version
from tidegate.features.capture.captured import captured_addresses
from tidegate.features.drift.loop import drift_samples
from tidegate.features.drift.service import (
    apply_schedule,
    check_schedule,
    due_end,
    find_due,
    keep_outcome,
    remove_schedule,
    set_schedule,
    show_drift,
)
from tidegate.service.record_kinds import ENDPOINT

SCHEDULE = DriftSchedule("fraud", "s3://baselines/fraud.json", START)
CAPTURE = Capture("s3://captures/a/")
MODEL = Model("m", (ContainerDefinition("tidegate/xgboost", "file:///m.ubj"),), START)
NO_DRIFT = DriftOutcome(START, START + timedelta(minutes=5), DriftVerdict.NO_DRIFT, rows=600, tests=3)
FINDING = DriftFinding("amount", "baseline_drift_check", "distance 0.5 is at least 0.1")
DRIFT = replace(
    NO_DRIFT, verdict=DriftVerdict.DRIFT, findings=(FINDING,), total=2, drifted=1, distances={"amount": 0.5}
)
UNKNOWN = replace(NO_DRIFT, verdict=DriftVerdict.UNKNOWN, reason="no captured row in this window", rows=0)


def variant(name: str, capture: Capture | None = CAPTURE, shadow: bool = False) -> VariantSpec:
    return VariantSpec(name, MODEL, 1, capture=capture, shadow=shadow)


def endpoint(*variants: VariantSpec) -> Endpoint:
    return Endpoint("fraud", START, START, serving=Version(1, "c", variants or (variant("main"),)))


def store(schedule: DriftSchedule | None = SCHEDULE, there: Endpoint | None = None) -> MemoryTx:
    tx = MemoryTx()
    tx.put(ENDPOINT, "fraud", there or endpoint(), expect=0, now=START)
    if schedule is not None:
        set_schedule(tx, schedule, START)
    return tx


def at(minutes: float) -> datetime:
    return datetime(2026, 3, 1, 13, tzinfo=UTC) + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (None, at(0.5), at(0)),
        (at(0), at(0.9), None),
        (at(0), at(1.0), at(1)),
        (at(0), at(7.5), at(7)),
        (at(600), at(3.5), at(3)),
        (at(3.2), at(3.5), None),
    ],
)
def test_a_look_is_due_at_each_full_period_and_missed_ones_are_not_made_up_for(
    last: datetime | None, now: datetime, due: datetime | None
) -> None:
    assert due_end(SCHEDULE, last, now) == due


def test_a_look_covers_the_window_before_it() -> None:
    [due] = find_due(store(replace(SCHEDULE, every=3600, window=7200)), at(20))
    assert (due.start, due.end, due.addresses) == (at(-120), at(0), ("s3://captures/a/fraud/main/",))
    assert find_due(store(there=replace(endpoint(), deleting=True)), at(20)) == []


def test_shadows_and_what_is_not_captured_are_not_looked_at() -> None:
    off = replace(CAPTURE, enabled=False)
    there = endpoint(variant("main"), variant("copy", shadow=True), variant("off", off), variant("none", None))
    assert captured_addresses(there) == ("s3://captures/a/fraud/main/",)
    assert captured_addresses(endpoint(variant("none", None))) == ()


def test_a_verdict_that_changes_is_an_event_and_a_point_of_the_history() -> None:
    tx = store()
    for minute, outcome in enumerate((NO_DRIFT, NO_DRIFT, DRIFT, DRIFT, UNKNOWN)):
        assert keep_outcome(tx, SCHEDULE, replace(outcome, end=at(minute)), at(minute))
    shown = show_drift(tx, "fraud")
    assert [(one["verdict"], one["at"]) for one in shown["history"]] == [
        ("no_drift", "2026-03-01T13:00:00Z"),
        ("drift", "2026-03-01T13:02:00Z"),
        ("unknown", "2026-03-01T13:04:00Z"),
    ]
    said = [event.message for line in tx.journal(kind="drift") for event in line.events]
    assert said == [
        "no drift in 600 rows",
        "drift in 600 rows: amount: baseline_drift_check: distance 0.5 is at least 0.1, and 1 more",
        "drift is unknown: no captured row in this window",
    ]
    assert shown["last"]["verdict"] == "unknown" and shown["schedule"]["every"] == 60
    assert shown["rate"] == pytest.approx(0.05 / 1440)


def test_what_a_look_found_by_another_schedule_is_not_kept() -> None:
    tx = store()
    assert keep_outcome(tx, SCHEDULE, DRIFT, at(0))
    set_schedule(tx, replace(SCHEDULE, baseline="s3://baselines/new.json"), at(1))
    assert show_drift(tx, "fraud")["last"] is None
    assert not keep_outcome(tx, SCHEDULE, DRIFT, at(1))
    remove_schedule(tx, "fraud", at(2))
    with pytest.raises(NotFound, match="no drift schedule"):
        show_drift(tx, "fraud")
    with pytest.raises(NotFound, match="no drift schedule"):
        remove_schedule(tx, "fraud", at(2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"baseline": "baseline.json"}, "is no address"),
        ({"every": 9}, "every of 9 s"),
        ({"window": 40 * 86_400}, "window of"),
        ({"least": 0.0}, "between 0 and 1"),
        ({"least": float("nan")}, "between 0 and 1"),
        ({"false_alarms": 1.0}, "between 0 and 1"),
        ({"by": ("a", "a")}, "up to 3 different columns"),
        ({"by": ("a", "b", "c", "d")}, "up to 3 different columns"),
        ({"zone": "Mars/Base"}, "unknown time zone"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check_schedule(replace(SCHEDULE, **change))  # type: ignore[arg-type]


def test_a_schedule_needs_its_endpoint() -> None:
    with pytest.raises(NotFound):
        set_schedule(MemoryTx(), SCHEDULE, START)


def values(outcome: DriftOutcome) -> dict[str, float]:
    return {
        " ".join(
            (one.metric.name, *(value for name, value in one.metric.dimensions if name == "Column"))
        ): one.high
        for one in drift_samples("fraud", outcome, 60)
    }


def test_metrics_say_what_was_found_and_silence_is_never_no_drift() -> None:
    assert values(NO_DRIFT) == {"Unknown": 0, "Drift": 0, "DriftedColumns": 0, "Violations": 0, "Rows": 600}
    assert values(DRIFT) == {
        **{"Unknown": 0, "Drift": 1, "DriftedColumns": 1, "Violations": 2, "Rows": 600, "Distance amount": 0.5}
    }
    assert values(UNKNOWN) == {"Unknown": 1}
    assert values(replace(DRIFT, distances={"ünï": 0.5, " ": 0.5, "x" * 2000: 0.5})).keys() == {
        *("Unknown", "Drift", "DriftedColumns", "Violations", "Rows")
    }


def test_a_spec_sets_its_schedule_keeps_what_it_found_and_ends_it() -> None:
    tx, declared = store(schedule=None), replace(SCHEDULE, by_spec=True)
    apply_schedule(tx, "fraud", declared, START)
    assert keep_outcome(tx, declared, DRIFT, START)
    apply_schedule(tx, "fraud", replace(declared, created_at=at(5)), at(5))
    assert show_drift(tx, "fraud")["last"]["verdict"] == "drift", "the same again goes on"
    apply_schedule(tx, "fraud", replace(declared, by=("country",)), at(6))
    assert show_drift(tx, "fraud")["last"] is None
    apply_schedule(tx, "fraud", None, at(7))
    with pytest.raises(NotFound):
        show_drift(tx, "fraud")


def test_a_spec_without_a_schedule_leaves_one_that_a_command_set() -> None:
    tx = store()
    apply_schedule(tx, "fraud", None, at(1))
    assert show_drift(tx, "fraud")["schedule"]["baseline"] == SCHEDULE.baseline
