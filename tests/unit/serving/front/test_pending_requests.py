"""Requests that wait for their answer are measured while they wait, and answers are counted."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from tidegate.domain.fleet import FleetId
from tidegate.monitoring import sketch
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, Done, ModelFailed, Outcome, Rejected, Stream
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.front.server import Server

AGE = 7_000_000
"""Microseconds that a request says that it has waited already."""


class Holding:
    """An engine that answers when the test says so."""

    healthy = True

    def __init__(self) -> None:
        self.held: list[Done] = []

    def submit(self, call: Call, done: Done) -> None:
        self.held.append(done)

    async def close(self) -> None: ...


class Case:
    def __init__(self, server: Server, engine: Holding) -> None:
        self.server = server
        self.engine = engine
        self.writers: list[asyncio.StreamWriter] = []

    async def ask(self, age: int = AGE) -> None:
        """Send a request that the proxy had ``age`` microseconds ago, and wait until the engine has it."""
        _, writer = await asyncio.open_unix_connection(self.server.spec.socket)
        self.writers.append(writer)
        stamp = time.time_ns() // 1000 - age
        head = f"POST /invocations HTTP/1.1\r\nhost: x\r\nx-tidegate-start: {stamp}\r\ncontent-length: 1\r\n\r\n1"
        before = len(self.engine.held)
        writer.write(head.encode())
        await until(lambda: len(self.engine.held) > before, "the engine has it")

    def answer(self, outcome: Outcome) -> None:
        self.engine.held.pop(0)(outcome)

    def page(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.server.statistics(0, 2**40, over=False))
        return found

    def ages(self) -> list[dict[str, Any]]:
        series = [one for second in self.page()["seconds"] for one in second["series"]]
        return [one["spread"] for one in series if one["name"] == "InFlightLatency"]


async def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


async def run(story: Callable[[Case], Awaitable[None]]) -> None:
    with TemporaryDirectory(prefix="tg-") as folder:
        runtime = RuntimeChoice(RuntimeKind.PROGRAM, ("true",))
        spec = ReplicaSpec(
            replica="r-1",
            fleet=FleetId("fraud", 1, "main"),
            config_name="v1",
            containers=(ContainerSpec(runtime=runtime, model_dir=folder),),
            socket=f"{folder}/s",
        )
        server, engine = Server(spec, Path(folder)), Holding()
        await server.listen()
        server.engine = engine
        case = Case(server, engine)
        try:
            await story(case)
        finally:
            for done in engine.held:
                done(Rejected(503, "x", "the test is over"))
            await server.drain(0)
            for writer in case.writers:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()


async def test_a_request_that_hangs_shows_its_age_each_second_and_an_answer_ends_it() -> None:
    async def story(case: Case) -> None:
        await case.ask()
        await case.ask(age=0)
        await until(lambda: len(case.ages()) >= 2, "it was seen in two seconds")
        first, second = case.ages()[:2]
        assert first["count"] == 1, "the other one has not waited for a second"
        assert AGE <= first["low"] <= AGE + 60_000_000
        assert second["high"] > first["high"]
        assert {str(sketch.index(first["low"]))} == first["bins"].keys()
        assert case.page()["answered"] == 0
        case.answer(Answer(b"1", "text/csv"))
        case.answer(ModelFailed(500, "no"))
        assert case.page()["answered"] == 1
        before = case.ages()
        case.server.waiting.measure(2**50)
        assert case.ages() == before, "nothing waits any more"

    await run(story)


async def test_a_client_that_leaves_does_not_hide_for_how_long_it_waited() -> None:
    async def story(case: Case) -> None:
        await case.ask(age=60_000_000)
        case.writers[0].close()
        await until(lambda: any(one["high"] >= 60_000_000 for one in case.ages()), "its wait is noted")
        await until(lambda: case.page()["in_flight"] == 0, "it is gone")

    await run(story)


async def test_answers_below_500_from_the_model_count_as_answered() -> None:
    async def story(case: Case) -> None:
        outcomes: list[Outcome] = [
            Answer(b"1", "text/csv"),
            ModelFailed(404, "no"),
            ModelFailed(302, "elsewhere"),
            ModelFailed(500, "broken"),
            ModelFailed(0, "no answer"),
            Rejected(503, "ServiceUnavailable", "the platform's own"),
        ]
        for outcome in outcomes:
            await case.ask()
            case.answer(outcome)
        assert case.page()["answered"] == 3

    await run(story)


async def test_a_stream_waits_until_its_first_part_and_counts_as_answered_from_then_on() -> None:
    async def story(case: Case) -> None:
        begin, end = asyncio.Event(), asyncio.Event()

        async def parts() -> AsyncIterator[bytes]:
            await begin.wait()
            yield b"a part"
            await end.wait()

        await case.ask()
        case.answer(Stream("text/plain", parts()))
        await until(lambda: case.ages(), "it waits for its first part")
        begin.set()
        await until(lambda: case.page()["answered"] == 1, "the first part came")
        before = case.ages()
        case.server.waiting.measure(2**50)
        assert case.ages() == before, "it has begun to answer"
        end.set()
        await until(lambda: case.page()["in_flight"] == 0, "it has ended")
        assert case.page()["answered"] == 1

    await run(story)
