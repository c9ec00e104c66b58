"""Invented cases, each judged as an architect would: what the plan has to say, or why there is none."""

from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.planner import planning as planner
from tidegate.features.planner.plan_promise import lines
from tidegate.features.planner.planning import Plan
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()
LLM: dict[str, Any] = {"model_kind": "llm", "model_size": "40 GB", "weight_bits": "4", "prompt_tokens": 2000}


def planned(answers: dict[str, Any]) -> Plan:
    return planner.plan(planner.read({"name": "case", **answers}), CATALOGUE)


def told(plan: Plan) -> str:
    notes = [f"{one.say} {one.change}" for one in plan.notes]
    return "\n".join(
        [plan.place.mode, *(row.value for row in plan.rows), *notes, *plan.rollout.says, *plan.assumptions]
    )


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        # Forty seconds are no time for a queue: accelerators that are fast enough answer at once.
        ({**LLM, "rate": 0.2, "latency": "40s", "answer_tokens": 400}, ["real_time\n", "ml.g6e.12xlarge"]),
        ({**LLM, "rate": 0.2, "latency": "10m", "answer_tokens": 400}, ["asynchronous\n"]),
        (
            {"model_kind": "llm", "model_size": "14 GB", "rate": 0.1, "latency": "30s"},
            ["weight_bits is taken to be 4.5"],
        ),
        # An update by turns needs one batch above the fleet, and the quota may not have it.
        (
            {"rate": 900, "latency": "60ms", "processing_time": "8ms", "quota": 16},
            ["the quota needs 17 instances", "it is 16: ask Service Quotas for 17"],
        ),
        # Next to no traffic: no alarm is good for anything, and the plan proves it.
        (
            {"rate": "3/day", "latency": "1s", "processing_time": "50ms"},
            ["has less than one, of which no test sees it in more than 6% (Neyman and Pearson)"],
        ),
        # Prices of other regions say what they are, and a type that the region has comes before one that it may lack.
        (
            {"rate": 40, "latency": "150ms", "region": "ap-southeast-2"},
            ["4 of the prices in ap-southeast-2 are estimates"],
        ),
        (
            {"rate": 8, "latency": "500ms", "model_kind": "images", "hardware": "gpu", "region": "eu-west-2"},
            ["ml.g4dn.xlarge", "4 of the prices in eu-west-2 are estimates"],
        ),
        (
            {"rate": 5, "latency": "300ms", "availability": 99.999},
            ["3 instances", "a second endpoint in another region"],
        ),
        (
            {"individual_responses": False, "records": 36_000_000, "payload": "14 KB", "runs_per_month": 720},
            ["the largest part is s3/gb-month"],
        ),
        (
            {"rate": "2/h", "processing_time": "20m", "latency": "1h", "pattern": "intermittent"},
            ["min 0", "TimeoutSeconds"],
        ),
    ],
)
def test_a_case_has_the_plan_that_an_architect_would_make(answers: dict[str, Any], says: list[str]) -> None:
    text = told(planned(answers))
    assert [one for one in says if one not in text] == [], text


def test_an_alarm_that_proves_nothing_costs_no_longer_bake() -> None:
    plan = planned({"rate": "3/day", "latency": "1s", "processing_time": "50ms"})
    assert plan.spec["rollout"]["final_bake"] == "30m"


def test_a_job_that_cannot_end_in_time_is_offered_more_time_and_the_rate_of_its_records() -> None:
    answers = planner.read(
        {
            "name": "rush",
            "individual_responses": False,
            "records": 10**9,
            "deadline": "30m",
            "processing_time": "50ms",
        }
    )
    with pytest.raises(Invalid, match="need 348 instances within 30 min"):
        planner.plan(answers, CATALOGUE)
    offered = [one.changes for one in planner.relaxations(answers, CATALOGUE)]
    assert {"deadline": "3d"} in offered and {"individual_responses": "yes", "rate": "380.0"} in offered


ON_KUBERNETES: dict[str, Any] = {"rate": 95, "latency": "100ms", "processing_time": "20ms", "criticality": "high"}
ON_KUBERNETES |= {"reversible": False, "custom_logic": True, "platform": "kubernetes"}


@pytest.mark.parametrize(
    ("harm", "compared", "waits"),
    [
        ("one failed answer in 200", ["errors"], ["errors is ruled out after about 5,216 requests"]),
        (
            "50% slower",
            ["errors", "latency"],
            ["latency p50 is ruled out after", "latency p99 is ruled out after"],
        ),
    ],
)
def test_a_named_harm_is_ruled_out_before_the_second_step(
    harm: str, compared: list[str], waits: list[str]
) -> None:
    plan = planned({**ON_KUBERNETES, "playbook": "payroll-fraud", "harm": harm})
    assert plan.spec["evidence"]["compare"] == compared
    assert plan.spec["evidence"]["assure"]["before"] == plan.spec["rollout"]["step"] == "25%"
    assert plan.promise is not None
    said = "\n".join(lines(plan.promise))
    assert [one for one in waits if one not in said] == []
    assert "evidence" not in planned(ON_KUBERNETES).spec


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"harm": "1% fail", "rate": 0.02}, "errors cannot be ruled out before the deadline at 0.02 requests"),
        ({"harm": "50% slower", "platform": "containers"}, "target ecs does not compare the latency"),
        ({"harm": "one missed fraud in a hundred"}, "a harm to recall is shown by labelled rows"),
        ({"harm": "93 a month"}, "a harm to predictions is shown by copies of requests"),
        ({"harm": "1% fail", "playbook": "learning-recommendations"}, "a new version has all traffic at once"),
    ],
)
def test_a_harm_that_the_rollout_cannot_rule_out_is_refused_with_what_would_do(
    answers: dict[str, Any], says: str
) -> None:
    given = planner.read({"name": "case", **ON_KUBERNETES, "playbook": "payroll-fraud", **answers})
    with pytest.raises(Invalid, match=says):
        planner.plan(given, CATALOGUE)
    offered = [one.changes for one in planner.relaxations(given, CATALOGUE)]
    assert {"harm": ""} in offered


def test_a_harm_on_sagemaker_leads_to_kubernetes() -> None:
    given = planner.read({**planner.answers_of("payroll-fraud"), "harm": "1% fail"})
    with pytest.raises(Invalid, match="target sagemaker does not compare the errors of two versions"):
        planner.plan(given, CATALOGUE)
    offered = [one.changes for one in planner.relaxations(given, CATALOGUE)]
    assert {"custom_logic": "yes", "platform": "kubernetes"} in offered
