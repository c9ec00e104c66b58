"""Requests that are there are scored together, and never mixed."""

import asyncio
from collections.abc import Sequence

from tidegate.serving.contract.invocation import GONE, Answer, Call, ModelFailed, Outcome
from tidegate.serving.scoring.batching import LARGE, Batcher


class Doubler:
    """A scorer (a fake of a model): doubles numbers, fails on a body of ``bad`` or with a row of 13."""

    def __init__(self, batches: bool = True) -> None:
        self.batches = batches
        self.calls: list[list[list[int]]] = []

    def parse(self, call: Call) -> list[int]:
        if call.body.startswith(b"bad"):
            raise ModelFailed(400, "bad")
        return [int(part) for part in call.body.split()]

    def size(self, rows: list[int]) -> int:
        return len(rows)

    def score(self, requests: Sequence[list[int]]) -> list[list[int]]:
        self.calls.append(list(requests))
        if any(13 in rows for rows in requests):
            raise ZeroDivisionError("thirteen")
        return [[row * 2 for row in rows] for rows in requests]

    def count(self, scores: list[int]) -> int:
        return len(scores)

    def render(self, scores: list[int], call: Call) -> Answer:
        return Answer(" ".join(map(str, scores)).encode(), "text/plain")


class Waiting:
    """Calls in order, and what they came to."""

    def __init__(self, engine: Batcher[list[int], list[int]]) -> None:
        self.engine = engine
        self.futures: list[asyncio.Future[Outcome]] = []

    def submit(self, body: bytes) -> Call:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        call = Call(body, {})
        self.engine.submit(call, future.set_result)
        return call

    async def outcomes(self) -> list[Outcome]:
        return await asyncio.wait_for(asyncio.gather(*self.futures), 300)


def run(scorer: Doubler, *bodies: bytes, cap: int = 64) -> list[Outcome]:
    async def main() -> list[Outcome]:
        waiting = Waiting(Batcher(scorer, asyncio.get_running_loop(), cap))
        for body in bodies:
            waiting.submit(body)
        return await waiting.outcomes()

    return asyncio.run(main())


def answer(*values: int) -> Answer:
    return Answer(" ".join(map(str, values)).encode(), "text/plain")


def failed(outcome: Outcome) -> tuple[int, str]:
    assert isinstance(outcome, ModelFailed)
    return outcome.status, outcome.message


def test_what_arrives_in_one_turn_is_one_call() -> None:
    scorer = Doubler()
    assert run(scorer, b"1", b"2 3", b"4") == [answer(2), answer(4, 6), answer(8)]
    assert scorer.calls == [[[1], [2, 3], [4]]]


def test_a_call_takes_no_more_than_the_cap() -> None:
    scorer = Doubler()
    run(scorer, b"1", b"2 3", b"4", b"5 6 7 8 9", b"10", cap=3)
    assert scorer.calls == [[[1], [2, 3]], [[4]], [[5, 6, 7, 8, 9]], [[10]]]


async def test_what_queues_while_a_call_runs_is_the_next_one() -> None:
    scorer = Doubler()
    waiting = Waiting(Batcher(scorer, asyncio.get_running_loop()))
    waiting.submit(b"1")
    await asyncio.sleep(0)
    waiting.submit(b"2")
    waiting.submit(b"3")
    assert (await waiting.outcomes()) == [answer(2), answer(4), answer(6)]
    assert scorer.calls == [[[1]], [[2], [3]]]


def test_a_model_that_cannot_batch_gets_one_at_a_time() -> None:
    scorer = Doubler(batches=False)
    assert run(scorer, b"1", b"2") == [answer(2), answer(4)]
    assert scorer.calls == [[[1]], [[2]]]


def test_a_bad_request_fails_alone() -> None:
    scorer = Doubler()
    first, bad, last = run(scorer, b"1", b"bad", b"2")
    assert (first, failed(bad), last) == (answer(2), (400, "bad"), answer(4))
    assert scorer.calls == [[[1], [2]]]


def test_when_a_call_fails_its_requests_are_scored_one_by_one() -> None:
    scorer = Doubler()
    first, bad, last = run(scorer, b"1", b"13", b"2")
    assert (first, failed(bad), last) == (answer(2), (500, "ZeroDivisionError: thirteen"), answer(4))
    assert scorer.calls == [[[1], [13], [2]], [[1]], [[13]], [[2]]]


def test_an_unexpected_error_in_parsing_is_the_request_s_own() -> None:
    first, bad = run(Doubler(), b"1", b"x")
    assert first == answer(2)
    assert failed(bad)[0] == 500


async def test_nobody_scores_for_a_client_that_is_gone() -> None:
    scorer = Doubler()
    waiting = Waiting(Batcher(scorer, asyncio.get_running_loop()))
    waiting.submit(b"1").abandon()
    waiting.submit(b"2")
    assert await waiting.outcomes() == [GONE, answer(4)]
    waiting.submit(b"3").abandon()
    assert (await waiting.outcomes())[2] == GONE
    assert scorer.calls == [[[2]]]


def test_a_large_request_is_scored_by_itself() -> None:
    scorer = Doubler()
    large = b"7 " * (LARGE // 2)
    outcomes = run(scorer, b"1", large, b"bad" + large, b"2")
    assert outcomes[0] == answer(2)
    assert outcomes[1] == answer(*[14] * (LARGE // 2))
    assert failed(outcomes[2]) == (400, "bad")
    assert sorted(map(len, scorer.calls)) == [1, 2]
