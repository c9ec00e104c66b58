"""The engine around a handler: threads, a queue, time limits, streams. Real threads, a clock of the test's own."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.serving.contract.invocation import Answer, Call, ModelFailed, Outcome, Rejected, Stream, timed_out
from tidegate.serving.scoring import thread_engine
from tidegate.serving.scoring.thread_engine import MOST_WAITING, STREAM_LIMIT, AnswerStream, ThreadEngine

TIMEOUT = 60.0


class Clock:
    """An event loop whose timers go off when the test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.timers: list[tuple[float, asyncio.TimerHandle]] = []

    def call_later(self, delay: float, what: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(0, what, arguments, self.loop)
        self.timers.append((delay, handle))
        return handle

    def pass_by(self, seconds: float) -> None:
        """What is due within so many seconds of its setting."""
        due = [handle for delay, handle in self.timers if delay <= seconds and not handle.cancelled()]
        self.timers = [(delay, handle) for delay, handle in self.timers if handle not in due]
        for handle in due:
            handle._run()

    def waits(self, seconds: float) -> bool:
        return any(delay == seconds and not handle.cancelled() for delay, handle in self.timers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)


@dataclass
class Model:
    """Each request waits for its turn: its body is the key of what ``go`` gives it."""

    threads: int = 1
    asked: list[bytes] = field(default_factory=list)
    closed: list[bytes] = field(default_factory=list)
    gates: dict[bytes, threading.Event] = field(default_factory=dict)

    def gate(self, key: bytes) -> threading.Event:
        return self.gates.setdefault(key, threading.Event())

    def answer(self, call: Call) -> Answer | AnswerStream:
        self.asked.append(call.body)
        kind, _, name = call.body.partition(b" ")
        if kind == b"wait":
            assert self.gate(name).wait(300)
        elif kind == b"fail":
            raise ModelFailed(422, "no")
        elif kind == b"bug":
            raise ValueError("bad")
        elif kind == b"exit":
            sys.exit(3)
        elif kind == b"stream":
            return AnswerStream("text/x", self.parts(name), ((b"a", b"b"),))
        elif kind == b"late-stream":
            assert self.gate(name).wait(300)
            return AnswerStream("text/x", self.parts(name))
        elif kind == b"list":
            return AnswerStream("text/x", iter([b"1", b"2"]))
        elif kind == b"none":
            return AnswerStream("text/x", iter(()))
        elif kind == b"text":
            return AnswerStream("text/x", iter(["1"]))  # type: ignore[list-item]
        return Answer(name, "text/x")

    def parts(self, name: bytes) -> Iterator[bytes]:
        try:
            if name == b"bad-start":
                raise ModelFailed(429, "not now")
            yield b"first"
            if name == b"bad-end":
                raise ValueError("broken")
            if name.startswith(b"slow"):
                assert self.gate(name).wait(300)
            yield b"second"
        finally:
            self.closed.append(name)


class Stand:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.clock = Clock(asyncio.get_running_loop())
        self.engine = ThreadEngine(model, self.clock, TIMEOUT, "box")  # type: ignore[arg-type]
        self.outcomes: dict[bytes, list[Outcome]] = {}

    def ask(self, body: bytes) -> Call:
        call = Call(body, {})
        self.engine.submit(call, self.outcomes.setdefault(body, []).append)
        return call

    async def answered(self, body: bytes) -> Outcome:
        await self.until(lambda: self.outcomes[body])
        [outcome] = self.outcomes[body]
        return outcome

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(300):
            while not condition():
                await asyncio.sleep(0.001)

    async def stream(self, body: bytes) -> Stream:
        self.ask(body)
        outcome = await self.answered(body)
        assert isinstance(outcome, Stream)
        return outcome


async def stand(test: Callable[[Stand], Coroutine[object, object, None]], threads: int = 1) -> None:
    made = Stand(Model(threads))
    try:
        await test(made)
    finally:
        for gate in made.model.gates.values():
            gate.set()
        await made.engine.close()


async def test_each_request_has_its_own_answer_or_error() -> None:
    async def test(at: Stand) -> None:
        for body in (b"say 1", b"bug", b"fail", b"exit", b"say 2"):
            at.ask(body)
        assert await at.answered(b"say 1") == Answer(b"1", "text/x")
        assert await at.answered(b"say 2") == Answer(b"2", "text/x")
        failures = {}
        for body in (b"bug", b"fail", b"exit"):
            failed = await at.answered(body)
            assert isinstance(failed, ModelFailed)
            failures[body] = (failed.status, failed.message, failed.container)
        assert failures == {
            b"bug": (500, "ValueError: bad", "box"),
            b"fail": (422, "no", "box"),
            b"exit": (500, "SystemExit: 3", "box"),
        }
        assert at.engine.healthy

    await stand(test)


async def test_the_event_loop_is_free_and_threads_are_all_used() -> None:
    async def test(at: Stand) -> None:
        for name in (b"wait a", b"wait b", b"say c"):
            at.ask(name)
        await at.until(lambda: sorted(at.model.asked) == [b"wait a", b"wait b"])
        at.model.gate(b"b").set()
        assert await at.answered(b"say c") == Answer(b"c", "text/x")
        assert at.outcomes[b"wait a"] == []
        at.model.gate(b"a").set()
        await at.answered(b"wait a")

    await stand(test, threads=2)


async def test_a_full_queue_refuses_requests() -> None:
    async def test(at: Stand) -> None:
        at.ask(b"wait a")
        for number in range(MOST_WAITING):
            at.ask(b"say %d" % number)
        at.ask(b"say more")
        refused = await at.answered(b"say more")
        assert isinstance(refused, Rejected)
        assert (refused.status, refused.name) == (503, "ServiceUnavailable")
        at.model.gate(b"a").set()
        assert await at.answered(b"say %d" % (MOST_WAITING - 1)) == Answer(b"%d" % (MOST_WAITING - 1), "text/x")

    await stand(test)


async def test_a_client_that_leaves_the_queue_is_not_scored() -> None:
    async def test(at: Stand) -> None:
        at.ask(b"wait a")
        at.ask(b"say b").abandon()
        at.ask(b"say c")
        assert isinstance(await at.answered(b"say b"), Rejected), "counted as no error of the model"
        at.model.gate(b"a").set()
        await at.answered(b"say c")
        assert at.model.asked == [b"wait a", b"say c"]

    await stand(test)


async def test_a_request_has_a_time_limit_and_a_stuck_thread_is_reported() -> None:
    async def test(at: Stand) -> None:
        for body in (b"wait a", b"wait b", b"say queued"):
            at.ask(body)
        await at.until(lambda: len(at.model.asked) == 2)
        at.clock.pass_by(TIMEOUT)
        for body in (b"wait a", b"wait b", b"say queued"):
            late = await at.answered(body)
            assert isinstance(late, ModelFailed)
            assert (late.status, late.message) == (0, timed_out("box"))
        assert not at.engine.healthy
        at.ask(b"say at-once")
        assert isinstance(await at.answered(b"say at-once"), ModelFailed)
        at.model.gate(b"a").set()
        await at.until(lambda: at.engine.healthy)
        at.ask(b"say again")
        assert await at.answered(b"say again") == Answer(b"again", "text/x")
        assert at.model.asked == [b"wait a", b"wait b", b"say again"]

    await stand(test, threads=2)


async def test_one_stuck_thread_of_two_is_still_healthy() -> None:
    async def test(at: Stand) -> None:
        at.ask(b"wait a")
        await at.until(lambda: at.model.asked)
        at.clock.pass_by(TIMEOUT)
        assert at.engine.healthy
        at.ask(b"say b")
        assert await at.answered(b"say b") == Answer(b"b", "text/x")

    await stand(test, threads=2)


async def test_a_client_that_leaves_does_not_hide_a_stuck_thread() -> None:
    async def test(at: Stand) -> None:
        call = at.ask(b"wait a")
        await at.until(lambda: at.model.asked)
        call.abandon()
        at.clock.pass_by(TIMEOUT)
        assert not at.engine.healthy

    await stand(test)


# --- streams ---


async def read(stream: Stream) -> list[bytes]:
    return [part async for part in stream.parts]


@pytest.mark.parametrize(
    ("body", "parts"), [(b"stream a", [b"first", b"second"]), (b"list", [b"1", b"2"]), (b"none", [])]
)
async def test_a_stream_comes_in_parts_and_frees_its_thread(body: bytes, parts: list[bytes]) -> None:
    async def test(at: Stand) -> None:
        stream = await at.stream(body)
        assert await read(stream) == parts
        assert await read(stream) == [], "it is over"
        at.ask(b"say b")
        assert await at.answered(b"say b") == Answer(b"b", "text/x")

    await stand(test)


async def test_a_stream_is_pulled_as_it_is_read_and_holds_its_thread() -> None:
    async def test(at: Stand) -> None:
        stream = await at.stream(b"stream slow")
        assert (stream.content_type, stream.headers) == ("text/x", ((b"a", b"b"),))
        at.ask(b"say b")
        assert await anext(stream.parts) == b"first"
        assert at.outcomes[b"say b"] == []
        at.model.gate(b"slow").set()
        assert await anext(stream.parts) == b"second"
        assert at.model.closed == []
        assert await read(stream) == []
        await at.answered(b"say b")
        assert at.model.closed == [b"slow"]

    await stand(test)


async def test_an_error_at_the_start_has_its_status_and_one_later_ends_the_stream() -> None:
    async def test(at: Stand) -> None:
        at.ask(b"stream bad-start")
        failed = await at.answered(b"stream bad-start")
        assert isinstance(failed, ModelFailed)
        assert failed.status == 429
        at.ask(b"text")
        failed = await at.answered(b"text")
        assert isinstance(failed, ModelFailed)
        assert failed.message == "TypeError: a part of a stream is a str, not bytes"
        stream = await at.stream(b"stream bad-end")
        assert await anext(stream.parts) == b"first"
        with pytest.raises(ModelFailed, match="ValueError: broken"):
            await anext(stream.parts)
        at.ask(b"say b")
        await at.answered(b"say b")

    await stand(test)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_leaves_closes_the_stream(begun: bool) -> None:
    async def test(at: Stand) -> None:
        call = at.ask(b"stream a")
        stream = await at.answered(b"stream a")
        assert isinstance(stream, Stream)
        if begun:
            await anext(stream.parts)
        call.abandon()
        await at.until(lambda: at.model.closed)
        assert await read(stream) == []
        at.ask(b"say b")
        await at.answered(b"say b")

    await stand(test)


async def test_a_client_that_leaves_before_the_stream_begins() -> None:
    async def test(at: Stand) -> None:
        call = at.ask(b"late-stream a")
        await at.until(lambda: at.model.asked)
        call.abandon()
        at.model.gate(b"a").set()
        assert isinstance(await at.answered(b"late-stream a"), Rejected)
        await at.until(lambda: at.model.closed == [b"a"])

    await stand(test)


async def test_a_reader_that_is_cancelled_closes_the_stream() -> None:
    async def test(at: Stand) -> None:
        stream = await at.stream(b"stream slow")
        await anext(stream.parts)
        reading = asyncio.create_task(read(stream))
        await asyncio.sleep(0)
        reading.cancel()
        at.model.gate(b"slow").set()
        await at.until(lambda: at.model.closed == [b"slow"])
        await asyncio.wait([reading])
        assert reading.cancelled()

    await stand(test)


async def test_each_part_of_a_stream_has_a_time_limit() -> None:
    async def test(at: Stand) -> None:
        stream = await at.stream(b"stream slow")
        await anext(stream.parts)
        reading = asyncio.create_task(read(stream))
        await at.until(lambda: at.clock.waits(TIMEOUT))
        at.clock.pass_by(TIMEOUT)
        with pytest.raises(ModelFailed) as caught:
            await reading
        assert (caught.value.status, caught.value.message) == (0, timed_out("box"))
        assert not at.engine.healthy
        at.model.gate(b"slow").set()
        await at.until(lambda: at.engine.healthy)
        assert at.model.closed == [b"slow"]

    await stand(test)


async def test_a_reader_that_never_comes_back_does_not_hold_the_thread_for_ever() -> None:
    async def test(at: Stand) -> None:
        stream = await at.stream(b"stream a")
        await anext(stream.parts)
        at.clock.pass_by(STREAM_LIMIT)
        await at.until(lambda: at.model.closed)
        with pytest.raises(ModelFailed):
            await anext(stream.parts)
        assert at.engine.healthy

    await stand(test)


# --- whatever happens ---

KINDS = ["ask", "bug", "stream", "open", "leave", "late", "read"]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 4)), max_size=25)


@settings(max_examples=60, deadline=None)
@given(STEPS)
async def test_every_request_gets_one_outcome_and_every_thread_comes_back(steps: list[tuple[str, int]]) -> None:
    async def test(at: Stand) -> None:
        calls: list[tuple[bytes, Call]] = []
        for kind, number in steps:
            if kind in ("ask", "bug", "stream"):
                word = {"ask": "wait", "bug": "bug", "stream": "late-stream"}[kind]
                body = f"{word} {len(calls)}".encode()
                calls.append((body, at.ask(body)))
            elif kind == "late":
                at.clock.pass_by(TIMEOUT)
            elif number < len(calls):
                body, call = calls[number]
                if kind == "open":
                    at.model.gate(body.partition(b" ")[2]).set()
                elif kind == "leave":
                    call.abandon()
                else:
                    await look(at, body)
            await asyncio.sleep(0)
        for body, call in calls:
            at.model.gate(body.partition(b" ")[2]).set()
            await at.answered(body)
            call.abandon()
        at.ask(b"say end")
        await at.until(lambda: at.engine._idle == 2 and at.engine._stuck == 0)
        assert all(len(outcomes) == 1 for outcomes in at.outcomes.values())
        assert at.engine.healthy

    async def look(at: Stand, body: bytes) -> None:
        for outcome in at.outcomes[body]:
            if isinstance(outcome, Stream):
                assert await read(outcome) in ([], [b"second"], [b"first", b"second"])

    await stand(test, threads=2)


def test_the_limits_are_the_ones_that_are_documented() -> None:
    assert (thread_engine.MOST_WAITING, thread_engine.STREAM_LIMIT) == (256, 480.0)
