"""The card of an endpoint: what stands on it, and what must not."""

from dataclasses import replace
from typing import Any

import pytest

from tidegate.console.summary_card import describe_strategy, estimate_month, make_card
from tidegate.domain.rollout import DeploymentConfig, Version
from tidegate.features.cost.bill import Tariff
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.prices import Catalogue
from tidegate.testing.samples import all_at_once, canary, instances, linear, percent, rolling, version

CATALOGUE = Catalogue.load()
PAGE: dict[str, Any] = {
    "headline": {"status": "InService", "tone": "good", "detail": "", "target": "local"},
    "scaling": [],
    "alarms": [],
    "compared": [],
    "decides": "",
}


def typed(made: Version, *types: str) -> Version:
    variants = (replace(one, instance_type=type) for one, type in zip(made.variants, types, strict=True))
    return replace(made, variants=tuple(variants))


def test_a_card_of_an_endpoint_after_an_update() -> None:
    world = make_updating_world(version("v1", 2), version("v2", 2), linear(percent(25), 60, 120))
    world.run(7_200, settled=lambda world: world.record is None or world.record.rollout is None)
    assert world.record is not None
    card = make_card(world.record, PAGE, CATALOGUE, "us-east-1")
    assert (card["config"], card["last"]["outcome"], card["last"]["stages"]) == ("v2", "Succeeded", 4)
    assert card["strategy"] == "Linear: 25 % a step, 1:00 after each, 2:00 at the end"
    assert card["guards"] == "A bad version is rolled back by 1 alarm."
    assert card["runs"][0]["count"] == "2 instances"


def test_bounds_of_autoscaling_stand_in_place_of_a_count() -> None:
    made = version("v1", {"A": 2, "B": 1})
    world = make_updating_world(made, version("v2", 1), all_at_once())
    assert world.record is not None
    bounds = {"variant": "A", "min": 2, "max": 10, "dimension": "", "desired": 2, "ready": 2, "running": None}
    card = make_card(world.record, {**PAGE, "scaling": [bounds]}, CATALOGUE, "us-east-1")
    assert [one["count"] for one in card["runs"]] == ["2 to 10 instances, by autoscaling", "1 instance"]


def test_values_of_environment_variables_are_not_on_the_card() -> None:
    made = version("v1", 1)
    container = replace(made.variants[0].model.containers[0], environment={"TOKEN": "hunter2"})
    model = replace(made.variants[0].model, containers=(container,))
    secret = replace(made, variants=(replace(made.variants[0], model=model),))
    world = make_updating_world(secret, version("v2", 1), all_at_once())
    assert world.record is not None
    card = make_card(world.record, PAGE, CATALOGUE, "us-east-1")
    assert card["models"][0]["environment"] == "TOKEN"
    assert "hunter2" not in str(card)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "none: a new version takes over at once"),
        (DeploymentConfig(), "All at once, without a bake"),
        (all_at_once(300), "All at once, 5:00 at the end"),
        (canary(percent(10), 1800), "Canary: 10 % first, 30:00 after it"),
        (linear(instances(1), 60, 0), "Linear: 1 instances a step, 1:00 after each"),
        (rolling(percent(25), 60), "Rolling: batches of 25 %, 1:00 after each"),
    ],
)
def test_a_strategy_in_words(given: DeploymentConfig | None, said: str) -> None:
    assert describe_strategy(given) == said


def test_a_month_is_priced_where_a_price_is_known_and_says_what_it_leaves_out() -> None:
    tariff, both = Tariff(CATALOGUE, "us-east-1"), version("v1", {"A": 2, "B": 1})
    found = estimate_month(typed(both, "ml.c5.large", "ml.nonsense"), tariff)
    assert found["month"] == f"${2 * tariff.hosting('ml.c5.large').amount * 730:,.2f}"
    assert "left out" in found["about"]
    local = estimate_month(version("v1", 2), tariff)
    assert local["month"] == "–" and "would cost" in local["about"] and "no instance type" in local["about"]
