"""Autoscaling with its reasons and the queue with its failures, as an endpoint's page shows them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tidegate.console.endpoint_parts import emptying
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.asynchronous import Backlog, Item, ItemOutcome, ItemState, OutcomeKind
from tidegate.domain.scaling import Activity, ActivityStatus, Dimension, NotScaled, NotScaledReason
from tidegate.features.asynchronous.queue_rows import SHOWN_FAILURES, queue_view
from tidegate.features.autoscaling.rows import SHOWN, activity_rows, target_rows
from tidegate.features.autoscaling.scalable_records import ActivityRecord
from tidegate.ports.queue import QueueRow

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"


def scaled(number: int, **changes: Any) -> ActivityRecord:
    made = Activity(
        f"a{number}", "monitor alarm fast in state ALARM", "Setting desired count to 2.", ActivityStatus.SUCCESSFUL,
        NOW - timedelta(minutes=number), before=1, desired=2,
    )  # fmt: skip
    return ActivityRecord("fraud", "AllTraffic", Dimension.INSTANCES, replace(made, **changes))


def ended(number: int, end: OutcomeKind, reason: str = "") -> QueueRow:
    item = Item(f"r{number}", "ocr", f"r{number}", 0.0, 1.0, 60.0, "file:///out", "file:///failed")
    return QueueRow(item, ItemState.DONE, 1, ItemOutcome(end, NOW.timestamp() - 120, reason))


def test_what_scaling_did_is_told_with_its_reason_and_what_changed_nothing_is_not() -> None:
    refused = scaled(0, not_scaled=(NotScaledReason(NotScaled.AT_MAXIMUM, 4),))
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
        **{"policies": [rule], "suspended": {"in": True, "out": False, "scheduled": False}},
    }
    (row,) = target_rows([target])
    assert row["rules"] == [{"name": "fast", "kind": "target tracking", "ringing": ["high"]}]
    assert row["held"] == "does not scale in"
    parts: Any = TEMPLATES.get_template("endpoint_parts.html").module
    page = {"scaling": [row], "scaled": activity_rows([scaled(1, cause=HOSTILE)])}
    shown = str(parts.scaling(page))
    assert "alarm high rings" in shown and "1 to 2 instances" in shown and HOSTILE not in shown
    assert "Nothing yet." in str(parts.scaling({**page, "scaled": []}))


def test_failed_requests_of_a_queue_are_counted_and_told_with_their_reasons() -> None:
    latest = [
        ended(0, OutcomeKind.COMPLETED),
        *(ended(number, OutcomeKind.FAILED, HOSTILE) for number in range(1, 8)),
        ended(9, OutcomeKind.EXPIRED),
        replace(ended(10, OutcomeKind.FAILED), outcome=None, state=ItemState.WAITING),
    ]
    view = queue_view(Backlog(3, 1, NOW.timestamp() - 600), latest, NOW)
    assert (view["waiting"], view["oldest"], view["failed"], view["ended"]) == (3, "10 min ago", 8, 9)
    assert len(view["failures"]) == SHOWN_FAILURES
    parts: Any = TEMPLATES.get_template("endpoint_parts.html").module
    shown = str(parts.queue({"queue": view, "emptying": emptying("fraud", view)}))
    assert "3 waiting requests of fraud fail" in shown
    assert "8 of the last 9" in shown and "&lt;script&gt;" in shown and HOSTILE not in shown


def test_an_idle_queue_has_no_failures_and_no_age() -> None:
    view = queue_view(Backlog(), [], NOW)
    assert (view["failed"], view["oldest"], view["failures"]) == (0, "", [])
    assert emptying("fraud", view) is None
