"""The demonstrations of the four challenges: what they show is what the production code does, and it can fail."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from tests.samples import linear, percent, version
from tidegate.domain.rollout import Phase
from tidegate.features.lessons import drift, peak, update
from tidegate.features.lessons.catalogue import find_lesson
from tidegate.features.lessons.catalogue import play as simulate
from tidegate.features.lessons.lesson import choose
from tidegate.features.lessons.update import RequestCounter
from tidegate.features.rehearse.page import STRATEGIES
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.simulation.faults import ReplicasDie, RolloutSide, ScriptedEvent, StartsFail, When, WorldTiming

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def choose_for(name: str, **query: list[str]) -> dict[str, Any]:
    simulation = find_lesson(name).simulation
    assert simulation is not None
    return choose(simulation, query)


@cache
def play(name: str, **query: str) -> dict[str, Any]:
    """The whole outcome; of a choice of several they are separated by commas."""
    chosen = choose_for(name, **{key: value.split(",") for key, value in query.items()})
    return simulate({"lesson": name, "chosen": chosen}, NOW)


def shown(name: str, **query: str) -> dict[str, Any]:
    """The figures behind the outcome that the page shows."""
    facts: dict[str, Any] = play(name, **query)["facts"]
    return facts


@pytest.mark.parametrize("change", ["country", "amounts", "hours"])
def test_each_drift_is_found_after_it_began_and_an_alarm_goes_off(change: str) -> None:
    made = shown("drift", change=change)
    assert made["begins"] <= made["found"] < made["alarm"] <= made["days"]
    assert made["drift"] and "Threshold Crossed" in made["reason"]


def test_where_nothing_drifts_nothing_is_found() -> None:
    made = shown("drift", change="nothing")
    assert (made["found"], made["alarm"], made["drift"], made["reason"]) == (None, None, [], "")


def test_a_calendar_meets_the_peak_and_the_faster_rule_loses_less_time() -> None:
    late = {rule: shown("peak", rule=rule)["late"] for rule in peak.RULES}
    assert late["calendar"] < 0.001 < late["fast"] < late["tracking"] < late["none"]
    assert shown("peak", rule="fast")["alone_breaches"] == shown("peak", rule="none")["breaches"]


def test_slower_starts_leave_more_requests_late() -> None:
    quick, slow = (shown("peak", startup=text)["late"] for text in ("1", "120"))
    assert quick < slow


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_request_is_without_an_instance_while_things_die(strategy: str) -> None:
    made = shown("update", strategy=strategy)
    assert (made["phase"], made["nobody"]) == ("Succeeded", 0)
    assert made["requests"] > 10_000 and made["checked"] > 3
    assert "the controller dies" in made["died"]
    times = [line["at"] for line in play("update", strategy=strategy)["journal"]["lines"]]
    assert times == sorted(times)


def test_a_controller_that_is_away_beyond_a_bake_holds_the_rollout_up() -> None:
    alone, held = shown("update", deaths=""), shown("update", deaths="controller")
    assert alone["died"] == []
    assert held["seconds"] > alone["seconds"] + 60


def test_requests_that_find_nobody_are_counted() -> None:
    """So that a zero says something."""
    counter = RequestCounter(rate=10.0)
    dead: list[ScriptedEvent] = [
        StartsFail(When(Phase.BAKING, after=5.0), RolloutSide.NEW),
        ReplicasDie(When(Phase.BAKING, after=5.0), RolloutSide.NEW, count=4),
    ]
    old, new, late = version("v1", 4), version("v2", 4), WorldTiming(latencies=(0.5,))
    world = make_updating_world(
        old, new, linear(percent(25), 60, 120), script=dead, physics=late, watchers=(counter,)
    )
    world.run(3_600, settled=lambda world: world.record is None or world.record.rollout is None)
    counter.advance(world.now)
    # A quarter of 10 requests a second, for the half second until the routes are changed.
    assert counter.nobody == pytest.approx(1.25)
    assert counter.total > 300
    assert counter.fewest == 4


def test_an_incident_has_everybody_s_attempts_on_record() -> None:
    made = shown("incident")
    lines = play("incident")["people"]
    attempts = {line["what"]: line["outcome"] for line in lines if line["outcome"]}
    assert attempts == {
        "deploy": "done",
        "promote": "refused",
        "pause": "done",
        "resume": "done",
        "retry": "failed",
    }
    assert (made["done"], made["refused"], made["failed"]) == (3, 1, 1)
    assert made["people"] == ["alex (token pipeline)", "dana", "sam"]
    assert made["met"] < made["decided"] < made["back"]
    assert "ALARM" in made["reason"]
    # A quarter of 40 requests a second from the first shift on, half of them in the last minute.
    whole = 40 * (made["back"] - made["met"])
    assert 0.24 * whole < made["reached"] < 0.3 * whole
    times = [round(line["at"], 1) for line in lines]
    assert times == sorted(times)


def test_an_address_that_makes_no_sense_shows_the_defaults() -> None:
    assert choose_for("drift", change=["x"], deaths=["none"]) == {"change": "country"}
    chosen = choose_for("update", deaths=["old", "moon"], strategy=["hope"])
    assert chosen == {"deaths": ["old"], "strategy": "linear"}


def test_every_choice_has_a_title() -> None:
    assert set(update.DEATHS) == set(update.DEATH_TITLES)
    assert set(peak.RULES) == set(peak.RULE_TITLES)
    assert set(drift.CHANGES) == set(drift.CHANGE_TITLES)
