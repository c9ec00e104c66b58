"""The worked examples of the brief, by the whole planner and the packaged prices."""

from dataclasses import replace

import pytest

from tidegate.features.planner import planning as planner
from tidegate.features.planner.plan_promise import lines
from tidegate.features.planner.planning import Plan
from tidegate.features.planner.rows import NAMES
from tidegate.prices import Catalogue, MissingPrice

CATALOGUE = Catalogue.load()


def made(name: str, **changes: object) -> Plan:
    return planner.plan(planner.read({**planner.answers_of(name), **changes}), CATALOGUE)


def values(plan: Plan) -> dict[str, str]:
    return {row.name: row.value for row in plan.rows}


def way(plan: Plan) -> list[tuple[str, bool]]:
    return [(step.id, step.answer) for step in plan.steps]


def test_payroll_fraud_is_what_the_brief_says() -> None:
    plan = made("payroll-fraud")
    rows = values(plan)
    assert tuple(rows) == NAMES
    assert rows["Deployment Target"] == "SageMaker real-time endpoint (dedicated)"
    assert rows["Inference Mode"] == "Real-time, sub-100 ms"
    assert rows["Instance Type"] == "ml.c5.xlarge"
    assert rows["Scaling"] == "Auto-scaling: min 2, max 10 on InvocationsPerInstance"
    assert rows["Deployment Strategy"] == (
        "Linear: 50 % (1 of 2 instances) steps, 1-hour bake, alarm rollback (asked for Linear: 25 % steps,"
        " 1-hour bake)"
    ), "the brief's, as far as SageMaker can do it with the brief's two instances"
    assert 350 <= plan.bill.month <= 450
    assert rows["Estimated Cost"] == f"about ${plan.bill.month:,.0f} a month"
    assert way(plan) == [("individual", True), ("large", False), ("sustained", True)]
    assert plan.spec["rollout"] == {
        **{"strategy": "linear", "step": "1", "wait": "1h", "final_bake": "10m"},
        "require_evidence": True,
    }
    assert plan.spec["alarms"]["slow"]["above"] == "100ms"
    scaling = dict(plan.spec["autoscaling"])
    peaks = {peak["name"]: (peak["starts"], peak["lasts"], peak["count"]) for peak in scaling.pop("calendar")}
    assert scaling == {"min": 2, "max": 10, "target": 6000, "metric": "invocations", "rule": "aws"}
    assert peaks == {
        "pay-days": ("days(0 8 15,L * working+1)", "12h", 4),
        "year-end": ("days(0 8 15-31 12 MON-FRI)", "12h", 10),
        "tax-forms": ("days(0 8 1-31 1 MON-FRI)", "12h", 10),
        "tax-filing": ("days(0 8 1-15 4 MON-FRI)", "12h", 10),
    }
    assert plan.notes == () and plan.overrides == ()
    assert list(plan.assumed) == ["p99", "consistent_latency", "user_facing", "region"], (
        "what the brief leaves open"
    )


EXPECTED = {
    "monthly-attrition": ("batch", "sagemaker", "dedicated", "canary", [("individual", False)]),
    "assist": (
        *("real_time", "sagemaker", "dedicated", "canary"),
        [("individual", True), ("large", False), ("sustained", True)],
    ),
    "document-ocr": ("asynchronous", "sagemaker", "pipeline", "canary", [("individual", True), ("large", True)]),
    "learning-recommendations": (
        *("real_time", "sagemaker", "dedicated", "all_at_once"),
        [("individual", True), ("large", False), ("sustained", True)],
    ),
    "salary-benchmarking": (
        *("serverless", "sagemaker", "dedicated", "all_at_once"),
        [("individual", True), ("large", False), ("sustained", False), ("intermittent", True)],
    ),
    "client-attrition": (
        *("real_time", "sagemaker", "multi_model", "canary"),
        [("individual", True), ("large", False), ("sustained", True)],
    ),
    "salary-explained": (
        *("real_time", "sagemaker", "direct", "canary"),
        [("individual", True), ("large", False), ("sustained", True)],
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_other_examples(name: str) -> None:
    plan = made(name)
    found = (plan.place.mode, plan.place.target, plan.place.architecture, plan.rollout.wanted.kind, way(plan))
    assert found == EXPECTED[name]
    assert all(row.value and row.reason and row.change for row in plan.rows)
    assert plan.bill.month > 0


def test_every_example_is_expected_above() -> None:
    assert set(planner.examples()) == {"payroll-fraud", *EXPECTED}


def test_what_each_example_is_known_for() -> None:
    assert made("assist").spec["instance_type"].startswith("ml.inf2.")
    wanted = made("assist").rollout.wanted.rollout
    assert wanted["size"] == "5%" and wanted["wait"] == "2h"
    assert made("document-ocr").spec["instance_type"].startswith("ml.g4dn.")
    assert [one["name"] for one in made("document-ocr").spec["pipeline"]] == ["preprocess", "extract", "validate"]
    assert [one["image"] for one in made("salary-explained").spec["containers"]] == [
        "tidegate/xgboost",
        "tidegate/xgboost-shap",
    ]
    assert made("client-attrition").spec["model"]["multi_model"] == {}
    assert made("document-ocr").spec["autoscaling"]["min"] == 0
    assert "instances" not in made("salary-benchmarking").spec
    assert made("monthly-attrition").strategy.rollout == {
        **{"strategy": "canary", "size": "10%", "wait": "30m", "final_bake": "10m"}
    }
    assert made("monthly-attrition").spec["instances"] == 1
    assert made("monthly-attrition").bill.month < 1, "a few minutes of one instance"
    dedicated = next(one for one in made("client-attrition").choices if one.name == "dedicated")
    saved = dedicated.figures["saved"]
    assert saved is not None and saved >= 0.9, "the brief's 90 %, computed"


TARGETS: dict[str, dict[str, object]] = {
    "eks": {"custom_logic": True, "platform": "kubernetes"},
    "ecs": {"custom_logic": True, "platform": "containers"},
    "sagemaker": {"platform": "kubernetes"},
    "lambda": {"event_driven": True},
}


@pytest.mark.parametrize("target", TARGETS)
def test_where_it_runs(target: str) -> None:
    assert made("payroll-fraud", **TARGETS[target]).place.target == target


def test_a_function_that_is_not_light_stays_an_endpoint() -> None:
    assert made("payroll-fraud", event_driven=True, model_size="9 GB").place.target == "sagemaker"


def test_a_serverless_endpoint_has_no_accelerator() -> None:
    plan = made("salary-benchmarking", model_kind="images", frameworks=["pytorch"])
    assert plan.place.mode == "real_time"
    assert way(plan)[-1] == ("intermittent", True), "the walk stays as it is"
    assert any("no accelerator" in note.say for note in plan.notes)


def test_production_on_spot_is_kept_with_its_reason() -> None:
    plan = made("payroll-fraud", spot=True, spot_override="a drill", custom_logic=True, platform="kubernetes")
    assert plan.overrides == ("production runs on Spot, because: a drill",)
    assert plan.spec["tags"]["tidegate:spot-override"] == "a drill"
    assert "OVERRIDE: production runs on Spot, because: a drill" in planner.render_spec(plan)


def test_a_budget_that_is_too_small_is_said_with_what_helps() -> None:
    plan = made("payroll-fraud", budget=300)
    note = plan.notes[0]
    assert note.about == "budget" and "$300 may be spent" in note.say
    cheaper = made("payroll-fraud", criticality="medium")
    assert f"about ${cheaper.bill.month:,.0f}" in note.change
    assert made("payroll-fraud", budget=1000).notes == ()


def test_the_digest_tells_plans_apart() -> None:
    assert made("payroll-fraud").digest == made("payroll-fraud").digest
    assert made("payroll-fraud").digest != made("payroll-fraud", rate=96).digest
    assert made("payroll-fraud").spec["tags"]["tidegate:plan"] == made("payroll-fraud").digest


def test_what_the_rollout_can_promise() -> None:
    promise = made("payroll-fraud").promise
    assert promise is not None and promise.kept
    assert [one.seen for one in promise.wanted] == [True, True, True], "failures, refused requests, latency"
    assert 3600 + 600 <= promise.seconds <= 3600 + 1200, (
        "a bake of an hour with one of two instances, and the final one"
    )
    assert made("monthly-attrition").promise is None


@pytest.mark.parametrize(("target", "kinds"), [("eks", {"errors", "latency", "predictions"}), ("ecs", {"errors"})])
def test_a_plan_says_which_kinds_of_evidence_its_rollout_has(target: str, kinds: set[str]) -> None:
    plan = made("payroll-fraud", **TARGETS[target])
    assert plan.place.target == target and plan.promise is not None
    seen = {one.kind for one in plan.promise.kinds if one.smallest is not None}
    assert seen == kinds
    told = "\n".join(lines(plan.promise))
    for kind in kinds:
        assert f"evidence by {kind}, as a metric" in told
    assert "no evidence by replay, late labels" in told and "tidegate compare" in told


def test_harm_that_no_alarm_can_see_is_proven_so() -> None:
    told = planner.document(made("payroll-fraud", rate=0.01))
    assert not told["promise"]["kept"] and told["promise"]["false_alarm"] <= 0.01
    note = next(one for one in told["notes"] if "no alarm sees 2 % more failures" in one["say"])
    assert "the best test needs" in note["say"] and "a bake of 1 h has 18" in note["say"]
    assert "a replay or a shadow" in note["change"]


def test_what_else_could_be_chosen() -> None:
    plan = made("payroll-fraud")
    found = {one.name: one for one in plan.choices}

    def month(name: str) -> float:
        known = found[name].month
        assert known is not None
        return known

    assert set(found) == {"other_type", "savings_1y", "savings_3y", "without_autoscaling", "serverless"}
    assert month("savings_3y") < month("savings_1y") < plan.bill.month < month("without_autoscaling")
    rate = found["serverless"].figures["break_even_rate"]
    assert rate is not None and (rate > 95) == (month("serverless") < plan.bill.month)
    assert [one.name for one in made("salary-benchmarking").choices] == ["real_time"]
    for name in ("document-ocr", "monthly-attrition"):
        assert {one.name for one in made(name).choices} <= {"other_type", "on_cpu", "on_inferentia"}


def test_what_has_no_price_in_a_region_is_left_out_and_said() -> None:
    hosting = replace(CATALOGUE.hosting("ml.c5.xlarge", "us-east-1"), region="here-1")
    here = Catalogue([hosting], CATALOGUE.instances())
    plan = planner.plan(planner.read({**planner.answers_of("payroll-fraud"), "region": "here-1"}), here)
    assert plan.spec["instance_type"] == "ml.c5.xlarge", "the only one with a price"
    assert "data in and out and alarms are left out: no price in here-1" in [note.say for note in plan.notes]
    with pytest.raises(MissingPrice, match=r"no price of sagemaker-hosting/ml\.g4dn\.xlarge in here-1"):
        planner.plan(planner.read({**planner.answers_of("document-ocr"), "region": "here-1"}), here)
