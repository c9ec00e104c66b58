"""The card of an endpoint: what stands on it, and what must not."""

from dataclasses import replace
from typing import Any

import pytest

from tests.samples import all_at_once, canary, instances, linear, percent, rolling, version
from tidegate.console.summary_card import describe_strategy, make_card
from tidegate.domain.rollout import DeploymentConfig
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world

PAGE: dict[str, Any] = {
    "headline": {"status": "InService", "tone": "good", "detail": "", "target": "local"},
    "alarms": [],
}


def test_a_card_of_an_endpoint_after_an_update() -> None:
    world = make_updating_world(version("v1", 2), version("v2", 2), linear(percent(25), 60, 120))
    world.run(7_200, settled=lambda world: world.record is None or world.record.rollout is None)
    assert world.record is not None
    card = make_card(world.record, PAGE)
    assert (card["config"], card["last"]["outcome"], card["last"]["stages"]) == ("v2", "Succeeded", 4)
    assert card["strategy"] == "Linear: 25 % a step, 1:00 after each, 2:00 at the end"
    assert card["guards"] == "A bad version is rolled back by 1 alarm."
    assert card["runs"][0]["count"] == "2 instances"


def test_values_of_environment_variables_are_not_on_the_card() -> None:
    made = version("v1", 1)
    container = replace(made.variants[0].model.containers[0], environment={"TOKEN": "hunter2"})
    model = replace(made.variants[0].model, containers=(container,))
    secret = replace(made, variants=(replace(made.variants[0], model=model),))
    world = make_updating_world(secret, version("v2", 1), all_at_once())
    assert world.record is not None
    card = make_card(world.record, PAGE)
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
