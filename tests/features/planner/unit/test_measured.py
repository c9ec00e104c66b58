"""What a running endpoint has shown, beside the plan that it was deployed from."""

from typing import Any

import pytest

from tidegate.features.planner import planning as planner
from tidegate.features.planner.measured import (
    DAY,
    HOUR,
    EndpointMeasurement,
    compare_bill,
    describe,
    find_busy_rate,
    judge,
    plan_again,
    tell,
)
from tidegate.features.planner.planning import Plan
from tidegate.features.planner.sizing import FleetSize
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()
MONDAY = 1_767_571_200
"""Midnight of 5 January 2026, UTC."""
ANSWERS = {"name": "fraud", "rate": 20, "latency": "100ms", "processing_time": "20ms", "criticality": "high"}


def planned(**changes: Any) -> Plan:
    return planner.plan(planner.read({**ANSWERS, **changes}), CATALOGUE)


def measured(**changes: Any) -> EndpointMeasurement:
    shown: dict[str, Any] = {
        **{"target": "sagemaker", "since": MONDAY, "until": MONDAY + 3 * DAY, "requests": 5e6},
        **{"busy_rate": 21.0, "instance_rate": None, "processing_time": 0.02, "p99": 0.04, "memory": None},
        **{"hours": {"ml.c5.xlarge": 150.0}, "metered_since": MONDAY},
    }
    return EndpointMeasurement(**{**shown, **changes})


def wrong(made: Plan, found: EndpointMeasurement) -> dict[str, tuple[str, str, str]]:
    return {one.key: (one.planned, one.measured, one.basis) for one in judge(made, found) if one.wrong}


def test_the_rate_is_the_busiest_hour_of_an_ordinary_day() -> None:
    hourly = {MONDAY + 9 * HOUR: 3600.0 * 5, MONDAY + 10 * HOUR: 3600.0 * 20, MONDAY + DAY: 3600.0 * 30}
    hourly[MONDAY + 2 * DAY] = 3600.0 * 400
    assert find_busy_rate(hourly, MONDAY, MONDAY + 3 * DAY) == 30
    assert find_busy_rate({MONDAY: 600.0}, MONDAY + 1800, MONDAY + 1860) == 10, "of the minute that was watched"
    assert find_busy_rate({}, MONDAY, MONDAY + DAY) == 0


def test_what_was_measured_as_it_was_planned_is_right() -> None:
    assert wrong(planned(), measured()) == {}


def test_wrong_assumptions_are_named_with_both_values() -> None:
    found = wrong(planned(), measured(busy_rate=44.0, processing_time=0.006, p99=0.015))
    assert found == {
        "rate": ("20 requests a second", "44 requests a second", "stated"),
        "processing_time": ("20 ms", "6 ms", "stated"),
        "p99": ("40 ms", "15 ms", "assumed"),
    }


def test_the_new_plan_rests_on_what_was_measured() -> None:
    found = measured(busy_rate=44.0, processing_time=0.006, p99=0.015)
    made = plan_again(ANSWERS, planned(), found, {"criticality": "low"})
    assert (made.answers.rate, made.answers.processing_time, made.answers.p99) == (44, 0.006, 0.015)
    assert made.answers.criticality == "low" and made.answers.latency == 0.1


def test_a_busy_minute_shows_a_capacity_and_an_idle_one_does_not() -> None:
    before = planned()
    assert isinstance(before.size, FleetSize)
    more, less = measured(instance_rate=2 * before.size.capacity), measured(instance_rate=1.0)
    assert "capacity" in wrong(before, more) and wrong(before, less) == {}
    assert plan_again(ANSWERS, before, more, {}).answers.capacity == 2 * before.size.capacity
    assert plan_again(ANSWERS, before, less, {}).answers.capacity is None


def test_more_memory_than_planned_makes_the_model_larger() -> None:
    before = planned()
    more, less = measured(memory=6e9), measured(memory=1e8)
    assert list(wrong(before, more)) == ["memory"] and wrong(before, less) == {}
    assert plan_again(ANSWERS, before, more, {}).facts["memory_needed"] == pytest.approx(6e9, rel=0.01)
    assert plan_again(ANSWERS, before, less, {}).answers.model_size is None


def test_the_bill_of_the_measured_hours_stands_beside_the_planned_one() -> None:
    before = planned()
    lines = {line.item: line for line in compare_bill(before, measured())}
    instances = lines["sagemaker-hosting/ml.c5.xlarge"]
    assert instances.planned == pytest.approx(2 * 72) and instances.metered == 150
    price = CATALOGUE.hosting("ml.c5.xlarge", "us-east-1").amount
    assert instances.planned_amount == pytest.approx(144 * price)
    assert instances.metered_amount == pytest.approx(150 * price)
    data = lines["sagemaker-data/in"]
    assert data.planned == pytest.approx(20 * 3 * DAY * 16_000 / 1e9) and data.metered == pytest.approx(
        5e6 * 16_000 / 1e9
    )
    assert lines["cloudwatch/alarm-month"].metered is None
    part = sum(line.planned_amount for line in lines.values())
    assert part == pytest.approx(before.bill.total * 3 / 365, rel=0.01), "of a steady load each day costs the same"


def test_hours_from_before_the_measurement_have_no_data_beside_them() -> None:
    lines = {one.item: one for one in compare_bill(planned(), measured(metered_since=MONDAY - 9 * DAY))}
    assert lines["sagemaker-hosting/ml.c5.xlarge"].planned == pytest.approx(2 * 24 * 12)
    assert lines["sagemaker-data/in"].metered is None


def test_instances_of_this_machine_are_priced_as_the_planned_type() -> None:
    (line,) = [one for one in compare_bill(planned(), measured(hours={"local": 10.0})) if "hosting" in one.item]
    assert (line.item, line.metered) == ("sagemaker-hosting/ml.c5.xlarge", 10)


def test_gb_seconds_of_a_serverless_endpoint_are_compared() -> None:
    answers = {"pattern": "intermittent", "latency": "10s", "rate": 1, "criticality": "low"}
    lines = {one.item: one for one in compare_bill(planned(**answers), measured(hours={}, gb_seconds=500.0))}
    assert lines["sagemaker-serverless/gb-second"].metered == 500
    assert lines["sagemaker-serverless/gb-second"].planned > 0


def test_the_comparison_is_told_in_words_and_as_data() -> None:
    before, found = planned(), measured(processing_time=0.006)
    told = list(tell(before, found))
    assert told[0] == "Measured on target sagemaker: 5,000,000 requests in 3.0 days"
    assert "  processing_time: planned 20 ms, measured 6 ms (wrong, stated)" in told
    assert any("cloudwatch/alarm-month" in line and "not metered" in line for line in told)
    assert told[-1].startswith("  of what is metered: planned $")
    document = describe(before, found)
    assert document["since"].startswith("2026-01-05") and document["answers"]["processing_time"] == "6ms"
    assert [one["key"] for one in document["assumptions"] if one["wrong"]] == ["processing_time"]
