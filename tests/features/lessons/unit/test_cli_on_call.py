"""The commands of somebody on call: merged logs, an emptied queue, a resumed job, live challenges."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.cli.stub_server import API, found, stub
from tidegate.cli.app import app
from tidegate.domain.errors import TidegateError
from tidegate.features.lessons.command import describe_challenge

ENDED = {"name": "incident", "run": "r", "verdict": "shown", "said": "it was rolled back", "removing": False}


def run(*arguments: str, **variables: str) -> Any:
    given = {"AWS_ACCESS_KEY_ID": None, "COLUMNS": "100", "TZ": "UTC", **variables}
    return CliRunner().invoke(app, arguments, env=given)


def refusal(*arguments: str, **variables: str) -> str:
    done = run(*arguments, **variables)
    assert isinstance(done.exception, TidegateError), done.output
    return done.exception.message


def line(replica: str, at: str | None, of: str, text: str) -> dict[str, Any]:
    return {"at": at, "at_of": of, "replica": replica, "variant": "v", "generation": 1, "line": text}


def test_merged_logs_say_which_instance_and_of_what_a_time_is() -> None:
    told = {
        "searched": 9,
        "unread": 1,
        "matching": 4,
        "replicas": [{"replica": "r-1111111111"}, {"replica": "r-2222222222"}],
        "lines": [
            line("r-1111111111", None, "last write", "a"),
            line("r-2222222222", "2030-01-01T12:00:00+00:00", "last write", "b"),
            line("r-1111111111", "2030-01-01T12:00:01+00:00", "line", "c"),
        ],
    }
    with stub({f"{API}/endpoints/e/logs/lines": found(told)}) as (url, seen):
        done = run("logs", "e", "--merge", "--find", "a b&c", "--tail", "3", TIDEGATE_URL=url)
    first, second, third = done.stdout.splitlines()
    assert first.endswith(" r-111111 | a") and not first.strip().startswith(("<", "2"))
    assert second.startswith("<20") and second.endswith(" r-222222 | b")
    assert third.startswith(" 20") and third.endswith(" r-111111 | c")
    assert "the last 3 of 4 lines, of 9 that were searched" in done.output
    assert "1 older logs were not read" in done.output
    assert "find=a+b%26c" in seen[0]["path"] and "limit=3" in seen[0]["path"]


@pytest.mark.parametrize("options", [("--find", "x"), ("--merge", "--follow")])
def test_options_that_do_not_go_together_are_refused(options: tuple[str, ...]) -> None:
    assert refusal("logs", "e", *options).startswith("--find goes with --merge")


def test_a_queue_is_emptied_after_a_question_or_by_yes_alone() -> None:
    waiting = {"backlog": {"waiting": 12, "working": 0, "oldest": 1.0}, "requests": [{"accepted_at": 5.0}]}
    emptied = {"endpoint": "e", "emptied": 12, "backlog": waiting["backlog"]}
    answers = {f"{API}/endpoints/e/queue": found(waiting), f"{API}/endpoints/e/queue/empty": found(emptied)}
    with stub(answers) as (url, seen):
        assert refusal("queue", "show", "e", "--empty", TIDEGATE_URL=url) == (
            "12 waiting requests of e would fail: say --yes where there is no terminal"
        )
        assert [one["method"] for one in seen] == ["GET"]
        done = run("queue", "show", "e", "--empty", "--yes", "--reason", "a test", TIDEGATE_URL=url)
    assert done.stdout == "e: 12 requests taken out of the queue\n"
    assert seen[-1]["path"].endswith("/queue/empty") and json.loads(seen[-1]["body"])["reason"] == "a test"


def test_a_challenge_is_started_and_shown_by_its_outcome() -> None:
    answer = (201, json.dumps(ENDED).encode())
    with stub({f"{API}/lessons/incident/start": answer, f"{API}/lessons/incident": answer}) as (url, seen):
        done = run("learn", "start", "incident", "--reason", "a look", TIDEGATE_URL=url)
        shown = run("learn", "show", "incident", "--json", TIDEGATE_URL=url)
    assert done.stdout == "incident: shown: it was rolled back\n" and json.loads(shown.stdout) == ENDED
    assert json.loads(seen[0]["body"])["reason"] == "a look" and seen[0]["method"] == "POST"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"run": None, "verdict": None}, "incident: not run yet"),
        (
            {"verdict": None, "endpoint": "e", "by": "ada", "begun_at": "now"},
            "under way on e, begun by ada at now",
        ),
        ({"removing": True}, "; its endpoint is being removed"),
    ],
)
def test_a_challenge_that_has_shown_nothing_says_so(more: dict[str, Any], text: str) -> None:
    assert text in describe_challenge({**ENDED, **more})


def test_a_search_that_finds_nothing_says_in_how_much() -> None:
    told = {"searched": 812, "matching": 0, "unread": 0, "replicas": [{"replica": "r-1111111111"}], "lines": []}
    with stub({f"{API}/endpoints/e/logs/lines": found(told)}) as (url, _):
        done = run("logs", "e", "--merge", "--find", "x", TIDEGATE_URL=url)
    assert done.exit_code == 0 and done.output == "none of the 812 lines that were searched has it\n"


@pytest.mark.parametrize("merged", [True, False])
def test_no_line_of_a_log_reaches_the_terminal_as_a_command(merged: bool) -> None:
    text = "\x1b[1;31mred\x1b[0m \x1b]52;c;aGk=\x07\x9b2J\x00\ttab \x7f"
    lines = {"searched": 1, "matching": 1, "unread": 0, "replicas": [{"replica": "r-1"}]}
    lines["lines"] = [line("r-1", None, "line", text)]
    every = {"replicas": [{"replica": "r-1", "lines": [text]}]}
    answers = {f"{API}/endpoints/e/logs/lines": found(lines), f"{API}/endpoints/e/logs": found(every)}
    with stub(answers) as (url, _):
        done = run("logs", "e", *(["--merge"] if merged else []), TIDEGATE_URL=url)
    assert done.stdout.endswith("r-1 | red \u241b]52;c;aGk=\u2407\ufffd2J\u2400\ttab \u2421\n")


def test_what_arrives_while_an_empty_queue_is_asked_about_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    none = {"backlog": {"waiting": 0, "working": 0, "oldest": None}, "requests": []}
    emptied = {"endpoint": "e", "emptied": 0, "backlog": none["backlog"]}
    answers = {f"{API}/endpoints/e/queue": found(none), f"{API}/endpoints/e/queue/empty": found(emptied)}
    monkeypatch.setattr("tidegate.features.asynchronous.command._is_terminal", lambda: True)
    with stub(answers) as (url, seen):
        done = CliRunner().invoke(app, ["queue", "show", "e", "--empty"], input="y\n", env={"TIDEGATE_URL": url})
    assert done.exit_code == 0, done.output
    assert json.loads(seen[-1]["body"])["through"] == 0.0
