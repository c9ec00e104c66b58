"""Whatever the answers: there is a plan, its spec deploys, and more care or more traffic never turns out as less."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import Phase as Phases
from hypothesis import assume, example, find, given, settings
from hypothesis import strategies as st

from tests.memory_store import MemoryTx
from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.domain.rollout import Phase, Version
from tidegate.features.cost.fleet import fleet
from tidegate.features.planner import assumptions, calendar, flowchart, pricing
from tidegate.features.planner import planning as planner
from tidegate.features.planner.planning import PlanAnswers
from tidegate.features.planner.rows import NAMES
from tidegate.features.planner.sizing import FleetSize
from tidegate.features.planner.strategy import strategy
from tidegate.features.planner.tables import table
from tidegate.features.rehearse.rehearsal.simulation import simulate
from tidegate.prices import Catalogue
from tidegate.schedules.schedule import parse_peak
from tidegate.service.endpoints import build_version
from tidegate.service.record_kinds import MODEL
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.spec import yaml_text

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CATALOGUE = Catalogue.load()
QUESTIONS = {question["key"]: question for question in table("questions")}
ORDER = ["low", "medium", "high"]


def choices(key: str) -> st.SearchStrategy[str]:
    return st.sampled_from(list(QUESTIONS[key]["choices"]))


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


SECONDS = st.sampled_from(["1ms", "20ms", "300ms", "2s", "50s", "90s", "20m"])
SIZES = st.sampled_from(["1 KB", "300 KB", "5 MB", "24 MB", "60 MB", "900 MB"])
DRAWN = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "payroll-fraud", "x" * 63]),
        "individual_responses": st.booleans(),
        "latency": maybe(SECONDS),
        "payload": SIZES,
        "processing_time": maybe(st.sampled_from(["0.2ms", "5ms", "200ms", "3s", "70s", "30m"])),
        "records": st.integers(1, 10**7),
        "runs_per_month": st.floats(0.01, 1000),
        "rate": st.floats(1e-6, 200),
        "pattern": choices("pattern"),
        "shape": choices("shape"),
        "idle_hours": st.floats(0, 23),
        "peaks": st.lists(
            st.builds(
                lambda n, f: {"name": n, "factor": f}, st.sampled_from(list(table("peaks"))), st.floats(1, 12)
            ),
            max_size=3,
            unique_by=lambda peak: peak["name"],
        ),
        "consistent_latency": maybe(st.booleans()),
        "criticality": choices("criticality"),
        "reversible": st.booleans(),
        "user_facing": st.booleans(),
        "playbook": choices("playbook"),
        "model_kind": choices("model_kind"),
        "model_size": maybe(st.sampled_from(["1 MB", "700 MB", "3 GB", "12 GB"])),
        "alike_models": st.sampled_from([1, 1, 1, 9, 10, 1200]),
        "stages": st.sampled_from([[], [], ["one"], ["before", "after"], ["a", "b", "c"]]),
        "frameworks": st.sampled_from(
            [["xgboost"], ["pytorch"], ["xgboost", "shap"], ["python", "onnx", "python"]]
        ),
        "separate_invocation": st.booleans(),
        "custom_logic": st.booleans(),
        "platform": choices("platform"),
        "event_driven": st.booleans(),
        "environment": choices("environment"),
        "spot": st.booleans(),
        "spot_override": st.sampled_from(["", "a drill: # 'quoted' \"and\" {odd}"]),
        "budget": maybe(st.floats(1, 1e5)),
        "instance_type": st.sampled_from(["", "", "ml.m5.4xlarge", "ml.g5.xlarge"]),
        "capacity": maybe(st.floats(1, 1000)),
    }
)


LIGHT = {
    **{
        "model_kind": "tabular",
        "model_size": "1 MB",
        "payload": "1 KB",
        "processing_time": "5ms",
        "latency": None,
    },
    **{"stages": [], "frameworks": ["xgboost"], "alike_models": 1, "custom_logic": False},
}
"""What a Lambda function can be."""


def coherent(given: dict[str, Any]) -> dict[str, Any]:
    """The commonest contradictions taken out, so that most of what is drawn can be planned."""
    made = dict(given)
    if not made["individual_responses"]:
        made |= {"latency": None, "event_driven": False, "separate_invocation": False}
    if made["event_driven"] and made["reversible"]:
        made |= LIGHT
    if made["separate_invocation"] and len(made["frameworks"]) > 1:
        made |= {"stages": [], "alike_models": 1}
    if made["latency"] in ("1ms", "20ms", "300ms", "2s"):
        made |= {"processing_time": "0.2ms", "payload": "300 KB"}
    if made["alike_models"] >= 10:
        made |= {"stages": [], "frameworks": ["xgboost"], "separate_invocation": False, "payload": "5 MB"}
    if made["stages"]:
        made["separate_invocation"] = False
    if len(made["frameworks"]) != len(made["stages"]) and not made["separate_invocation"]:
        made["frameworks"] = made["frameworks"][:1]
    made["separate_invocation"] = made["separate_invocation"] and len(made["frameworks"]) > 1
    if made["environment"] == "production" and made["spot"]:
        made["spot_override"] = "a drill: # 'quoted' \"and\" {odd}"
    if made["model_kind"] == "llm":
        made["event_driven"] = False
    return _of_one_kind(_with_a_curve(made))


def _with_a_curve(made: dict[str, Any]) -> dict[str, Any]:
    """Hours of none where they are said, and only there."""
    shape = made.get("shape")
    if shape in ("steady", "diurnal", "payroll"):
        made["idle_hours"] = 0
        if made["pattern"] == "intermittent":
            made["shape"] = "business_hours"
    if shape == "intermittent":
        made["pattern"] = "intermittent"
    if made["pattern"] == "intermittent" or made["idle_hours"] > 0:
        made["consistent_latency"] = False
    return made


def _of_one_kind(made: dict[str, Any]) -> dict[str, Any]:
    """A framework that serves the kind of model, and a type of instance that it can use."""
    runtimes = [RuntimeKind(one).descriptor for one in made["frameworks"]]
    if not any(made["model_kind"] in one.model_kinds for one in runtimes):
        made["frameworks"] = ["pytorch"] * len(made["frameworks"])
    if made["instance_type"] == "ml.g5.xlarge" and not {"pytorch", "onnx", "python"} & set(made["frameworks"]):
        made["instance_type"] = ""
    return made


GIVEN = DRAWN.map(coherent)


def valid(given: dict[str, Any]) -> PlanAnswers:
    """Answers that neither contradict themselves nor ask for more than there is: for those there must be a plan."""
    answers = planner.read(given)
    known = assumptions.find_facts(answers)
    try:
        assumptions.refuse_contradictions(known)
        flowchart.place(known, flowchart.walk(known)[-1].leads_to)
    except Invalid as error:
        assert "; " in error.message, "what to change comes after what is wrong"
        assume(False)
    try:
        made = planner.plan(answers, CATALOGUE)
    except Invalid as error:
        plain = ("are the most: give", "fit no instance", "instance_type: ")
        assert any(text in error.message for text in plain)
        assume(False)
    assert [row.name for row in made.rows] == list(NAMES)
    return answers


@pytest.mark.parametrize(
    ("what", "value"),
    [
        *(("mode", mode) for mode in ("real_time", "serverless", "asynchronous", "batch")),
        *(("target", target) for target in ("sagemaker", "eks", "ecs", "lambda")),
        *(("architecture", kind) for kind in ("dedicated", "multi_model", "pipeline", "direct")),
    ],
)
def test_what_is_drawn_reaches_every_kind_of_plan(what: str, value: str) -> None:
    def reached(given: dict[str, Any]) -> bool:
        try:
            return bool(getattr(planner.plan(planner.read(given), CATALOGUE).place, what) == value)
        except Invalid:
            return False

    found = find(GIVEN, reached, settings=settings(max_examples=2_000, phases=[Phases.generate], database=None))
    assert reached(found)


def version(data: object, generation: int) -> tuple[Version, Any]:
    wish = spec.parse(data, NOW)
    tx = MemoryTx()
    for model in wish.models:
        tx.put(MODEL, model.name, model, expect=None, now=NOW)
    return build_version(tx, wish.config, generation), wish.deployment


@given(GIVEN)
@example({"name": "fraud", "rate": 95.0, "criticality": "high", "reversible": False, "user_facing": True})
def test_a_plan_s_spec_deploys(given: dict[str, Any]) -> None:
    made = planner.plan(valid(given), CATALOGUE)
    if "job" in made.spec:
        return
    new, deployment = version(made.spec, 2)
    old = replace(new, generation=1, config_name="before")
    done = simulate(old, new, deployment)
    assert done.phase is Phase.SUCCEEDED, done.reason
    bake = made.strategy.wait
    assert done.seconds >= bake, "the rollout took its bakes"


@settings(max_examples=25)
@given(GIVEN)
def test_a_written_plan_reads_as_its_spec_and_has_a_reason_for_everything(given: dict[str, Any]) -> None:
    made = planner.plan(valid(given), CATALOGUE)
    written = planner.render_spec(made)
    assert yaml.safe_load(written) == made.spec
    assert yaml_text.load(written).data == made.spec
    assert all(line.startswith(("#", " ", "-")) or ":" in line for line in written.splitlines() if line)
    assert all(row.value and row.reason and row.change for row in made.rows)
    assert made.steps[0].id == "individual"
    assert "{" not in "".join(row.value + row.reason + row.change for row in made.rows)
    assert planner.document(made)["cost"]["low"] <= made.bill.month + 0.01
    assert made.bill.month > 0


@settings(max_examples=40)
@given(GIVEN, st.sampled_from(["payroll", "monthly", "diurnal", "steady", "business_hours"]))
@example({"name": "fraud", "rate": 95.0, "processing_time": "20ms"}, "payroll")
@example({"name": "fraud", "rate": 95.0, "processing_time": "20ms", "peaks": ["pay-days*4"]}, "payroll")
def test_a_calendar_asks_for_no_more_than_its_hours_were_priced_with(given: dict[str, Any], shape: str) -> None:
    """And for nearly all that the busiest of them needs, from its first minute on."""
    made = planner.plan(valid(given | {"shape": shape}), CATALOGUE)
    entries = made.spec.get("autoscaling", {}).get("calendar", [])
    load, size = made.priced.load, made.size
    assert not entries or (load is not None and isinstance(size, FleetSize) and made.place.mode == "real_time")
    assert len({entry["name"] for entry in entries}) == len(entries)
    if load is None or not isinstance(size, FleetSize) or not entries:
        return
    paid = fleet(load, pricing.scaling(size)).paid
    begin = datetime(load.year, 1, 1, tzinfo=UTC)
    asked = [0] * load.hours
    for entry in entries:
        when: datetime | None = begin - timedelta(seconds=1)
        while when and (when := parse_peak(entry["starts"]).after(when, begin)) and when.year == load.year:
            first = int((when - begin).total_seconds()) // 3600
            for hour in range(first, first + int(entry["lasts"].removesuffix("h"))):
                asked[hour] = max(asked[hour], entry["count"])
                assert entry["count"] <= paid[hour] + 1e-9 and load.days[hour // 24]
    busiest = max(range(load.hours), key=lambda hour: load.peak[hour])
    assert asked[busiest] >= calendar.BUSY * min(size.most, load.busiest / size.planned)


@given(GIVEN, st.floats(1, 20))
def test_more_traffic_is_never_cheaper(given: dict[str, Any], times: float) -> None:
    """At the same place: above the concurrency that serverless and Lambda have, it is instances that serve."""
    less = valid(given)
    more = replace(less, rate=less.rate * times, records=int(less.records * times))
    try:
        dearer = planner.plan(more, CATALOGUE)
    except Invalid as error:
        assert "are the most" in error.message or "event_driven and rate" in error.message
        return
    before = planner.plan(less, CATALOGUE)
    same = (dearer.place.mode, dearer.place.target) == (before.place.mode, before.place.target)
    assert not same or dearer.bill.month >= before.bill.month * (1 - 1e-9)


@given(GIVEN)
def test_more_criticality_is_never_riskier(given: dict[str, Any]) -> None:
    answers = planner.read(given)
    risks = [strategy(assumptions.find_facts(replace(answers, criticality=word))).risk for word in ORDER]
    assert risks == sorted(risks, reverse=True)


@pytest.mark.parametrize("changed", [{"reversible": False}, {"user_facing": True}])
@given(GIVEN)
def test_more_harm_is_never_riskier(changed: dict[str, Any], given: dict[str, Any]) -> None:
    answers = replace(planner.read(given), reversible=True, user_facing=False)
    before, after = (strategy(assumptions.find_facts(one)).risk for one in (answers, replace(answers, **changed)))
    assert after <= before


@given(DRAWN)
def test_answers_are_planned_or_refused_in_one_line(given: dict[str, Any]) -> None:
    try:
        planner.plan(planner.read(given), CATALOGUE)
    except Invalid as error:
        assert "\n" not in error.message and ": " in error.message
