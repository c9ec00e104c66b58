"""Answers to copies that another version's workers send."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from tidegate.domain.fleet import FleetId
from tidegate.domain.worker_stats import LONGEST_JUDGED
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, Done, ModelFailed, Outcome, Rejected, Stream
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.engines.pipeline import Pipeline, PipelineStage
from tidegate.serving.front.connection import Connection, Request
from tidegate.serving.front.pair_page import MOST_COPIES, PER_SECOND, QUIET, SHARE, PairPage
from tidegate.serving.front.pairs import BEYOND
from tidegate.serving.front.responses import Responses

SPEC = ReplicaSpec(
    replica="r",
    fleet=FleetId("e", 2, "main"),
    config_name="e-2",
    containers=(ContainerSpec(runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir="/m"),),
    socket="/s",
)
PATH = b"/_tidegate/pair"


class Told:
    """A connection that keeps what it is told."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []

    def reply(self, response: bytes, close: bool) -> None:
        self.replies.append(response)

    @property
    def status(self) -> int:
        return int(self.replies[0].split()[1])

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.replies[0].partition(b"\r\n\r\n")[2])
        return found


class Engine:
    healthy = True

    def __init__(self, outcome: Outcome | None) -> None:
        self.outcome = outcome
        self.calls: list[tuple[Call, Done]] = []

    def submit(self, call: Call, done: Done) -> None:
        self.calls.append((call, done))
        if self.outcome is not None:
            done(self.outcome)

    async def close(self) -> None: ...


def ask(page: PairPage, engine: Engine | Pipeline | None, path: bytes = PATH, method: bytes = b"POST") -> Told:
    told = Told()
    fields = {b"content-type": b"text/csv"}
    request = Request(method, path, list(fields.items()), fields, None, b"1,2", 0, 0, True, True)
    told.was_copy = page.answer(engine, cast("Connection", told), request)  # type: ignore[attr-defined]
    return told


@dataclass
class Clients:
    """What a worker has to do for clients, and the time in seconds."""

    in_hand: int = 0
    answered: int = 0
    now: float = 1000.0

    def work(self) -> tuple[int, int]:
        return self.in_hand, self.answered

    def clock(self) -> float:
        return self.now


@pytest.fixture
def clients() -> Clients:
    return Clients()


@pytest.fixture
def page(clients: Clients) -> PairPage:
    return PairPage(SPEC, Responses(SPEC), clients.work, clients.clock)


NOTHING_SAID: dict[str, object] = {
    "prediction": None,
    "failed": False,
    "stages": [],
    "rows": 0,
    "numbers": [],
    "text": None,
}


def parts() -> AsyncIterator[bytes]:
    async def made() -> AsyncIterator[bytes]:
        yield b"0.5"

    return made()


@pytest.mark.parametrize(
    ("outcome", "prediction", "failed"),
    [
        (Answer(b"0.5", "text/csv"), 0.5, False),
        (Answer(b"nan", "text/csv"), None, False),
        (ModelFailed(500, "no"), None, True),
        (ModelFailed(400, "two columns"), None, True),
        (Rejected(400, "ValidationError", "no"), None, False),
    ],
)
async def test_what_the_model_says_is_the_answer(
    page: PairPage, outcome: Outcome, prediction: float | None, failed: bool
) -> None:
    told = ask(page, Engine(outcome))
    assert told.status == 200
    numbers = [[0, 0, prediction]] if isinstance(outcome, Answer) else []
    assert told.document == {
        "prediction": prediction, "failed": failed, "stages": [], "rows": len(numbers), "numbers": numbers,
        "text": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            Answer(b'{"choices": [{"message": {"content": "' + b"x" * 9_000 + b'"}}]}', "application/json"),
            "x" * (LONGEST_JUDGED + BEYOND),
        ),
        (Answer(b'[{"generated_text": "hello"}]', "application/json; charset=utf-8"), "hello"),
        (Answer(b"hello", "text/plain"), "hello"),
        (Answer(b"0.5", "text/csv"), None),
        (Answer(b"data: hello", "text/event-stream"), None),
        (ModelFailed(500, "no"), None),
    ],
)
async def test_the_beginning_of_a_text_is_said_where_it_was_asked_for(
    page: PairPage, answer: Outcome, text: str | None
) -> None:
    assert ask(page, Engine(answer), PATH + b"?text=1").document["text"] == text
    assert ask(page, Engine(answer)).document["text"] is None


async def test_a_stream_is_closed_and_has_no_prediction(page: PairPage) -> None:
    stream = parts()
    told = ask(page, Engine(Stream("text/csv", stream)))
    assert told.document == NOTHING_SAID
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_only_so_many_copies_are_answered_at_a_time(page: PairPage, clients: Clients) -> None:
    slow = Engine(None)
    waiting = [ask(page, slow) for _ in range(MOST_COPIES)]
    clients.now += 1
    assert ask(page, slow).status == 429
    call, done = slow.calls[0]
    done(Answer(b"1", "text/csv"))
    assert waiting[0].status == 200
    assert ask(page, Engine(Answer(b"1", "text/csv"))).status == 200
    page.gone(cast("Connection", waiting[1]))
    assert slow.calls[1][0].abandoned and not call.abandoned
    slow.calls[1][1](Answer(b"1", "text/csv"))
    assert waiting[1].replies == []


async def test_without_a_model_there_is_no_room_and_other_requests_are_no_copies(page: PairPage) -> None:
    assert ask(page, None).status == 429
    for path, method in ((b"/_tidegate/pairs", b"POST"), (PATH, b"GET"), (b"/invocations", b"POST")):
        told = ask(page, Engine(Answer(b"1", "text/csv")), path, method)
        assert not told.was_copy and told.replies == []  # type: ignore[attr-defined]


async def test_the_outputs_of_stages_are_shown_where_they_are_asked_for(page: PairPage) -> None:
    prepare = PipelineStage("prepare", Engine(Answer(b"3,x", "text/csv")), b"text/csv")
    model = PipelineStage("model", Engine(Answer(b"1", "text/csv")))
    pipeline = Pipeline([prepare, model], 1000, 5.0)
    assert ask(page, pipeline).document["stages"] == []
    found = ask(page, pipeline, PATH + b"?traced=1").document
    assert found["stages"] == [{"stage": "prepare", "names": ["0", "1"], "values": [3.0, "x"]}]
    assert found["prediction"] == 1


async def test_text_of_a_model_that_has_no_encoding_does_not_leave_a_copy_without_an_answer(
    page: PairPage,
) -> None:
    prepare = PipelineStage("prepare", Engine(Answer(rb'[["\ud800"]]', "application/json")), b"application/json")
    pipeline = Pipeline([prepare, PipelineStage("model", Engine(Answer(b"1", "text/csv")))], 1000, 5.0)
    assert ask(page, pipeline, PATH + b"?traced=1").document["stages"][0]["values"] == ["?"]


async def test_an_answer_that_cannot_be_read_is_missing_and_no_failure(
    page: PairPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a reader with a mistake")

    monkeypatch.setattr("tidegate.serving.front.pair_page.read_answer", broken)
    told = ask(page, Engine(Answer(b"1", "text/csv")))
    assert told.document == NOTHING_SAID


async def test_copies_are_turned_away_while_a_client_waits(page: PairPage, clients: Clients) -> None:
    good = Engine(Answer(b"1", "text/csv"))
    clients.in_hand = 1
    assert ask(page, good).status == 429
    assert good.calls == []
    clients.in_hand = 0
    assert ask(page, good).status == 200


async def test_a_replica_takes_so_many_copies_a_second_however_many_workers_send_them(
    page: PairPage, clients: Clients
) -> None:
    taken = 0
    for _ in range(10 * 400):
        clients.now += 1 / 400
        taken += ask(page, Engine(Answer(b"1", "text/csv"))).status == 200
    assert 10 * PER_SECOND <= taken <= 10 * PER_SECOND + MOST_COPIES


async def test_beside_clients_copies_come_one_at_a_time_and_take_a_small_share_of_the_time(
    page: PairPage, clients: Clients
) -> None:
    took, taken, since = 0.02, 0, clients.now
    while clients.now < since + 100:
        clients.answered += 1
        slow = Engine(None)
        if ask(page, slow).replies:
            clients.now += 0.01
            continue
        taken += 1
        assert ask(page, Engine(None)).status == 429, "one at a time"
        clients.now += took
        slow.calls[0][1](Answer(b"1", "text/csv"))
    assert 0.8 * SHARE < taken * took / 100 <= SHARE + took
    clients.now += QUIET
    waiting = [ask(page, Engine(None)) for _ in range(MOST_COPIES)]
    assert all(told.replies == [] for told in waiting), "no client came for a while"
