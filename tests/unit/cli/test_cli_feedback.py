"""``tidegate labels feedback``: votes by inference id, and what is known by them."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tests.unit.cli.stub_server import found, stub
from tidegate.cli.app import app

PATH = "/tidegate/v1/endpoints/chat/labels"
COVERAGE = {"labelled": 200, "share": 0.05, "selective": False, "weighted": 0}
KNOWN = {
    "labels": {"joined": 200, "unknown id": 3, "too late": 0},
    "versions": [
        {
            "config": "chat-2",
            "variant": "AllTraffic",
            "kind": "feedback",
            "quality": {"pairs": 200, "approval": 0.875, "mean": 0.9},
            "coverage": COVERAGE,
            "delay_seconds": None,
            "weighted": False,
        }
    ],
    "comparisons": [],
}


def run(*arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(app, ["labels", "feedback", *arguments], env={"COLUMNS": "120", **environment})


def test_votes_are_posted_as_they_are_and_the_outcomes_are_said(tmp_path: Path) -> None:
    votes = tmp_path / "votes.jsonl"
    votes.write_text('{"id": "a", "label": "up"}\n{"id": "b", "label": 0.25}\nhalf a li\n')
    answer = {"received": 2, "outcomes": {"repeated": 1, "broken line": 1}}
    with stub({PATH: found(answer)}) as (url, seen):
        done = run("chat", str(votes), TIDEGATE_URL=url)
        as_json = run("chat", str(votes), "--json", TIDEGATE_URL=url)
    assert done.stdout == "2 votes are kept for endpoint chat (1 repeated, 1 broken line)\n"
    assert json.loads(as_json.stdout) == {"endpoint": "chat", **answer}
    assert json.loads(seen[0]["body"]) == {
        "kind": "feedback",
        "labels": [{"id": "a", "label": "up"}, {"id": "b", "label": 0.25}, None],
    }


def test_without_votes_it_says_the_approval_of_each_version() -> None:
    with stub({PATH: found(KNOWN)}) as (url, _):
        done = run("chat", TIDEGATE_URL=url)
        as_json = run("chat", "--json", TIDEGATE_URL=url)
    assert done.exit_code == 0, done.output
    assert "APPROVAL" in done.stdout and "AUC" not in done.stdout
    assert "87.5%" in done.stdout and "unknown id" in done.stdout
    assert json.loads(as_json.stdout) == KNOWN
