"""Rows of the list of endpoints, and the figures in them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidegate.console import figures
from tidegate.console.activity import Activity
from tidegate.console.endpoint_rows import Row, make_row, summarise

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDLE = Activity(0.0, None, None, None)
FLEET = {
    "config": "v1",
    "side": "serving",
    "variant": "main",
    "copies": None,
    "share": 100.0,
    "ready": 2,
    "desired": 2,
    "starting": 0,
}
AT_REST: dict[str, Any] = {
    "name": "fraud",
    "target": "local",
    "status": "InService",
    "why": "serves",
    "failure_reason": None,
    "rollout": None,
    "last": None,
    "fleets": [FLEET],
    "alarms": [],
}


def row(activity: Activity = IDLE, rates: tuple[float, ...] = (), **changes: Any) -> Row:
    return make_row({**AT_REST, **changes}, activity, rates, NOW)


def test_without_requests_nothing_is_claimed() -> None:
    idle = row()
    assert (idle["rate"], idle["p50"], idle["p99"], idle["errors"], idle["points"]) == ("0/s", "–", "–", "–", "")


def test_an_endpoint_at_rest_has_nothing_to_tell_and_one_in_a_rollout_its_stage() -> None:
    assert row()["detail"] == ""
    rollout = {"phase": "Baking", "stage": 2, "stages": 4, "paused": None}
    assert row(status="Updating", rollout=rollout)["detail"] == "baking, stage 2 of 4"
    held = {**rollout, "paused": {"by": "ada"}}
    assert row(status="Updating", rollout=held)["detail"] == "paused by ada; baking, stage 2 of 4"


def test_both_versions_stand_with_their_shares_and_variants() -> None:
    fleets = [
        {**FLEET, "side": "old", "share": 75.0},
        {**FLEET, "side": "new", "config": "v2", "share": 20.0},
        {**FLEET, "side": "new", "config": "v2", "variant": "b", "share": 5.0, "ready": 0},
        {**FLEET, "side": "leaving", "config": "v0", "share": 0.0, "desired": 0},
    ]
    found = row(fleets=fleets)
    assert [(one["config"], one["share"]) for one in found["versions"]] == [("v1", "75 %"), ("v2", "25 %")]
    assert found["versions"][1]["variants"] == [("main", "20 %"), ("b", "5 %")]
    assert (found["ready"], found["desired"]) == (6, 6)


def test_what_needs_somebody_is_counted_and_stands_out() -> None:
    failed = row(Activity(5.0, 0.2, 1.0, 2.0), status="Failed", failure_reason="no model")
    ringing = row(alarms=[{"name": "errors", "state": "ALARM"}, {"name": "p99", "state": "OK"}])
    assert (failed["tone"], failed["errors_tone"], failed["detail"]) == ("bad", "bad", "no model")
    assert ringing["ringing"] == ["errors"]
    assert summarise([failed, ringing, row(status="Updating", rollout=None)]) == [
        ("1 in service", "good"),
        ("1 changing", ""),
        ("2 with an alarm or a failure", "bad"),
    ]


def test_the_last_rollout_is_told_with_its_end() -> None:
    ended = (NOW - timedelta(minutes=5)).isoformat()
    found = row(last={"to": "v2", "outcome": "RolledBack", "ended_at": ended, "reason": "errors"})["last"]
    assert (found["outcome"], found["tone"], found["age"]) == ("rolled back", "warn", "5 min ago")


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "just now"), (61, "1 min ago"), (7300, "2 h ago"), (3 * 86_400, "3 days ago")]
)
def test_ages_are_told_coarsely(seconds: float, text: str) -> None:
    assert figures.format_age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == text


@pytest.mark.parametrize(("part", "text"), [(None, "–"), (0.0, "0 %"), (0.0004, "< 0.1 %"), (0.0213, "2.13 %")])
def test_few_errors_are_not_none(part: float | None, text: str) -> None:
    assert figures.format_percent(part) == text


@pytest.mark.parametrize(("rate", "text"), [(0, "0/s"), (0.05, "0.05/s"), (2.34, "2.3/s"), (1234.5, "1,234/s")])
def test_rates_are_as_long_as_they_need(rate: float, text: str) -> None:
    assert figures.format_rate(rate) == text


def test_a_sparkline_reaches_from_the_floor_to_the_top() -> None:
    points = figures.spark_points([0.0, 5.0, 10.0])
    assert points == "0,19.0 1,10.0 2,1.0"
