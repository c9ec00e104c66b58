"""The demonstrations of the four challenges: what they show is what the production code does, and it can fail."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.rollout import Phase
from tidegate.features.lessons import challenges_page
from tidegate.features.lessons.challenges import peak, update
from tidegate.features.lessons.challenges.update import RequestCounter
from tidegate.features.rehearse.compute_process import compute
from tidegate.features.rehearse.page import STRATEGIES
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.testing.faults import ReplicasDie, RolloutSide, ScriptedEvent, StartsFail, When, WorldTiming
from tidegate.testing.samples import linear, percent, version

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def shown(show: str, **query: str) -> dict[str, Any]:
    """What the page shows of a demonstration."""
    name, asked = challenges_page.asked_for({"show": show, **query})
    made: dict[str, Any] = challenges_page.shown(name, asked, compute(name, asked, NOW))["made"]
    return made


@pytest.mark.parametrize("change", ["country", "amounts", "hours"])
def test_each_drift_is_found_after_it_began_and_an_alarm_goes_off(change: str) -> None:
    made = shown("drift", change=change)
    assert made["begins"] <= made["found"] < made["alarm"] <= made["days"]
    assert made["findings"] and "Threshold Crossed" in made["reason"]


def test_where_nothing_drifts_nothing_is_found() -> None:
    made = shown("drift", change="nothing")
    assert (made["found"], made["alarm"], made["findings"], made["reason"]) == (None, None, [], "")


def test_a_calendar_meets_the_peak_and_the_faster_rule_loses_less_time() -> None:
    late = {rule: shown("peak", rule=rule)["part_late"] for rule in peak.RULES}
    assert late["calendar"] < 0.001 < late["fast"] < late["tracking"] < late["none"]
    assert shown("peak", rule="fast")["alone"]["breaches"] == shown("peak", rule="none")["ruled"]["breaches"]


def test_slower_starts_leave_more_requests_late() -> None:
    quick, slow = (shown("peak", startup=text)["part_late"] for text in ("1", "120"))
    assert quick < slow


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_request_is_without_an_instance_while_things_die(strategy: str) -> None:
    made = shown("update", strategy=strategy)
    assert (made["passed"], made["nobody"]) == (True, 0)
    assert made["requests"] > 10_000 and made["checked"] > 3
    assert "the controller dies" in [one["said"] for one in made["died"]]
    assert [line["at"] for line in made["journal"]] == sorted(line["at"] for line in made["journal"])


def test_a_controller_that_is_away_beyond_a_bake_holds_the_rollout_up() -> None:
    alone, held = shown("update", deaths=""), shown("update", deaths="controller")
    assert alone["died"] == []
    assert held["chart"]["x"][-1] > alone["chart"]["x"][-1] + 60


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
    attempts = {line["what"]: line["outcome"] for line in made["lines"] if line["outcome"]}
    assert attempts == {
        "deploy": "done",
        "promote": "refused",
        "pause": "done",
        "resume": "done",
        "retry": "failed",
    }
    assert (made["changes"], made["refused"], made["failed"]) == (3, 1, 1)
    assert made["people"] == ["alex (token pipeline)", "dana", "sam"]
    assert made["met"] < made["turned"] < made["back"]
    assert "ALARM" in made["reason"]
    # A quarter of 40 requests a second from the first shift on, half of them in the last minute.
    whole = 40 * (made["back"] - made["met"])
    assert 0.24 * whole < made["reached"] < 0.3 * whole
    assert [line["at"] for line in made["lines"]] == sorted(line["at"] for line in made["lines"])


@pytest.mark.parametrize(
    ("what", "body", "said"),
    [
        ("drift", {"change": "<script>"}, "is none of"),
        ("drift", {"rows": 10**9}, "50 to 2,000"),
        ("peak", {"rule": "hope"}, "is none of"),
        ("peak", {"startup": 1e9}, "10 minutes"),
        ("update", {"spec": {}, "deaths": ["proxy"]}, "is none of"),
        ("update", {"spec": {}, "rps": -1.0}, "more than 0"),
        ("incident", {"spec": {"endpoint": "x"}}, "model"),
        ("incident", {"spec": {}, "more": 1}, "more"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(what: str, body: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        compute(what, body, NOW)


def test_an_address_that_makes_no_sense_shows_the_defaults() -> None:
    show, asked = challenges_page.asked_for({"show": "<b>", "change": "x", "deaths": "none"})
    assert (show, asked) == ("drift", {"change": "country"})
    _, asked = challenges_page.asked_for({"show": "update", "deaths": "old,moon", "strategy": "hope"})
    assert (asked["deaths"], asked["spec"]["rollout"]["strategy"]) == (["old"], "linear")


def test_every_choice_has_a_title() -> None:
    assert set(update.DEATHS) == set(challenges_page.DEATH_TITLES)
    assert set(peak.RULES) == set(challenges_page.RULE_TITLES)
