"""An engine that works on so many calls at a time."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.serving.echo_scorer import EchoScorer
from tidegate.serving.contract.invocation import GONE, Answer, Call, Done, Outcome, Rejected, Stream
from tidegate.serving.engines.bounded import Bounded
from tidegate.serving.scoring.batching import Batcher

DONE = Answer(b"", "text/csv")


class Inner:
    """Keeps what it is given until it is told to answer."""

    healthy = True

    def __init__(self) -> None:
        self.calls: list[tuple[Call, Done]] = []

    def submit(self, call: Call, done: Done) -> None:
        self.calls.append((call, done))

    def answer(self, outcome: Outcome = DONE) -> None:
        self.calls.pop(0)[1](outcome)

    async def close(self) -> None: ...


def call() -> Call:
    return Call(b"1", {})


@given(st.integers(1, 3), st.lists(st.booleans(), max_size=40))
def test_never_more_than_the_limit_and_each_call_is_answered_once_in_order(most: int, steps: list[bool]) -> None:
    async def scenario() -> None:
        inner, ends = Inner(), []
        engine = Bounded(inner, most, 1_000.0, asyncio.get_running_loop())
        asked = 0
        for ask in steps:
            if ask:
                engine.submit(call(), lambda outcome, number=asked: ends.append(number))  # type: ignore[misc]
                asked += 1
            elif inner.calls:
                inner.answer()
            assert len(inner.calls) == min(most, asked - len(ends))
        while inner.calls:
            inner.answer()
        assert ends == list(range(asked))

    asyncio.run(scenario())


def test_call_that_waits_too_long_is_throttled() -> None:
    async def scenario() -> None:
        inner, ends = Inner(), list[Outcome]()
        engine = Bounded(inner, 1, 0.01, asyncio.get_running_loop())
        engine.submit(call(), ends.append)
        engine.submit(call(), ends.append)
        while not ends:
            await asyncio.sleep(0.001)
        assert isinstance(ends[0], Rejected) and (ends[0].status, ends[0].name) == (429, "ThrottlingException")
        inner.answer()
        assert len(ends) == 2 and not inner.calls

    asyncio.run(scenario())


def test_call_whose_client_left_is_not_worked_on() -> None:
    async def scenario() -> None:
        inner, ends = Inner(), list[Outcome]()
        engine = Bounded(inner, 1, 1_000.0, asyncio.get_running_loop())
        gone, kept = call(), call()
        for one in (call(), gone, kept):
            engine.submit(one, ends.append)
        gone.abandon()
        inner.answer()
        assert [one for one, _ in inner.calls] == [kept] and len(ends) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("others", [0, 1])
def test_place_of_call_whose_client_left_a_batcher_s_queue_is_free_again(others: int) -> None:
    async def scenario() -> None:
        loop, ends = asyncio.get_running_loop(), list[Outcome]()
        engine = Bounded(Batcher(EchoScorer(), loop), 1 + others, 1_000.0, loop)
        for _ in range(3):
            gone = call()
            for one in (gone, *(call() for _ in range(others))):
                engine.submit(one, ends.append)
            gone.abandon()
            for _ in range(3):
                await asyncio.sleep(0)
        assert ends == [GONE, *[Answer(b"1", "text/csv")] * others] * 3

    asyncio.run(scenario())


def test_stream_is_worked_on_until_its_end_or_until_nobody_wants_more() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async def scenario() -> None:
        inner, ends = Inner(), list[Outcome]()
        engine = Bounded(inner, 1, 1_000.0, asyncio.get_running_loop())
        for _ in range(3):
            engine.submit(call(), ends.append)
        inner.answer(Stream("text/plain", parts()))
        first = ends[0]
        assert isinstance(first, Stream) and not inner.calls
        assert [part async for part in first.parts] == [b"a", b"b"]
        assert len(inner.calls) == 1
        inner.answer(Stream("text/plain", parts()))
        second = ends[1]
        assert isinstance(second, Stream) and not inner.calls
        await second.parts.aclose()  # type: ignore[attr-defined]
        assert len(inner.calls) == 1

    asyncio.run(scenario())
