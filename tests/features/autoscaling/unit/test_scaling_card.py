"""Autoscaling with its reasons, as an endpoint's page shows it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tidegate.console.rendering import TEMPLATES
from tidegate.domain.scaling import Activity, ActivityStatus, Dimension, NotScaledCode, NotScaledReason
from tidegate.features.autoscaling.card import SHOWN, activity_rows, target_rows
from tidegate.features.autoscaling.scalable_records import ActivityRecord

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"


def scaled(number: int, **changes: Any) -> ActivityRecord:
    made = Activity(
        f"a{number}", "monitor alarm fast in state ALARM", "Setting desired count to 2.", ActivityStatus.SUCCESSFUL,
        NOW - timedelta(minutes=number), before=1, desired=2,
    )  # fmt: skip
    return ActivityRecord("fraud", "AllTraffic", Dimension.INSTANCES, replace(made, **changes))


def test_what_scaling_did_is_told_with_its_reason_and_what_changed_nothing_is_not() -> None:
    refused = scaled(0, not_scaled=(NotScaledReason(NotScaledCode.AT_MAXIMUM, 4),))
    rows = activity_rows([refused, *(scaled(number) for number in range(1, 9))])
    assert len(rows) == SHOWN
    assert rows[0]["why"] == "monitor alarm fast in state ALARM" and rows[0]["change"] == "1 to 2"
    failed = activity_rows([scaled(1, status=ActivityStatus.FAILED, message="no room")])
    assert failed[0]["tone"] == "bad" and failed[0]["message"] == "no room"


def test_rules_are_named_with_the_alarms_that_ring_and_a_suspension_is_said() -> None:
    rule = {
        **{"name": "fast", "kind": "target tracking"},
        "alarms": [{"name": "high", "state": "ALARM"}, {"name": "low", "state": "OK"}],
    }
    target = {
        **{"variant": "AllTraffic", "min": 1, "max": 4, "desired": 2, "ready": 1, "running": None},
        "dimension": str(Dimension.INSTANCES),
        **{"policies": [rule], "suspended": {"in": True, "out": False, "scheduled": False}},
    }
    (row,) = target_rows([target])
    assert row["rules"] == [{"name": "fast", "kind": "target tracking", "ringing": ["high"]}]
    assert row["held"] == "does not scale in"
    parts: Any = TEMPLATES.get_template("scaling_card.html").module
    page = {"scaling": [row], "scaled": activity_rows([scaled(1, cause=HOSTILE)])}
    shown = str(parts.card(page))
    assert "1 to 4 instances, by autoscaling" in str(parts.printed(page))
    assert "alarm high rings" in shown and "1 to 2 instances" in shown and HOSTILE not in shown
    assert "Nothing yet." in str(parts.card({**page, "scaled": []}))
