"""The last messages of failed requests: few, short, distinct, without personal data, and seldom in the log."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import msgspec
import pytest

from tidegate.domain.fleet import FleetId
from tidegate.domain.worker_stats import LONGEST_FAILURE, MOST_FAILURES
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Call, Done, ModelFailed
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.front.connection import Connection, Request
from tidegate.serving.front.failure_messages import LOG_EVERY, FailureMessages
from tidegate.serving.front.request_stats import encode_page
from tidegate.serving.front.server import Server

NOON = 1_800_000_000.0


def messages(kept: FailureMessages) -> list[str]:
    return [row["message"] for row in kept.rows()]


def test_the_last_distinct_messages_are_kept_the_last_one_first() -> None:
    kept = FailureMessages()
    for number, word in enumerate("abcdefa"):
        kept.note(500, f"column {word} is missing", NOON + number)
    assert messages(kept) == [f"500 column {word} is missing" for word in "afedc"][:MOST_FAILURES]


def test_messages_that_differ_in_numbers_alone_are_one() -> None:
    kept = FailureMessages()
    for row in range(15):
        kept.note(400, f"row {row}: value {row * 7}.5 is out of range", NOON)
    (one,) = kept.rows()
    assert (one["message"], one["count"]) == ("400 row 0: value 0.5 is out of range", 15)


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ("no such user: jane.doe@example.com", "jane.doe@example.com"),
        ("cannot convert '078-05-1120' to a float", "078-05-1120"),
        ("bad account DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
        ("call +44 20 7946 0958 is not a number", "+44 20 7946 0958"),
    ],
)
def test_what_detectors_find_is_masked(said: str, hidden: str) -> None:
    lines = list[str]()
    kept = FailureMessages(lines.append)
    kept.note(500, said, NOON)
    assert hidden not in messages(kept)[0] and hidden not in lines[0]
    assert "[" in messages(kept)[0]


def test_a_sentence_about_a_column_stays_readable() -> None:
    kept = FailureMessages()
    kept.note(500, "KeyError: \"['income'] not in index\"", NOON)
    assert messages(kept) == ["500 KeyError: \"['income'] not in index\""]


def test_a_message_is_one_short_printable_line() -> None:
    kept = FailureMessages()
    kept.note(500, "first\nsecond\x1b[31m\ud800" + " word" * 10_000, NOON)
    (said,) = messages(kept)
    assert said.startswith("500 first second?[31m?") and len(said) == LONGEST_FAILURE and said.isprintable()
    encode_page(
        {"replica": "r", "now": NOON, "in_flight": 0, "answered": 0, "seconds": [], "failures": kept.rows()}
    )


def test_the_log_has_each_message_once_a_minute_with_its_number() -> None:
    lines = list[str]()
    kept = FailureMessages(lines.append)
    for second in range(int(LOG_EVERY) + 1):
        kept.note(500, "column income is missing", NOON + second)
    assert lines == [
        "a request failed: 500 column income is missing",
        "60 requests failed: 500 column income is missing",
    ]
    kept.note(500, "column income is missing", NOON - 3_600)
    assert len(lines) == 3, "a clock that was set back silences nothing"


def test_a_flood_of_different_messages_costs_little() -> None:
    lines = list[str]()
    kept = FailureMessages(lines.append)
    for number in range(10_000):
        kept.note(500, "x" * (number % 200 + 1), NOON)
    assert len(lines) == MOST_FAILURES == len(kept.rows())


class Failing:
    healthy = True

    def submit(self, call: Call, done: Done) -> None:
        done(ModelFailed(500, "KeyError: 'income'"))

    async def close(self) -> None: ...


class Client:
    def reply(self, response: bytes, close: bool) -> None:
        assert response.startswith(b"HTTP/1.1 424")


def test_a_worker_reports_and_logs_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    async def story() -> dict[str, Any]:
        with TemporaryDirectory(prefix="tg-") as folder:
            container = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.PROGRAM, ("true",)), model_dir=folder)
            spec = ReplicaSpec(
                replica="r-1",
                fleet=FleetId("fraud", 1, "main"),
                config_name="v1",
                containers=(container,),
                socket=f"{folder}/s",
            )
            server = Server(spec, Path(folder))
            server.engine = Failing()
            request = Request(b"POST", b"/invocations", (), {}, None, b"1", 1, 1, True, True)
            for _ in range(27):
                server.serve(cast(Connection, Client()), request)
            page = server._stats.page("r-1", NOON, 0, 0, 2**40)
            return dict(msgspec.json.decode(encode_page(page)))

    page = asyncio.run(story())
    ((message, count),) = [(row["message"], row["count"]) for row in page["failures"]]
    assert message == "500 KeyError: 'income'" and count == 27
    assert capsys.readouterr().out.count("a request failed: 500 KeyError: 'income'") == 1
