"""Questions to a judge over HTTP: how many, how many at a time, and what a judge gives that is slow or strange."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from tests.proxy_harness import read_message
from tidegate.domain.errors import Invalid, Transient
from tidegate.domain.evidence import Judging, Sums
from tidegate.domain.pairs import Pair
from tidegate.domain.registry import SecretReference
from tidegate.features.evidence.judge_questions import AT_ONCE, LARGEST, JudgeQuestions, make_asking
from tidegate.settings import Settings

Answering = Callable[[bytes, bytes], Awaitable[bytes]]
"""From the head and the body of a question to a whole response."""


def http(status: int, body: bytes, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\n{more}content-length: {len(body)}\r\n\r\n".encode() + body


def verdict(letter: str) -> bytes:
    content = json.dumps({"better": letter})
    return http(200, json.dumps({"choices": [{"message": {"content": content}}]}).encode())


@contextlib.asynccontextmanager
async def judge(answer: Answering) -> AsyncIterator[str]:
    """The address of a judge on loopback."""
    tasks = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (message := await read_message(reader)) is not None:
                writer.write(await answer(*message))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def pairs(count: int, first: int = 1) -> list[Pair]:
    return [
        Pair(None, None, key, texts=(f"question {key}", f"old {key}", f"new {key}"))
        for key in range(first, first + count)
    ]


def equal(count: int, first: int) -> list[Pair]:
    return [
        Pair(None, None, key, texts=(f"question {key}", "same", "same")) for key in range(first, first + count)
    ]


async def all_answered(questions: JudgeQuestions) -> None:
    async with asyncio.timeout(300):
        while questions._waiting:
            await asyncio.sleep(0.005)


async def settled(questions: JudgeQuestions) -> dict[str, Sums]:
    """The sums of everything that was asked, once all answers are there."""
    await all_answered(questions)
    return questions.take().get("main", {})


def asking(url: str, *, asks: int = 100, timeout: float = 300.0, **settings: object) -> JudgeQuestions:
    judging = Judging(url, "m", {"authorization": SecretReference("token")} if settings else {}, asks)
    return JudgeQuestions("e", judging, make_asking(Settings(**settings), timeout), Random(1))  # type: ignore[arg-type]


async def test_a_judge_is_asked_with_its_secret_and_each_request_once(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer hidden-key")
    heads = list[bytes]()

    async def answer(head: bytes, body: bytes) -> bytes:
        heads.append(head)
        shown = json.loads(body)["messages"][1]["content"]
        return verdict("A" if shown.index("old") < shown.index("new") else "B")

    async with judge(answer) as url:
        questions = asking(f"{url}/base", secrets=tmp_path)
        questions.offer("main", pairs(AT_ONCE))
        assert questions.asked == {"main": 1}, "one at a time until one was answered"
        await all_answered(questions)
        for first in range(1, 21, AT_ONCE):
            questions.offer("main", pairs(AT_ONCE, first) * 2)
            await all_answered(questions)
        questions.offer("main", pairs(AT_ONCE))
        assert questions.asked == {"main": 20}, "what was judged is not judged again"
    found = questions.take()["main"]
    assert found["questions"] == (20, 0.0, 0.0)
    assert found["pairs"] == (20, 20.0, 20.0)
    assert found["old preferred"] == (20, 20.0, 20.0), "whatever the order was"
    assert 0 < found["first"][1] < 20, "both orders came"
    assert all(b"POST /base/v1/chat/completions " in head and b"Bearer hidden-key" in head for head in heads)


async def test_no_more_is_asked_than_the_spec_allows_nor_of_equal_answers() -> None:
    async def answer(head: bytes, body: bytes) -> bytes:
        return verdict("C")

    async with judge(answer) as url:
        questions = asking(url, asks=6)
        for first in (1, 11, 21):
            questions.offer("main", [*pairs(4, first), Pair(0.5, 0.5, first + 8)])
            await all_answered(questions)
        questions.offer("main", equal(1, 99))
        questions.offer("other", equal(1, 99))
        found = questions.take()
    assert questions.asked == {"main": 6}
    assert found["main"]["questions"][0] == 6
    assert found["main"]["old preferred"] == (6, 3.0, 1.5), "no tie counts once the questions are spent"
    assert found["other"] == {"old preferred": (1, 0.5, 0.25)}, "equal answers are a tie that costs nothing"


async def test_equal_answers_count_only_while_others_would_be_judged() -> None:
    async def answer(head: bytes, body: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with judge(answer) as url:
        questions = asking(url)
        questions._most = AT_ONCE
        questions.offer("main", [*equal(2, 101), *pairs(AT_ONCE), *equal(50, 201), *pairs(50, 301)])
        found = questions.take()
        questions.stop()
    assert found == {"main": {"old preferred": (2, 1.0, 0.5)}}


@pytest.mark.parametrize("fault", [RuntimeError("unforeseen"), None])
async def test_a_question_counts_whatever_came_of_it(fault: Exception | None) -> None:
    async def ask(judging: Judging, body: bytes) -> bytes:
        if fault is not None:
            raise fault
        return b'{"choices": [{"message": {"content": "\xff"}}]}'

    questions = JudgeQuestions("e", Judging("http://judge", "m"), ask, Random(1))
    questions.offer("main", pairs(1))
    assert await settled(questions) == {"questions": (1, 0.0, 0.0), "pairs": (1, 0.0, 0.0)}


async def test_a_slow_judge_has_few_questions_at_a_time_and_they_end(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(head: bytes, body: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with judge(answer) as url:
        questions = asking(url, timeout=0.05)
        questions.offer("main", pairs(1))
        await all_answered(questions)
        questions.offer("main", pairs(50))
        assert questions.asked == {"main": 1 + AT_ONCE}
        found = await settled(questions)
    assert found == {"questions": (1 + AT_ONCE, 0.0, 0.0), "pairs": (1 + AT_ONCE, 0.0, 0.0)}
    assert [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING] == [
        f"endpoint e: the judge at {url}: no answer within 0.05 s"
    ]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (http(500, b"hidden-key is wrong"), "it was answered with 500"),
        (http(302, b"", "location: http://169.254.169.254/\r\n"), "it was answered with 302"),
        (http(200, b"x" * (LARGEST + 1)), "larger than"),
        (http(200, b"<html>"), "its answer is no verdict"),
        (b"\0", "judge at"),
    ],
)
async def test_an_answer_that_is_no_verdict_is_no_evidence(
    reply: bytes, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "token").write_text("hidden-key")

    async def answer(head: bytes, body: bytes) -> bytes:
        return reply if reply != b"\0" else b"nonsense\r\n\r\n"

    async with judge(answer) as url:
        questions = asking(url, secrets=tmp_path)
        questions.offer("main", pairs(1))
        found = await settled(questions)
    assert found == {"questions": (1, 0.0, 0.0), "pairs": (1, 0.0, 0.0)}
    assert said in caplog.text
    assert "hidden-key" not in caplog.text
    assert "question 1" not in caplog.text


async def test_a_judge_that_must_not_be_asked_is_not(caplog: pytest.LogCaptureFixture) -> None:
    ask = make_asking(Settings())
    for url in ("http://169.254.169.254", "http://metadata.google.internal"):
        with pytest.raises(Invalid, match="never asked"):
            await ask(Judging(url, "m"), b"{}")
    with pytest.raises(Transient):
        await ask(Judging("http://127.0.0.1:1", "m"), b"{}")


async def test_what_is_asked_ends_with_the_rollout() -> None:
    async def answer(head: bytes, body: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with judge(answer) as url:
        questions = asking(url)
        questions._most = AT_ONCE
        questions.offer("main", pairs(3))
        questions.stop()
        assert await settled(questions) == {}


async def test_a_judge_that_does_not_answer_is_asked_one_question_at_a_time_after_a_pause() -> None:
    now = 0.0

    async def ask(judging: Judging, body: bytes) -> bytes:
        nonlocal now
        now += 5.0
        raise Transient("no answer within 5 s")

    questions = JudgeQuestions("e", Judging("http://judge", "m"), ask, Random(1), clock=lambda: now)
    for expected in (1, 1, 2):
        questions.offer("main", pairs(AT_ONCE, 10 * expected))
        await all_answered(questions)
        assert questions.asked == {"main": expected}
        now += 6.0
