"""What pages are made of, without a browser."""

import pytest

from tidegate.advisor import planner
from tidegate.advisor.planner import examples
from tidegate.advisor.prices import Catalogue
from tidegate.console import flowchart, overview, plan_page, rehearsal_page
from tidegate.console.money import format_dollars

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
    from_example = plan_page.planned({"example": name}, CATALOGUE)
    typed = {field["key"]: field["value"] for field in from_example["fields"]}
    from_form = plan_page.planned(typed, CATALOGUE)
    assert from_form["problem"] is None
    assert from_form["plan"]["rows"] == from_example["plan"]["rows"]


def test_a_problem_stands_at_its_field() -> None:
    made = plan_page.planned({"rate": "-1"}, CATALOGUE)
    assert made["plan"] is None
    assert [field["key"] for field in made["fields"] if field["problem"]] == ["rate"]


def test_before_the_form_is_sent_nothing_is_missing() -> None:
    made = plan_page.planned({}, CATALOGUE)
    assert (made["plan"], made["problem"], made["missing"]) == (None, None, [])


@pytest.mark.parametrize("answers", [{}, {"frameworks": "xgboost"}, {"name": "fraud", "latency": "100ms"}])
def test_a_form_shows_every_answer_that_is_missing_at_its_field(answers: dict[str, str]) -> None:
    empty = {field["key"]: " " for field in plan_page.planned({}, CATALOGUE)["fields"]}
    made = plan_page.planned({**empty, **answers}, CATALOGUE)
    assert (made["plan"], made["problem"]) == (None, None)
    assert [field["key"] for field in made["missing"]] == planner.missing(answers) == ["rate"]
    assert [field["key"] for field in made["fields"] if field["problem"]] == ["rate"]


def test_with_the_missing_answers_there_is_a_plan() -> None:
    empty = {field["key"]: "" for field in plan_page.planned({}, CATALOGUE)["fields"]}
    made = plan_page.planned({**empty, "rate": "20"}, CATALOGUE)
    assert (made["missing"], made["problem"]) == ([], None) and made["plan"] is not None


def test_the_overview_computes_its_figures() -> None:
    numbers = overview.numbers(CATALOGUE)
    assert numbers["serverless"]["crossing"] > 0
    assert numbers["many"]["saved"] > 0.9
    assert numbers["savings"]["saving"] > 0
    assert numbers["plans"]["payroll-fraud"]["rows"]["Instance Type"] == "ml.c5.xlarge"


@pytest.mark.parametrize(("strategy", "key"), [("canary", "size"), ("linear", "step"), ("rolling", "batch")])
def test_a_form_becomes_a_spec(strategy: str, key: str) -> None:
    form = rehearsal_page.form_values({"strategy": strategy, "size": "20%"})
    assert rehearsal_page.build_spec(form)["rollout"][key] == "20%"


def test_a_fault_brings_an_amount_of_its_own_kind() -> None:
    assert rehearsal_page.form_values({"fault": "latency", "amount": "5%"})["amount"] == "+80ms"
    assert rehearsal_page.simulation_body(rehearsal_page.form_values({"fault": ""}))["faults"] == []


@pytest.mark.parametrize(
    ("amount", "text"), [(1153.4, "$1,153"), (74.456, "$74.46"), (0.0123, "$0.0123"), (0, "$0.00")]
)
def test_money_reads_as_money(amount: float, text: str) -> None:
    assert format_dollars(amount) == text
