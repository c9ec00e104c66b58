"""Answers that cannot be used are named plainly, with what to change."""

from dataclasses import fields
from typing import Any

import pytest

from tidegate.domain.errors import Invalid, NotFound
from tidegate.features.planner import planning as planner
from tidegate.features.planner.answers import PlanAnswers, TrafficPeak
from tidegate.features.planner.tables import table
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()
BAD: list[tuple[dict[str, Any], str]] = [
    ({"latancy": "100ms"}, "unknown answer 'latancy', did you mean 'latency'?"),
    ({"rate": 0}, "rate: 0: must be above 0"),
    ({"rate": -3}, "rate: -3: must be above 0"),
    ({"rate": "1e30"}, "rate: '1e30': must be at most 1,000,000"),
    ({"rate": 1e12}, "rate: 1000000000000.0: must be at most 1,000,000"),
    ({"rate": float("nan")}, "rate: nan: expected a finite number"),
    ({"rate": "many"}, "rate: 'many': expected requests a second, or a number and a period such as 3/day"),
    ({"rate": None}, "rate is missing: How many requests a second"),
    ({"latency": 100}, "latency: 100: say the unit, such as 100ms or 100s"),
    ({"payload": "1 GP"}, "payload: '1 GP': expected an amount"),
    ({"criticality": "hihg"}, "did you mean 'high'?"),
    ({"reversible": "perhaps"}, "reversible: 'perhaps': expected yes or no"),
    ({"idle_hours": 24}, "idle_hours: 24: must be below 24"),
    ({"alike_models": 0}, "alike_models: 0: must be at least 1"),
    ({"frameworks": ["xgbost"]}, "unknown name 'xgbost', did you mean 'xgboost'?"),
    ({"frameworks": []}, "frameworks: []: 0 names, expected 1 to 15"),
    ({"stages": ["a", "a"]}, "stages: ['a', 'a']: a name is given twice"),
    ({"peaks": "pay-day*4"}, "did you mean 'pay-days'?"),
    ({"peaks": "pay-days*0"}, "the factor of pay-days must be from 1 to 10,000, not 0"),
    ({"timezone": "Mars"}, "timezone: 'Mars': unknown time zone 'Mars'; use an IANA name"),
    ({"name": "-x-"}, "name: '-x-': expected 1 to 63 letters"),
    ({"region": "a\nb"}, "printable"),
    ({"harm": "money"}, "harm: 'money': 'money' is not understood; say it like"),
    ({"harm": "fail 60%"}, "harm: 'fail 60%': 'fail 60%': must be above 0% and at most 50%"),
    ({"individual_responses": False}, "records is missing: How many records does one job score?"),
]


def answers(**given: Any) -> dict[str, Any]:
    return {"name": "fraud", "rate": 20, **given}


@pytest.mark.parametrize(("given", "said"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_an_answer_that_is_none_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as raised:
        planner.read(answers(**given))
    assert said in raised.value.message
    assert "\n" not in raised.value.message


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"latency": "90ms", "payload": "1GB"}, "latency and payload: an answer within 90 ms and requests of 1 GB"),
    ({"individual_responses": False, "records": 5, "latency": "500ms"}, "individual_responses and latency: no"),
    (
        {"individual_responses": False, "records": 5, "harm": "1% fail"},
        "individual_responses and harm: a job has no",
    ),
    ({"latency": "10ms", "processing_time": "50ms"}, "latency and processing_time: the model works 50 ms"),
    ({"spot": True}, "environment and spot: production on Spot is refused"),
    ({"spot": True, "spot_override": "  "}, "environment and spot: production on Spot is refused"),
    ({"separate_invocation": True}, "there is only one"),
    ({"alike_models": 50, "stages": ["a", "b"]}, "alike_models and stages"),
    ({"stages": ["a", "b", "c"], "frameworks": ["xgboost", "onnx"]}, "there are 3 stages and 2 frameworks"),
    ({"payload": "2GB"}, "payload: an asynchronous request may have 1 GB"),
    ({"payload": "60MB", "alike_models": 50}, "cannot be asked asynchronously"),
    ({"model_kind": "llm", "event_driven": True}, "a large language model is no light function"),
    ({"rate": 1_000_000, "processing_time": "10s"}, "1,000 are the most"),
    ({"model_size": "9000 GB"}, "model_size: 9 TB fit no instance of processors for real time on sagemaker"),
]


@pytest.mark.parametrize(
    ("given", "said"), CONTRADICTIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_contradicts_itself_is_said_with_what_to_change(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as raised:
        planner.plan(planner.read(answers(**given)), CATALOGUE)
    assert said in raised.value.message


def test_what_the_catalogue_does_not_have_is_named() -> None:
    with pytest.raises(NotFound, match=r"ml\.c5\.xlrge.*did you mean 'ml\.c5\.xlarge'"):
        planner.plan(planner.read(answers(instance_type="ml.c5.xlrge")), CATALOGUE)
    with pytest.raises(NotFound, match=r"us-esat-1.*did you mean 'us-east-1'"):
        planner.plan(planner.read(answers(region="us-esat-1")), CATALOGUE)
    with pytest.raises(NotFound, match="there is no example 'fraud'"):
        planner.example("fraud")


def test_people_write_in_more_than_one_way() -> None:
    written = planner.read(
        answers(latency="0.1 s", rate="1,200", reversible="no", peaks="pay-days*4, year-end*10", stages="a, b")
    )
    assert (written.latency, written.rate, written.reversible, written.stages) == (0.1, 1200.0, False, ("a", "b"))
    assert written.peaks == (TrafficPeak("pay-days", 4.0), TrafficPeak("year-end", 10.0))


def test_a_time_is_the_same_in_every_unit() -> None:
    written = planner.read(answers(processing_time="0.2ms", p99="200us"))
    assert written.p99 == written.processing_time == 0.0002


def test_every_question_has_a_field_and_every_field_a_question() -> None:
    assert [question["key"] for question in table("questions")] + ["assumed"] == [
        field.name for field in fields(PlanAnswers)
    ]


def test_the_flowchart_asks_the_four_questions_in_their_order() -> None:
    chart = planner.what_is_asked()["flowchart"]
    assert [(one["id"], one["yes"], one["no"]) for one in chart] == [
        ("individual", "large", "batch"),
        ("large", "asynchronous", "sustained"),
        ("sustained", "real_time", "intermittent"),
        ("intermittent", "serverless", "real_time"),
    ]
