"""``status --watch``: a line for each change in a pipe, one picture in its place on a terminal."""

import json
import os
import subprocess
import sys
from typing import Any

from rich.console import Console

from tests.unit.cli.stub_server import activity_document, endpoint_document, found, stub
from tests.unit.cli.terminal import run_on_terminal
from tidegate.cli.watch_status import StatusSnapshot, render_look

NAME = "payroll-fraud-eu"
PROGRAM = [sys.executable, "-m", "tidegate.cli", "status"]


class Played(dict[str, tuple[int, bytes]]):
    """The answers of one look after the other; the last one stays."""

    def __init__(self, answers: list[tuple[int, bytes]]) -> None:
        super().__init__()
        self.left = answers

    def get(self, path: str, default: Any = None) -> Any:
        if path.endswith("/live"):
            return found({"fleets": [activity_document(f"{NAME}-1e6283f8")]})
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def document(share: float, **more: Any) -> tuple[int, bytes]:
    shown = endpoint_document(NAME)
    return found({**shown, "rollout": {**shown["rollout"], "share": {"now": share, "next": None}}, **more})


GONE = (404, json.dumps({"error": {"code": "NotFound", "message": "there is none"}}).encode())
SILENT = (503, b"<html>no server</html>")
SAME = document(25.0)
STORY = [SAME, SAME, SILENT, SILENT, document(50.0), GONE]


def test_in_a_pipe_each_change_is_a_document_and_silence_a_remark() -> None:
    with stub(Played(STORY[:])) as (url, _):
        given = {**os.environ, "TIDEGATE_URL": url}
        done = subprocess.run(
            [*PROGRAM, NAME, "--watch", "--json"], capture_output=True, text=True, env=given, timeout=300
        )
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["rollout"]["share"]["now"] for line in lines] == [25.0, 50.0]
    assert all(line["at"] and line["live"] for line in lines)
    told = done.stderr.splitlines()
    assert "answered 503 without a reason" in told[0] and told[1].endswith("it answers again")
    assert told[2:] == [f'tidegate: endpoint "{NAME}" is gone']


def test_on_a_terminal_one_picture_stays_in_its_place_and_says_how_old_it_is() -> None:
    with stub(Played(STORY[:])) as (url, _):
        status, screen, sent = run_on_terminal([*PROGRAM, NAME, "--watch"], {"TIDEGATE_URL": url})
    assert status == 1
    assert screen.text.count("╭") == 1
    assert "50 % new" in screen.text and "25 % new" in sent
    assert "as of " in sent and "answered 503" in sent and "as of " not in screen.visible


def test_a_list_that_is_higher_than_the_terminal_says_what_it_leaves_out() -> None:
    screen = Console(width=80, height=20, force_terminal=True, color_system=None)
    look = StatusSnapshot([{**endpoint_document(f"e-{number:02}"), "why": ""} for number in range(40)])
    with screen.capture() as captured:
        screen.print(render_look(look, screen, "as of 12:00:00: nothing answers"))
    lines = captured.get().splitlines()
    assert len(lines) < 20 and "e-00" in captured.get()
    assert "more lines: 'tidegate status' shows all" in lines[-2]
    assert lines[-1].startswith("as of 12:00:00: nothing answers")
