"""The tables as the brief has them: every way through the flowchart, every row of the strategy's rule."""

from itertools import product
from typing import Any

import pytest

from tidegate.features.planner import assumptions, rules, units
from tidegate.features.planner import planning as planner
from tidegate.features.planner.flowchart import walk
from tidegate.features.planner.strategy import Strategy, strategy
from tidegate.features.planner.tables import table
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.images import ImageTable, resolve

WAYS = [
    ({"individual_responses": False, "records": 1}, ["individual"], "batch"),
    ({"payload": "26 MB"}, ["individual", "large"], "asynchronous"),
    ({"processing_time": "31s"}, ["individual", "large"], "asynchronous"),
    (
        {"payload": "25 MB", "processing_time": "30s"},
        ["individual", "large", "sustained", "intermittent"],
        "real_time",
    ),
    ({"latency": "1s"}, ["individual", "large", "sustained"], "real_time"),
    (
        {"latency": "1s", "consistent_latency": False},
        ["individual", "large", "sustained", "intermittent"],
        "real_time",
    ),
    (
        {"latency": "1s", "pattern": "intermittent"},
        ["individual", "large", "sustained", "intermittent"],
        "serverless",
    ),
    ({"pattern": "variable", "consistent_latency": True}, ["individual", "large", "sustained"], "real_time"),
    ({"latency": "2s", "idle_hours": 1}, ["individual", "large", "sustained", "intermittent"], "serverless"),
    ({"latency": "2s"}, ["individual", "large", "sustained", "intermittent"], "real_time"),
]


@pytest.mark.parametrize(("given", "asked", "mode"), WAYS)
def test_the_ways_through_the_flowchart(given: dict[str, Any], asked: list[str], mode: str) -> None:
    steps = walk(assumptions.find_facts(planner.read({"rate": 1, **given})))
    assert ([step.id for step in steps], steps[-1].leads_to) == (asked, mode)


RULE = {
    ("low", True, False): ("all_at_once", ""),
    ("low", True, True): ("all_at_once", ""),
    ("low", False, False): ("canary", "10% 30m"),
    ("low", False, True): ("canary", "10% 30m"),
    ("medium", True, False): ("canary", "10% 30m"),
    ("medium", True, True): ("canary", "5% 2h"),
    ("medium", False, False): ("canary", "5% 2h"),
    ("medium", False, True): ("canary", "5% 2h"),
    ("high", True, False): ("linear", "25% 1h"),
    ("high", True, True): ("linear", "25% 1h"),
    ("high", False, False): ("linear", "25% 1h"),
    ("high", False, True): ("linear", "10% 1h"),
}


def chosen(criticality: str, reversible: bool, user_facing: bool, playbook: str = "none") -> Strategy:
    known = {
        "criticality": criticality,
        "reversible": reversible,
        "user_facing": user_facing,
        "playbook": playbook,
    }
    return strategy(known)


def test_the_rule_of_the_strategy() -> None:
    for key in product(["low", "medium", "high"], [True, False], [False, True]):
        found = chosen(*key)
        size = found.rollout.get("size") or found.rollout.get("step") or ""
        assert (found.kind, f"{size} {found.rollout.get('wait', '')}".strip()) == RULE[key], key


def test_the_playbook_has_what_the_rule_would_give_its_models() -> None:
    for name, key in {
        "payroll-fraud": ("high", False, False),
        "attrition": ("medium", True, False),
        "learning-recommendations": ("low", True, True),
        "assist": ("medium", True, True),
    }.items():
        assert chosen(*key, name).rollout == chosen(*key).rollout
        assert chosen("low", True, False, name).preset == name


def test_the_order_of_risk() -> None:
    order = [chosen("low", True, False), chosen("medium", True, False), chosen("medium", False, True)]
    order += [chosen("high", True, False), chosen("high", False, True)]
    risks = [one.risk for one in order]
    assert risks == sorted(risks, reverse=True) and len(set(risks)) == len(risks)


def test_every_framework_that_may_be_answered_has_an_image() -> None:
    question = next(one for one in table("questions") if one["key"] == "frameworks")
    for framework in question["choices"]:
        kind = RuntimeKind(framework)
        assert resolve(kind.descriptor.images[0].shown, ImageTable()).kind is kind
    assert set(table("compute")["kinds"]) == set(
        next(one for one in table("questions") if one["key"] == "model_kind")["choices"]
    )


def test_conditions() -> None:
    known = {"rate": 5.0, "size": 3, "word": "b", "none": None, "other": 5.0}
    assert rules.holds({}, known)
    assert rules.holds([{"rate": 4}, {"word": ["a", "b"]}], known)
    assert not rules.holds({"rate": {"at_least": 5, "below": 5}}, known)
    assert not rules.holds({"none": {"at_most": 1}}, known), "nothing is neither more nor less"
    assert not rules.holds({"none": {"less_than": "rate"}}, known)
    assert not rules.holds({"rate": {"differs_from": "other"}}, known)
    assert rules.holds({"rate": {"above": "4s"}}, known)
    with pytest.raises(KeyError):
        rules.holds({"unheard": 1}, known)


def test_times_sizes_and_rates_as_people_read_them() -> None:
    assert units.seconds("1h30m") == 5400 and units.seconds("0.5 ms") == 0.0005
    assert [units.format_seconds(value) for value in (5400, 0.1, 0.00002)] == ["1.5 h", "100 ms", "20 us"]
    assert [units.format_size(value) for value in (16_000, 25e6, 12)] == ["16 KB", "25 MB", "12 bytes"]
    assert (
        units.format_rate(1234.5) == "1,230 requests a second" and units.format_rate(0.1) == "360 requests an hour"
    )
    assert units.format_rate(3 / 86_400) == "3 requests a day"
    assert [units.format_money(value) for value in (391.95, 0.054)] == ["$392", "$0.05"]
    with pytest.raises(ValueError, match="with its unit"):
        units.seconds("soon")
