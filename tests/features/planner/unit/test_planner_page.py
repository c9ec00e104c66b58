"""What the planner's pages are made of, without a browser."""

from urllib.parse import parse_qsl

import pytest

from tidegate.console.chapters import CHAPTERS
from tidegate.features.planner import flowchart_page as flowchart
from tidegate.features.planner import overview
from tidegate.features.planner import page as plan_page
from tidegate.features.planner import planning as planner
from tidegate.features.planner.planning import examples
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()


@pytest.mark.parametrize(
    ("clicked", "mode"),
    [
        ({"individual": "no"}, "batch"),
        ({"individual": "yes", "large": "yes"}, "asynchronous"),
        ({"individual": "yes", "large": "no", "sustained": "yes"}, "real_time"),
        ({"individual": "yes", "large": "no", "sustained": "no", "intermittent": "yes"}, "serverless"),
        ({"individual": "yes", "large": "no", "sustained": "no", "intermittent": "no"}, "real_time"),
    ],
)
def test_each_walk_ends_in_its_mode(clicked: dict[str, str], mode: str) -> None:
    assert flowchart.walked(clicked)["mode"]["id"] == mode


def test_a_question_that_is_not_come_to_has_no_answer() -> None:
    walked = flowchart.walked({"individual": "no", "large": "yes"})
    assert [step["id"] for step in walked["taken"]] == ["individual"]


def test_invalid_flowchart_answer_is_ignored() -> None:
    assert flowchart.walked({"individual": "perhaps"})["current"]["id"] == "individual"


@pytest.mark.parametrize("name", examples())
def test_every_example_fills_its_form_and_the_form_makes_the_same_plan(name: str) -> None:
    from_example = plan_page.show_plan({"example": name}, CATALOGUE)
    typed = {field["key"]: field["value"] for field in from_example["fields"]}
    from_form = plan_page.show_plan(typed, CATALOGUE)
    assert from_form["problem"] is None
    assert from_form["plan"]["rows"] == from_example["plan"]["rows"]


def test_a_problem_stands_at_its_field() -> None:
    made = plan_page.show_plan({"rate": "-1"}, CATALOGUE)
    assert made["plan"] is None
    assert [field["key"] for field in made["fields"] if field["problem"]] == ["rate"]


@pytest.mark.parametrize(("answers", "required"), [({}, ["rate"]), ({"individual_responses": "no"}, ["records"])])
def test_a_form_marks_the_answers_that_a_plan_needs(answers: dict[str, str], required: list[str]) -> None:
    fields = plan_page.show_plan(answers, CATALOGUE)["fields"]
    assert [field["key"] for field in fields if field["required"]] == required


def test_a_form_asks_for_what_decides_and_folds_the_rest() -> None:
    answers = {"rate": "95", "latency": "100ms", "criticality": "high"}
    fields = {field["key"]: field for field in plan_page.show_plan(answers, CATALOGUE)["fields"]}
    asked = [key for key, field in fields.items() if not field["further"] and field["reason"]]
    assert asked == ["payload", "processing_time", "shape", "region"]
    assert "without an answer 5 ms; from 25 ms it is real time on 2 to 3 x" in fields["processing_time"]["reason"]
    assert fields["user_facing"]["further"] and fields["latency"]["reason"] == ""
    assert fields["user_facing"]["reason"] == "without an answer no; the plan is the same whatever the answer"
    given = {**answers, "user_facing": "no"}
    assert not next(one for one in plan_page.show_plan(given, CATALOGUE)["fields"] if one["key"] == "user_facing")[
        "further"
    ]


def test_a_form_without_a_plan_asks_for_what_would_make_one() -> None:
    made = plan_page.show_plan({"rate": "40/h", "latency": "500ms", "pattern": "intermittent"}, CATALOGUE)
    asked = [field["key"] for field in made["fields"] if field["reason"] and not field["further"]]
    assert made["plan"] is None and asked == ["consistent_latency"]


def test_answers_without_a_plan_come_with_links_to_changes_that_make_one() -> None:
    made = plan_page.show_plan({"rate": "1", "latency": "100ms", "payload": "1 GB"}, CATALOGUE)
    assert made["plan"] is None and 1 <= len(made["relaxations"]) <= 3
    for one in made["relaxations"]:
        changed = {key: value for key, value in parse_qsl(one["address"], keep_blank_values=True)}
        assert plan_page.show_plan(changed, CATALOGUE)["plan"] is not None
    assert plan_page.show_plan({"rate": "-1"}, CATALOGUE)["relaxations"] == []


def test_before_the_form_is_sent_nothing_is_missing() -> None:
    made = plan_page.show_plan({}, CATALOGUE)
    assert (made["plan"], made["problem"], made["missing"]) == (None, None, [])


@pytest.mark.parametrize("answers", [{}, {"frameworks": "xgboost"}, {"name": "fraud", "latency": "100ms"}])
def test_a_form_shows_every_answer_that_is_missing_at_its_field(answers: dict[str, str]) -> None:
    empty = {field["key"]: " " for field in plan_page.show_plan({}, CATALOGUE)["fields"]}
    made = plan_page.show_plan({**empty, **answers}, CATALOGUE)
    assert (made["plan"], made["problem"]) == (None, None)
    assert [field["key"] for field in made["missing"]] == planner.missing(answers) == ["rate"]
    assert [field["key"] for field in made["fields"] if field["problem"]] == ["rate"]


def test_with_the_missing_answers_there_is_a_plan() -> None:
    empty = {field["key"]: "" for field in plan_page.show_plan({}, CATALOGUE)["fields"]}
    made = plan_page.show_plan({**empty, "rate": "20"}, CATALOGUE)
    assert (made["missing"], made["problem"]) == ([], None) and made["plan"] is not None


def test_the_overview_computes_its_figures() -> None:
    figures = overview.compute_figures({}, CATALOGUE)["figures"]
    assert figures.keys() <= {chapter.path for chapter in CHAPTERS}
    assert [one.path for one in CHAPTERS if one.path not in figures and not one.remark] == []
    assert "$74,460 or $335.80 a month" in figures["/console/architectures"]
    assert "ml.c5.xlarge" in figures["/console/planner"]


def test_lambda_s_price_never_stands_without_what_it_leaves_out() -> None:
    text = overview.compute_figures({}, CATALOGUE)["figures"]["/console/targets"]
    assert "on Lambda, if requests may wait for a cold start" in text


def test_worked_examples_are_of_what_they_stand_for() -> None:
    modes = overview.mode_examples({}, CATALOGUE)
    assert [one["mode"] for one in modes] == ["real_time", "serverless", "asynchronous", "batch"]
    assert "Real-time" in modes[0]["rows"]["Inference Mode"] and "Batch" in modes[3]["rows"]["Inference Mode"]
    targets = [one["rows"]["Deployment Target"] for one in overview.architecture_examples({}, CATALOGUE)]
    assert ["multi-model" in one for one in targets] == [False, True, False, False]
    strategies = overview.strategy_examples({}, CATALOGUE)
    assert strategies[1]["rows"]["Deployment Strategy"].startswith("Canary: 5 %")
    assert strategies[3]["example"] == ""


@pytest.mark.parametrize("name", examples())
def test_the_months_of_a_plan_are_its_year(name: str) -> None:
    made = planner.plan(planner.example(name), CATALOGUE)
    months = planner.monthly(made)
    assert len(months) == 12 and min(months) >= 0
    assert sum(months) == pytest.approx(made.bill.total)


def test_the_year_s_peaks_are_in_their_months() -> None:
    months = planner.monthly(planner.plan(planner.example("payroll-fraud"), CATALOGUE))
    january, february, december = months[0], months[1], months[11]
    assert january > 2 * february and december > 1.5 * february


def test_a_plan_stands_beside_the_one_of_before() -> None:
    before = plan_page.show_plan({"example": "salary-benchmarking"}, CATALOGUE)
    asked = str(planner.answers_of("salary-benchmarking")["rate"])
    changed = {"example": "salary-benchmarking", "rate": "3", "against": before["address"]}
    found = plan_page.show_plan(changed, CATALOGUE)["versus"]
    assert found["problem"] == ""
    assert [(one["key"], one["before"], one["now"]) for one in found["answers"]] == [("rate", asked, "3")]
    assert found["months"][0] == pytest.approx(before["plan"]["cost"]["month"], abs=0.01)
    assert found["months"][0] < found["months"][1]
    assert [row["name"] for row in found["rows"]] == [row["name"] for row in before["plan"]["rows"]]
    assert len(found["year"]) == 12 and max(max(a["part"] for a in m["amounts"]) for m in found["year"]) == 100


@pytest.mark.parametrize("against", ["rate=-1", "nonsense", "example=<script>", "%00=%ff", "against=rate%3D1"])
def test_what_cannot_be_compared_is_said_and_the_plan_stands(against: str) -> None:
    made = plan_page.show_plan({"example": "monthly-attrition", "against": against}, CATALOGUE)
    assert made["plan"] is not None
    assert made["versus"]["problem"].startswith("the plan to compare with cannot be made")


def test_a_comparison_alone_asks_for_no_plan() -> None:
    made = plan_page.show_plan({"against": "rate=1"}, CATALOGUE)
    assert (made["plan"], made["versus"], made["missing"]) == (None, None, [])
