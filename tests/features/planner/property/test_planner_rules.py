"""Over all answers: no plan breaks a rule of its target, its spec deploys, and its type is the cheapest."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from tests.features.planner.property.test_planner import DRAWN, NOW, coherent, version
from tidegate import spec
from tidegate.domain.errors import NotFound, TidegateError
from tidegate.features.cost import command_options
from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.pricing_options import PricingOption
from tidegate.features.cost.spec_cost import read_spec_cost
from tidegate.features.cost.workload import traffic_of
from tidegate.features.planner import planning as planner
from tidegate.features.planner import rules
from tidegate.features.planner.candidates import FARGATE, chips, fargate_sizes
from tidegate.features.planner.hardware import is_arm
from tidegate.features.planner.planning import Plan
from tidegate.features.planner.sizing import FleetSize
from tidegate.features.planner.tables import table
from tidegate.prices import MAIN_REGIONS, Catalogue
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.targets.registry import KINDS

CATALOGUE = Catalogue.load()
SAGEMAKER = botocore.session.get_session().get_service_model("sagemaker")
HOSTING = set(SAGEMAKER.shape_for("ProductionVariantInstanceType").enum)
TRANSFORM = set(SAGEMAKER.shape_for("TransformInstanceType").enum)
FRAMEWORKS = {
    "tabular": [["xgboost"], ["sklearn"], ["onnx"], ["pytorch"], ["python"], ["xgboost", "shap"], None],
    "neural_network": [["pytorch"], ["onnx"], ["sklearn"], None],
    "images": [["pytorch"], ["onnx"], ["python", "pytorch", "python"], None],
    "text": [["pytorch"], ["gguf"], ["sklearn"], None],
    "llm": [["pytorch"], ["gguf"], ["onnx"], ["python"], None],
}
SIZES = ["20 MB", "145 MB", "2 GB", "9 GB", "16 GB", "26 GB", "140 GB"]


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly such as can be planned: a framework that serves the kind, a size of that kind."""
    made = dict(draw(DRAWN))
    kind = made["model_kind"]
    made["frameworks"] = draw(st.sampled_from(FRAMEWORKS[kind]))
    made["model_size"] = draw(st.sampled_from(SIZES if kind == "llm" else SIZES[:5]))
    made["hardware"] = draw(st.sampled_from(["any", "any", "any", "cpu", "gpu", "inferentia"]))
    made["region"] = draw(st.sampled_from(MAIN_REGIONS))
    made["instance_type"] = draw(st.sampled_from(["", "", "", "", *(one.name for one in CATALOGUE.instances())]))
    made["deadline"] = draw(st.sampled_from([None, "30m", "12h"]))
    if draw(st.booleans()):
        del made["shape"]
    if made["frameworks"] is None or len(made["frameworks"]) == 1:
        made["separate_invocation"] = False
    kept = coherent({**made, "frameworks": made["frameworks"] or ["pytorch"]})
    return {**kept, "frameworks": kept["frameworks"] if made["frameworks"] else None}


def planned(given: dict[str, Any]) -> Plan | None:
    try:
        return planner.plan(planner.read(given), CATALOGUE)
    except TidegateError as error:
        assert "\n" not in error.message
        assert ": " in error.message or isinstance(error, NotFound), "the answer that is to be changed is named"
        return None


@settings(max_examples=200)
@given(answers())
def test_no_plan_breaks_a_rule_of_its_target(given: dict[str, Any]) -> None:
    plan = planned(given)
    if plan is None:
        return
    _assert_deploys(plan)
    if isinstance(plan.size, FleetSize):
        _assert_type_is_of_its_api(plan, plan.size)
        _assert_hardware_is_consistent(plan, plan.size)
    _LIMITS[plan.place.target](plan)
    _assert_target_takes_it(plan)
    assert cost_of(plan) == pytest.approx(plan.bill.total, rel=1e-9), (
        "'cost estimate' of its spec is the plan's bill"
    )
    if plan.promise is not None:
        assert plan.promise.false_alarm <= 0.01
        unseen = [one for one in plan.promise.wanted if not one.seen]
        proven = [note for note in plan.notes if note.about == "promise"]
        assert len(proven) >= len(unseen) or plan.spec["rollout"].get("alarms") == []
    assert all(one.because for one in plan.choices)
    assert plan.prices.oldest <= plan.prices.newest


def cost_of(plan: Plan) -> float:
    """Dollars of a year, as ``tidegate cost estimate SPEC`` has them."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(planner.render_spec(plan))
        file.flush()
        written = read_spec_cost(Path(file.name), 0.05, 0.7)
    said = command_options.read(()).over(written.figures)
    assert written.workload is not None
    load = traffic_of(written.workload).hours(said["year"])
    figures, _ = command_options.figures(said, (written.least, written.most), 1)
    return PricingOption.named(written.way).bill(Tariff(CATALOGUE, said["region"]), figures, load).total


def _assert_target_takes_it(plan: Plan) -> None:
    """As ``tidegate spec render --target`` has it, with the account's own names."""
    place = table("targets")["targets"][plan.place.target]
    wish = spec.parse(plan.spec, NOW)
    kind = KINDS[place["kind"]]
    renderer = kind.render_job if wish.job is not None else next(iter(kind.renderers.values()))
    if renderer is None:
        assert plan.place.target != "sagemaker", "it runs here"
        return
    rendering = renderer(
        wish, {**place["stands_in"], **({"region": "us-east-1"} if kind is not KINDS["kubernetes"] else {})}
    )
    assert [one for one in rendering.refusals if not one.startswith("image ")] == []
    if wish.job is not None:
        assert rendering.documents[-1].body["operation"] == "CreateTransformJob"


def _assert_deploys(plan: Plan) -> None:
    version(plan.spec, 2)
    periods = {alarm["period"] for alarm in plan.spec.get("alarms", {}).values()}
    assert periods <= {"1m", "5m", "15m", "30m", "1h"} and bool(periods) == (plan.place.mode != "batch")


def _assert_type_is_of_its_api(plan: Plan, size: FleetSize) -> None:
    name, target = size.type.name, plan.place.target
    if target == "sagemaker":
        assert name in (TRANSFORM if plan.place.mode == "batch" else HOSTING)
    elif name.startswith(FARGATE):
        assert target == "ecs" and size.type.memory_gib in dict(fargate_sizes())[size.type.vcpus]
    else:
        assert target in ("eks", "ecs") and not name.startswith("ml.")
        assert f"ml.{name}" in {one.name for one in CATALOGUE.instances()}
    if plan.place.mode != "batch":
        assert plan.spec["instance_type"] == name


def _assert_hardware_is_consistent(plan: Plan, size: FleetSize) -> None:
    kind, runtimes = size.type.kind, [RuntimeKind(one).descriptor for one in plan.answers.frameworks]
    assert any(kind in one.hardware for one in runtimes)
    assert any(plan.answers.model_kind in one.model_kinds for one in runtimes)
    if not plan.answers.instance_type:
        assert not is_arm(size.type.name)
    if plan.answers.hardware != "any" and not plan.answers.instance_type:
        assert kind == plan.answers.hardware
    model = plan.facts["model_size"]
    if kind == "cpu":
        assert model * 1.3 <= size.type.memory_gib * 2**30
        return
    spread = chips(plan.facts, size.type)
    assert spread is not None and model <= spread * size.type.accelerator_gib * 2**30 / size.type.accelerators
    if plan.answers.capacity is None and plan.facts["generation"] is None:
        slots = table("compute")["kinds"][plan.answers.model_kind]["slots"]
        copies = size.type.accelerators // spread
        assert size.capacity <= slots * copies / plan.facts["processing_time"] * (1 + 1e-9)


def _sagemaker(plan: Plan) -> None:
    facts, mode = plan.facts, plan.place.mode
    payload = {"real_time": 25e6, "serverless": 4e6, "asynchronous": 1e9, "batch": 100e6}[mode]
    seconds = {"real_time": 60, "serverless": 60, "asynchronous": 3600, "batch": 3600}[mode]
    assert facts["payload"] <= payload and facts["processing_time"] < seconds
    if mode == "serverless":
        assert plan.spec["serverless"]["max_concurrency"] <= 200
        assert plan.spec["serverless"]["memory"] in {f"{size}GiB" for size in range(1, 7)}
        assert plan.place.architecture == "dedicated" and not facts["accelerated"]
    if mode == "batch":
        assert isinstance(plan.size, FleetSize) and plan.size.most <= 100 and not facts["many_models"]
    if mode == "asynchronous":
        assert plan.place.architecture not in ("multi_model", "direct")
    assert "tidegate:capacity" not in plan.spec["tags"]


def _lambda(plan: Plan) -> None:
    assert plan.spec["serverless"]["max_concurrency"] <= rules.limit("lambda_concurrency")
    assert plan.facts["memory_needed"] <= 10 * 2**30 and plan.facts["payload"] <= 6e6
    assert plan.facts["processing_time"] <= 900 and not plan.facts["accelerated"]


def _containers(plan: Plan) -> None:
    assert not plan.rollout.says or "tidegate's engine" in plan.rollout.says[0]


_LIMITS = {"sagemaker": _sagemaker, "lambda": _lambda, "eks": _containers, "ecs": _containers}


@settings(max_examples=40)
@given(answers())
def test_the_chosen_type_is_the_cheapest_of_all_that_fit(given: dict[str, Any]) -> None:
    """Each type of the catalogue is asked for by name: none that could have been chosen has a lower bill. What
    times were measured on is said, since a named type would count as that."""
    measured = {"measured_on": given.get("measured_on") or "cpu"}
    plan = planned({**given, **measured, "instance_type": "", "region": "us-east-1"})
    if plan is None or not isinstance(plan.size, FleetSize) or plan.size.type.name.startswith(FARGATE):
        return
    left_out = table("instance_types")["left_out"]
    for one in CATALOGUE.instances():
        if one.kind not in plan.facts["runs_on"] or one.family in left_out or is_arm(one.name):
            continue
        try:
            other = planner.plan(replace(plan.answers, instance_type=one.name, hardware="any"), CATALOGUE)
        except TidegateError:
            continue
        if (other.place.mode, other.place.target) == (plan.place.mode, plan.place.target):
            assert plan.bill.month <= other.bill.month * (1 + 1e-9), one.name


@pytest.mark.parametrize("kind", ["cpu", "gpu", "inferentia"])
def test_drawn_answers_reach_every_kind_of_hardware(kind: str) -> None:
    def reached(given: dict[str, Any]) -> bool:
        plan = planned({**given, "instance_type": ""})
        return plan is not None and isinstance(plan.size, FleetSize) and plan.size.type.kind == kind

    found = find(answers(), reached, settings=settings(max_examples=500, phases=[Phase.generate], database=None))
    assert reached(found)
