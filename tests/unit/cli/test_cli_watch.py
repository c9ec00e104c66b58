"""The live panel of a rollout on a terminal: it fits, stays in its place, and ends whole."""

import sys
from typing import Any

import pytest
from rich.console import Console

from tests.unit.cli.stub_server import AT, activity_document, endpoint_document, found, stub
from tests.unit.cli.terminal import run_on_terminal
from tidegate.cli.status_panel import fit_status

NAME = "payroll-fraud-eu"
OLD, NEW = f"{NAME}-1e6283f8", f"{NAME}-8c2f11aa"
SIZES = [(80, 24), (40, 24), (40, 18), (120, 50)]


def event(number: int) -> dict[str, Any]:
    message = f"shifting {number * 20} % of the traffic to {NEW}, stage {number} of 4, which waits for an hour"
    return {"seq": number, "at": AT, "kind": "rollout.ActivatingTraffic", "message": message, "data": {}}


class Recorded(dict[str, tuple[int, bytes]]):
    """A rollout of four stages, one further with each frame, and then over."""

    stage = 1

    def get(self, path: str, default: Any = None) -> Any:
        if path.endswith("/events"):
            return found({"events": [event(self.stage)] if self.stage < 5 else [], "next": self.stage})
        if path.endswith("/live"):
            self.stage += 1
            return found({"fleets": [activity_document(OLD)]})
        document = endpoint_document(NAME)
        if self.stage < 5:
            share = {"now": 20.0 * self.stage, "next": 100.0}
            rollout = {**document["rollout"], "stage": self.stage, "stages": 4, "share": share, "paused": None}
            return found({**document, "status": "Updating", "rollout": rollout})
        return found({**document, "status": "InService", "rollout": None, "config": NEW, "why": "all is well"})


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 24)])
def test_a_watched_rollout_is_one_panel_that_follows_it_to_its_end(columns: int, rows: int) -> None:
    command = [sys.executable, "-m", "tidegate.cli", "rollout", "watch", NAME]
    with stub(Recorded()) as (url, _):
        status, screen, sent = run_on_terminal(command, {"TIDEGATE_URL": url}, columns=columns, rows=rows)
    assert status == 0, sent
    assert [f"{share} % new" for share in (20, 40, 60, 80) if f"{share} % new" not in sent] == []
    lines = screen.text.strip("\n").splitlines()
    assert [len(lines), screen.text.count("╭")] == [len(lines), 1], "nothing is left of the frames before"
    assert lines[0].startswith("╭") and lines[-1] == f"╰{'─' * (columns - 2)}╯"
    assert [line for line in lines[1:-1] if not (line[0] == line[-1] == "│" and len(line) == columns)] == []
    plain = " ".join(screen.text.replace("│", " ").split())
    for text in (NAME, "InService", "all is well", "ActivatingTraffic", "stage 4 of 4"):
        assert text in plain
    assert "\x1b[?25h" in sent, "the cursor is shown again"


@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize("events", [0, 8])
def test_a_live_panel_is_no_higher_than_the_terminal(columns: int, rows: int, events: int) -> None:
    screen = Console(width=columns, height=rows, force_terminal=True, color_system=None)
    document, known = endpoint_document(NAME), [event(number) for number in range(events)]
    with screen.capture() as captured:
        screen.print(fit_status(document, [activity_document(OLD)], known, screen))
    lines = captured.get().splitlines()
    assert len(lines) < rows and {len(line) for line in lines} == {columns}
    plain = " ".join(captured.get().replace("│", " ").split())
    for text in (NAME, "UpdateRollbackFailed", "75 % new", "stage 10 of 10", "paused by ann", "INSUFFICIENT_DATA"):
        assert text in plain
    assert "which has 11 of 12 instances ready" in plain
    assert ("stage 7 of 4" in plain or "shifting 140 %" in plain) == bool(events)


def test_a_larger_terminal_shows_more() -> None:
    heights = []
    for columns, rows in ((40, 16), (80, 24), (120, 50)):
        screen = Console(width=columns, height=rows, force_terminal=True, color_system=None)
        known = [event(number) for number in range(8)]
        with screen.capture() as captured:
            screen.print(fit_status(endpoint_document(NAME), [activity_document(OLD)], known, screen))
        heights.append(captured.get().count("shifting "))
    assert heights[-1] == 8 and heights[-1] > heights[0]
