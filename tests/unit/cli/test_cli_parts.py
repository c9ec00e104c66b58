"""The commands' own small pieces."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tidegate.cli import draw
from tidegate.cli.alarms import format_condition
from tidegate.cli.artifacts import fingerprint
from tidegate.cli.logs import _new_lines
from tidegate.cli.platform import local_url
from tidegate.cli.status_panel import render_status
from tidegate.features.rehearse.rehearsal.simulation import TimelineMoment
from tidegate.features.rehearse.timeline_view import plot_share
from tidegate.settings import Settings

ALARM = {"name": "e-1-errors", "state": "ALARM", "reason": "too many [bold]", "since": "2026-01-01T00:00:00+00:00"}


def document(**more: Any) -> dict[str, Any]:
    fleet = {
        "fleet": "e/1/v",
        "side": "old",
        "variant": "v",
        "config": "e-1",
        "share": 75.0,
        "desired": 2,
        "ready": 2,
        "starting": 0,
        "draining": 0,
        "failure": None,
        "architecture": {"mode": "single", "containers": [{"name": "primary", "image": "tidegate/xgboost"}]},
    }
    rollout = {
        "from": "e-1",
        "to": "e-2",
        "phase": "Baking",
        "stage": 1,
        "stages": 4,
        "share": {"now": 25.0, "next": 50.0},
        "paused": {"since": "2026-01-01T00:00:00+00:00", "by": "ann"},
        "bake_until": "2026-01-01T00:00:00+00:00",
        "reason": None,
        "conditions": [],
    }
    new = {**fleet, "side": "new", "config": "e-2", "share": 25.0, "failure": "no such file"}
    return {
        "name": "e",
        "status": "Updating",
        "why": "Baking",
        "config": "e-1",
        "rollout": rollout,
        "fleets": [fleet, new],
        "alarms": [ALARM],
        **more,
    }


def text(renderable: Any) -> str:
    console = Console(width=140, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"one")
    first = fingerprint(path)
    path.write_bytes(b"two")
    second = fingerprint(path)
    path.write_bytes(b"one")
    assert fingerprint(path) == first != second
    folder = fingerprint(tmp_path)
    (tmp_path / "more").write_bytes(b"")
    assert fingerprint(tmp_path) != folder


def test_the_picture_of_a_rollout_shows_all_that_matters() -> None:
    live = [
        {"config": "e-2", "variant": "v", "requests": 50.0, "rate": 10.0, "p50_ms": 1.0, "p99_ms": 9.25}
        | {"errors_5xx": 5.0, "errors_4xx": 0.0}
    ]
    event = {"at": "2026-01-01T00:00:00+00:00", "kind": "rollout.Baking", "message": "baking [x]", "seq": 1}
    shown = text(render_status(document(), live, [event], boxed=True))
    for wanted in ("25 % new", "next 50 %", "Baking, stage 1 of 4", "paused by ann", "9.2 ms", "no such file"):
        assert wanted in shown
    assert "too many [bold]" in shown and "baking [x]" in shown
    new_line = next(line for line in shown.splitlines() if "e-2" in line and "new" in line and "2/2" in line)
    assert "1.0" in new_line, "5 errors in 5 seconds"


def test_the_list_of_endpoints_shows_the_worst_alarm() -> None:
    quiet = {**ALARM, "state": "INSUFFICIENT_DATA"}
    shown = text(draw.endpoint_table([document(), document(name="f", alarms=[quiet], rollout=None)]))
    assert "Baking 1/4, 25 %, paused" in shown
    assert "ALARM" in shown and "INSUFFICIENT_DATA" in shown


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0s"), (69, "1m 09s"), (3_900, "1h 05m"), (90_000, "1d 01h"), (-5, "0s")]
)
def test_durations(seconds: float, said: str) -> None:
    assert draw.format_duration(seconds) == said


def test_elapsed_and_left() -> None:
    assert draw.format_elapsed(5_430.4) == "1:30:30"
    assert draw.format_elapsed(90_061) == "1d 1:01:01"
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert draw.format_time_left("2026-01-01T00:01:05+00:00", now) == "1m 05s"
    assert draw.format_time_left(None) == ""


def test_a_bar_shows_every_share_that_is_there() -> None:
    assert [len(span) for span in (draw.traffic_bar(0).plain, draw.traffic_bar(0.1).plain)] == [40, 40]
    assert draw.traffic_bar(0.1).spans[-1].end - draw.traffic_bar(0.1).spans[-1].start == 1
    assert draw.traffic_bar(99.9).spans[0].end == 1


def test_the_plot_rises_with_the_share() -> None:
    moments = [TimelineMoment(0, "Baking", 0, 1, 1, ()), TimelineMoment(50, "Baking", 5_000, 1, 1, ())]
    rows = [row.plain for row in plot_share(moments, 100)]
    assert rows[0].endswith(" " * 32)
    assert rows[4].endswith(" " * 32 + "█" * 32)
    assert rows[-1].strip().startswith("0:00:00") and rows[-1].endswith("0:01:40")


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ([], ["a"], ["a"]),
        (["a", "b"], ["a", "b"], []),
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["a", "b"], ["b", "c"], ["c"]),
        (["a"], ["x", "y"], ["x", "y"]),
    ],
)
def test_following_a_log_prints_each_line_once(before: list[str], now: list[str], new: list[str]) -> None:
    assert _new_lines(before, now) == new


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:1"), ("0.0.0.0", "http://127.0.0.1:1"), ("::", "http://[::1]:1")],
)
def test_the_address_that_this_machine_uses(host: str, url: str) -> None:
    assert local_url(Settings(host=host, port=1)) == url


def test_several_containers_are_shown_once_for_each_version() -> None:
    names = [{"name": "scaler", "image": "tidegate/sklearn"}, {"name": "trees", "image": "tidegate/xgboost"}]
    piped = {"architecture": {"mode": "serial", "containers": names}}
    old, new = document()["fleets"]
    shown = text(render_status(document(fleets=[old, {**new, **piped}]), [], [], boxed=True))
    assert shown.count("serial: scaler (tidegate/sklearn) -> trees (tidegate/xgboost)") == 1
    assert draw.architecture_table(document()) is None


@pytest.mark.parametrize(
    ("watched", "said"),
    [
        ({"statistic": "p99", "metric": "ModelLatency", "threshold": 20_000.0}, "p99 ModelLatency > 20 ms"),
        ({"statistic": "Sum", "metric": "Sales", "threshold": 0.5}, "Sum Sales > 0.5"),
        (
            {
                "statistic": "",
                "metric": "",
                "threshold": 4.0,
                "queries": [
                    {"id": "m1", "expression": "", "returned": False},
                    {"id": "e", "expression": "m1 / 2", "returned": True},
                ],
            },
            "m1 / 2 > 4",
        ),
    ],
)
def test_what_an_alarm_watches(watched: dict[str, Any], said: str) -> None:
    usual = {"comparison": "GreaterThanThreshold", "datapoints_to_alarm": 2, "evaluation_periods": 3, "period": 10}
    assert format_condition({**usual, **watched}) == f"{said}, 2 of 3 x 10s"


def test_the_cause_of_a_rollback_is_told_once() -> None:
    cause = "alarm(s) [errors] in ALARM state while baking"
    ended = document(why=f"Deployment rolled back: {cause}.", rollout=None)
    event = {
        "at": "2026-11-24T12:00:00+00:00",
        "kind": "rollback",
        "message": f"rolled back: {cause}",
    }
    shown = " ".join(text(render_status(ended, [], [event], boxed=False)).split())
    assert shown.count("alarm(s) [errors]") == 1
    assert " ".join(text(render_status(ended, [], [], boxed=False)).split()).count("alarm(s) [errors]") == 1
