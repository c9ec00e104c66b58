"""The answers that would change a plan, the changes that make one, and the same load on each target."""

import math
from itertools import product
from math import prod
from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.cost.fleet import ScalingBounds
from tidegate.features.planner import planning as planner
from tidegate.features.planner.planning import Plan
from tidegate.features.planner.sizing import FleetSize
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()
FRAUD = {"name": "fraud", "rate": 95, "latency": "100ms", "processing_time": "20ms", "criticality": "high"}


def planned(**changes: Any) -> Plan:
    return planner.plan(planner.read({**FRAUD, **changes}), CATALOGUE)


def counts(plan: Plan) -> tuple[str, int, int]:
    assert isinstance(plan.size, FleetSize)
    return plan.size.type.name, plan.size.least, plan.size.most


@pytest.mark.parametrize("key", ["rate", "processing_time"])
def test_at_a_flip_point_the_plan_is_another(key: str) -> None:
    before = planned()
    flip = next(one for one in before.outlook.flips if one.key == key)
    value = flip.value.split(" request")[0].replace(" ", "")
    after = planned(**{key: value})
    assert counts(after) != counts(before)
    assert flip.month == pytest.approx(after.bill.month, rel=0.01) and f"{key}: " in flip.say


def test_flip_points_come_by_what_they_change_in_the_bill() -> None:
    made = planned()
    months = [one.month for one in made.outlook.flips]
    changes = [math.inf if month is None else abs(month - made.bill.month) for month in months]
    assert len(changes) > 1 and changes == sorted(changes, reverse=True)


def test_a_measured_capacity_leaves_the_time_of_a_request_without_a_flip_point() -> None:
    assert "processing_time" not in {one.key for one in planned(capacity=100).outlook.flips}


def test_the_same_load_stands_on_every_target() -> None:
    found = {one.target: one for one in planned().outlook.elsewhere}
    assert set(found) == {"eks", "ecs", "lambda", "local"}
    assert found["eks"].month and found["ecs"].month and found["local"].month == 0
    on_ecs = planned(custom_logic=True, platform="containers")
    assert found["ecs"].month == pytest.approx(on_ecs.bill.month)


def test_a_target_that_cannot_have_the_load_says_why() -> None:
    large = planned(model_size="12 GB", model_kind="neural_network", frameworks=["pytorch"], latency="1s")
    (lambda_,) = [one for one in large.outlook.elsewhere if one.target == "lambda"]
    assert lambda_.month is None and lambda_.say.startswith("AWS Lambda")


def test_a_lost_zone_and_ten_times_the_traffic_are_replayed_on_the_planned_year() -> None:
    lost, ten, availability = planned(shape="payroll").outlook.bad_days
    assert "a zone is lost at the peak: 6 of 10 instances are left" in lost
    assert "a day of ten times the ordinary rate: max 10 answer 100 % of the requests; in 0 of 24 hours" in ten
    assert availability.startswith(
        "availability 99.9999% as far as zones decide it, if each is there 99.95% of the time"
    )
    _, ten, _ = planned().outlook.bad_days
    assert "max 2 answer 42.1 % of the requests; in 24 of 24 hours" in ten, "2 of 200 for 950 requests a second"


def test_one_instance_is_there_as_often_as_its_zone() -> None:
    lost, _, availability = planned(rate=2, criticality="low").outlook.bad_days
    assert "0 of 1 instances are left, which answer 0 %" in lost and "worst hour of the year 0 %" in lost
    assert availability.startswith("availability 99.9500% as far")


@pytest.mark.parametrize("given", [{"shape": "diurnal", "rate": 400}, {"shape": "payroll"}, {"capacity": 55}])
def test_availability_is_that_of_each_hour_with_each_zone_there_or_away(given: dict[str, Any]) -> None:
    made = planned(**given)
    size, load = made.size, made.priced.load
    assert isinstance(size, FleetSize) and load is not None
    answered = 0.0
    for mean, peak in zip(load.mean, load.peak, strict=True):
        count = ScalingBounds(size.capacity, size.least, size.most, size.planned / size.capacity).needed(peak)
        instances = [len(range(zone, count, 3)) for zone in range(3)]
        for there in product((True, False), repeat=3):
            chance = prod(0.9995 if one else 0.0005 for one in there)
            left = sum(one for one, zone in zip(instances, there, strict=True) if zone)
            answered += chance * mean * min(1.0, left * size.capacity / peak)
    shown = float(made.outlook.bad_days[2].split()[1].removesuffix("%"))
    assert shown == pytest.approx(100 * answered / sum(load.mean), abs=1.01e-4) and shown < 100


def test_contradictory_answers_come_with_changes_that_make_a_plan() -> None:
    answers = {**FRAUD, "payload": "1 GB", "rate": 1}
    with pytest.raises(Invalid):
        planner.plan(planner.read(answers), CATALOGUE)
    found = planner.relaxations(planner.read(answers), CATALOGUE)
    assert 1 <= len(found) <= 3
    for one in found:
        made = planner.plan(
            planner.read({**answers, **{key: text or None for key, text in one.changes.items()}}), CATALOGUE
        )
        assert made.bill.month == pytest.approx(one.month) and "a month; " in one.say
    sizes = [(len(one.changes), one.month) for one in found]
    assert sizes == sorted(sizes)


def test_a_quota_below_the_peak_is_said() -> None:
    low = [note.say for note in planned(shape="payroll", quota=4).notes if note.about == "quota"]
    assert low == [
        "up to 10 instances of ml.c5.xlarge run at a time, and the quota is 4: what is above it does not start"
    ]
    assert not [note for note in planned(shape="payroll", quota=20).notes if note.about == "quota"]


def answers_of(plan: Plan) -> dict[str, str]:
    """The sentences on what was assumed, by key."""
    return {text.partition(" is ")[0]: text for text in plan.assumptions}


def test_an_assumption_says_with_which_values_the_plan_is_the_same_or_another() -> None:
    found = answers_of(planned(payload="2 KB"))
    assert found["model_size"].endswith("; the plan is the same from 20 MB to 2 GB")
    assert found["user_facing"] == "user_facing is taken to be no; the plan is the same whatever the answer"
    assert "; from 120 ms the slowest hundredth of requests is taken to be 120 ms" in found["p99"]
    assert "payload" not in found
    assert "p99" not in answers_of(planned(p99="40ms"))


@pytest.mark.parametrize(
    ("answers", "key", "says"),
    [
        # A start from zero is no answer within two seconds: who needs each of them that fast has to know.
        (
            {"rate": "40/h", "latency": "2s", "pattern": "intermittent"},
            "consistent_latency",
            "if yes, there is no plan",
        ),
        # Ten times the assumption is no scan and no minute of speech.
        ({"rate": 0.1, "latency": "30m", "model_kind": "images"}, "payload", "from 16 MB it costs about"),
        ({"rate": "10/h", "latency": "20m", "model_kind": "neural_network"}, "processing_time", "asynchronous"),
        ({"individual_responses": False, "records": 50_000}, "runs_per_month", "from 100 it costs about"),
        ({"rate": 2, "latency": "100ms"}, "processing_time", "there is no plan: latency and processing_time"),
        # Two plans without alarms to solve for differ in the time that the version is watched.
        ({"rate": 2, "latency": "2s"}, "reversible", "if no, its rollout has final_bake 1h"),
    ],
)
def test_an_answer_of_its_plausible_range_that_changes_the_plan_is_found(
    answers: dict[str, Any], key: str, says: str
) -> None:
    plan = planner.plan(planner.read({"name": "case", **answers}), CATALOGUE)
    flip = plan.sensitivities[key].flip
    assert flip is not None and says in flip.say
    assert plan.sensitivities[key].reason.endswith(flip.say.removeprefix(f"{key}: "))


def test_a_few_cents_are_no_other_bill() -> None:
    plan = planner.plan(planner.read({"name": "job", "individual_responses": False, "records": 100}), CATALOGUE)
    assert plan.sensitivities["region"].flip is None and plan.sensitivities["payload"].flip is None
