"""Figures of the pages to learn by: they are the planner's and the rollout machine's, and bad input is named."""

from datetime import UTC, datetime
from functools import cache
from urllib.parse import parse_qsl

import pytest

from tidegate.features.planner import architectures_page, rolling_page, targets_page
from tidegate.features.rehearse.computations import rehearse
from tidegate.features.rehearse.page import STRATEGIES, build_spec, form_values
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def outcomes() -> list[dict[str, object]]:
    return [rehearse(body, NOW) for body in rolling_page.simulations()]


def test_a_thousand_clients_on_one_endpoint_save_nine_tenths_and_more() -> None:
    shown = architectures_page.architectures({}, CATALOGUE)
    assert shown["clients"] == 1000 and shown["problems"] == []
    assert shown["saved"] > 0.9
    assert shown["apart"] == pytest.approx(1000 * CATALOGUE.hosting("ml.c5.large", "us-east-1").amount * 730)
    assert 1000 in shown["curve"]["x"]


def test_one_client_saves_nothing_by_sharing_and_larger_models_need_more_instances() -> None:
    alone = architectures_page.architectures({"clients": "1"}, CATALOGUE)
    assert alone["saved"] < 0
    few, many = ({"megabytes": size} for size in ("45", "450"))
    assert (
        architectures_page.architectures(few, CATALOGUE)["held"]
        < architectures_page.architectures(many, CATALOGUE)["held"]
    )


def test_each_target_is_planned_for_the_same_answers_and_the_planner_s_choice_is_marked() -> None:
    shown = targets_page.compared({}, CATALOGUE)
    assert [way["chosen"] for way in shown["ways"]] == [True, False, False, False]
    priced = [way for way in shown["ways"] if not way["why_not"]]
    assert len(priced) >= 3 and all(way["month"] > 0 and way["rows"] for way in priced)


def test_a_low_price_comes_with_what_it_leaves_out() -> None:
    *_, functions = targets_page.compared({}, CATALOGUE)["ways"]
    assert "waits for a start" in functions["notes"][-1]
    assert (
        targets_page.compared({"example": "payroll-fraud", "latency": "30s"}, CATALOGUE)["ways"][-1]["notes"] == []
    )


def test_a_large_model_does_not_go_to_lambda_and_says_why() -> None:
    *_, functions = targets_page.compared({"example": "assist"}, CATALOGUE)["ways"]
    assert functions["why_not"] and not functions["chosen"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"rate": "-1"}, "rate"),
        ({"example": "nothing"}, "no example"),
        ({"latency": "1s"}, "missing"),
    ],
)
def test_answers_that_cannot_be_are_named(query: dict[str, str], said: str) -> None:
    shown = targets_page.compared(query, CATALOGUE)
    assert said in shown["problem"] and shown["ways"] == []


def test_rolling_takes_a_start_of_instances_to_turn_back_and_two_fleets_none() -> None:
    linear, rolling = rolling_page.compared(outcomes())["ways"]
    assert (linear["seconds"], linear["requests"], linear["left"], linear["most"]) == (0, 0, 8, 16)
    assert rolling["seconds"] >= 120
    assert rolling["requests"] > 1000
    assert (rolling["left"], rolling["most"]) == (4, 12)


def test_the_playbook_has_the_planner_s_presets() -> None:
    playbook = {one["name"]: one for one in rolling_page.compared(outcomes())["playbook"]}
    for one in playbook.values():
        form = form_values(dict(parse_qsl(one["query"])))
        assert build_spec(form)["rollout"]["strategy"] == form["strategy"]
        assert STRATEGIES[form["strategy"]] == one["strategy"]
    assert (playbook["payroll-fraud"]["strategy"], playbook["payroll-fraud"]["size"]) == ("Linear", "25%")
    assert playbook["payroll-fraud"]["wait"] == "1h"
    assert (playbook["assist"]["strategy"], playbook["assist"]["size"]) == ("Canary", "5%")
