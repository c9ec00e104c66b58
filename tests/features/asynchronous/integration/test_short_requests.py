"""Requests that the dispatcher handles without a task each, with a queue and a socket that are real: each ends once,
whatever becomes of its instance, its lease, its output and the database."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from tidegate.domain.asynchronous import Item, ItemState, OutcomeKind
from tidegate.domain.errors import TidegateError, Transient, Unavailable
from tidegate.features.asynchronous.dispatcher import short_requests
from tidegate.features.asynchronous.dispatcher.calls import IN_MEMORY, ModelClient
from tidegate.features.asynchronous.dispatcher.dispatch import Dispatcher
from tidegate.features.asynchronous.dispatcher.objects import Objects
from tidegate.features.asynchronous.dispatcher.outcomes import Notifier, RequestProgress, end_report
from tidegate.features.asynchronous.dispatcher.processor import RequestProcessor
from tidegate.features.asynchronous.dispatcher.short_requests import ShortRequest
from tidegate.features.asynchronous.dispatcher.snapshot import EndpointSnapshot, QueueSnapshot
from tidegate.ports.queue import ItemReport, QueueRow
from tidegate.ports.store import Tx
from tidegate.storage.output_files import OutputFile, OutputFiles
from tidegate.store.database import open_database
from tidegate.store.queue import SqlQueue

PATIENCE = 60.0
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nx-amzn-invoked-production-variant: blue\r\n"
WHOLE = OK + b"Content-Length: 3\r\n\r\n0.7"
REFUSED = b'HTTP/1.1 400 Bad Request\r\nContent-Length: 18\r\n\r\n{"Message": "odd"}'
HALF = OK + b"Content-Length: 9\r\n\r\nhalf"
HALF_A_STREAM = OK + b"Content-Length: %d\r\n\r\nhalf" % (2 * IN_MEMORY)
Answering = Callable[["Instance", bytes], Awaitable[bytes | None]]


@dataclass
class Instance:
    """What listens on the socket. ``answering`` gets each request's body; None: break the connection."""

    answering: Answering
    active: int = 0
    most: int = 0
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(EOFError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line)
                body = await reader.readexactly(size)
                self.bodies.append(body)
                self.active += 1
                self.most = max(self.most, self.active)
                answer = await self.answering(self, body)
                self.active -= 1
                writer.write(answer or b"")
                await writer.drain()
                if answer in (None, HALF, HALF_A_STREAM):
                    break
        writer.close()


@dataclass
class Case:
    queue: SqlQueue
    instance: Instance
    dispatcher: Dispatcher
    folder: Path

    async def accept(self, count: int = 1, **more: Any) -> None:
        now = time.time()
        for number in range(count):
            id = str(number)
            output, failure = ((self.folder / f"{id}{end}").as_uri() for end in (".out", "-error.out"))
            item = replace(Item(id, "fraud", id, now, now + 600, 60.0, output, failure), **more)
            await self.queue.accept(partial(_give, item), b"row %d" % number)

    async def ended(self, id: str = "0") -> QueueRow:
        async with asyncio.timeout(PATIENCE):
            while (row := await self.queue.row(id)) is None or row.state is not ItemState.DONE:
                await asyncio.sleep(0.01)
        return row


def _give(item: Item, tx: Tx) -> Item:
    return item


async def _well(instance: Instance, body: bytes) -> bytes:
    return WHOLE


async def _after_a_sign(instance: Instance, body: bytes) -> bytes:
    await instance.may_answer.wait()
    return WHOLE


async def _answer(answer: bytes | None, instance: Instance, body: bytes) -> bytes | None:
    return answer


@asynccontextmanager
async def running(folder: Path, answering: Answering, capacity: int = 4) -> AsyncIterator[Case]:
    instance, database = Instance(answering), open_database(f"sqlite:///{folder / 'q.db'}")
    queue, calls, outputs = SqlQueue(database), ModelClient(str(folder / "s"), 1 << 30), folder / "out"
    server = await asyncio.start_unix_server(instance.serve, str(folder / "s"))
    outputs.mkdir()
    objects = Objects(OutputFiles([outputs]), None, "", "us-east-1", 1024)
    processor = RequestProcessor(queue, calls, objects, cast(Notifier, None), folder, "us-east-1")
    snapshot = QueueSnapshot(time.time(), {"fraud": EndpointSnapshot(capacity, "green")})
    dispatcher, stopping = Dispatcher(queue, processor, lambda: snapshot, lambda: None), asyncio.Event()
    loop = asyncio.create_task(dispatcher.run(stopping, 0.0))
    try:
        yield Case(queue, instance, dispatcher, outputs)
    finally:
        instance.may_answer.set()
        stopping.set()
        await loop
        calls.close()
        server.close()
        await database.close()


async def test_each_ends_once_and_no_more_are_with_an_instance_than_may_be(
    tmp_path: Path,
) -> None:
    async def one_after_another(instance: Instance, body: bytes) -> bytes:
        await asyncio.sleep(0)
        return OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)

    async with running(tmp_path, one_after_another, capacity=2) as case:
        await case.accept(20)
        for number in range(20):
            row = await case.ended(str(number))
            assert row.outcome is not None and row.fence == 1
            assert (row.outcome.end, row.outcome.content_type) == (OutcomeKind.COMPLETED, "text/csv")
            assert (case.folder / f"{number}.out").read_bytes() == b"row %d" % number
        assert sorted(case.instance.bodies) == sorted(b"row %d" % number for number in range(20))
        assert case.instance.most <= 2 and case.instance.connections <= 2
        measured = await case.queue.measured(99)
        assert {one.variant for one in measured} == {"blue"}
        assert sum(len(one.values["InvocationsProcesssed"]) for one in measured) == 20


async def test_a_refusal_is_a_failure_and_told_as_such(tmp_path: Path) -> None:
    async with running(tmp_path, partial(_answer, REFUSED)) as case:
        await case.accept()
        row = await case.ended()
        assert row.outcome is not None
        assert (row.outcome.end, row.outcome.reason, row.fence) == (OutcomeKind.FAILED, "odd", 1)
        assert (case.folder / "0-error.out").read_text() == "odd" and not (case.folder / "0.out").exists()


@pytest.mark.parametrize(
    "broken", [None, HALF, HALF_A_STREAM], ids=["no answer", "half of one", "half a long one"]
)
async def test_one_whose_instance_dies_is_tried_again(tmp_path: Path, broken: bytes | None) -> None:
    async def once(instance: Instance, body: bytes) -> bytes | None:
        return broken if len(instance.bodies) == 1 else WHOLE

    async with running(tmp_path, once) as case:
        await case.accept()
        row = await case.ended()
        assert row.outcome is not None
        assert (row.outcome.end, row.fence, len(case.instance.bodies)) == (OutcomeKind.COMPLETED, 2, 2)
        assert (case.folder / "0.out").read_bytes() == b"0.7"


async def test_a_long_answer_is_received_by_a_task(tmp_path: Path) -> None:
    size = 3 * IN_MEMORY
    long = OK + b"Content-Length: %d\r\n\r\n%b" % (size, b"x" * size)
    async with running(tmp_path, partial(_answer, long), capacity=1) as case:
        await case.accept(2)
        for id in ("0", "1"):
            await case.ended(id)
            assert (case.folder / f"{id}.out").read_bytes() == b"x" * size


async def test_an_instance_that_does_not_answer_in_time_is_free_for_the_next(tmp_path: Path) -> None:
    async def first_never(instance: Instance, body: bytes) -> bytes:
        if body == b"row 0":
            await instance.may_answer.wait()
        return WHOLE

    async with running(tmp_path, first_never, capacity=1) as case:
        await case.accept(2, timeout=0.3)
        first, second = await case.ended("0"), await case.ended("1")
        assert first.outcome is not None and second.outcome is not None
        assert first.outcome.reason == "Received server error (0) from model: no answer within 0.3 s."
        assert second.outcome.end is OutcomeKind.COMPLETED
        assert not (case.folder / "0.out").exists()


async def test_an_output_that_may_not_be_written_fails_its_request_alone(tmp_path: Path) -> None:
    async with running(tmp_path, _well) as case:
        await case.accept(output=(tmp_path / "elsewhere").as_uri())
        row = await case.ended()
        assert row.outcome is not None and row.outcome.end is OutcomeKind.FAILED
        assert "TIDEGATE_OUTPUT_ROOTS" in row.outcome.reason
        assert not (tmp_path / "elsewhere").exists()
        assert "ResponseUploadFailures" in (await case.queue.measured(9))[0].values


async def test_what_another_dispatcher_has_is_let_go(tmp_path: Path) -> None:
    async with running(tmp_path, _after_a_sign, capacity=1) as case:
        await case.accept()
        async with asyncio.timeout(PATIENCE):
            while not case.instance.bodies:
                await asyncio.sleep(0.01)
        (one,) = case.dispatcher._running.values()
        assert isinstance(one, ShortRequest)
        assert await case.queue.take_over(time.time()) == 1
        (stolen,) = await SqlQueue(case.queue._database, "other").claim("fraud", 1, time.time(), time.time() + 60)
        case.dispatcher._extended = 0.0  # the next turn renews leases, and finds this one gone
        async with asyncio.timeout(PATIENCE):
            while case.dispatcher._running:
                await asyncio.sleep(0.01)
        case.instance.may_answer.set()
        assert case.dispatcher._limiters["fraud"].idle
        row = await case.queue.row("0")
        assert row is not None and (row.state, row.fence) == (ItemState.WORKING, stolen.fence)
        assert not list(case.folder.iterdir())


async def test_an_end_is_reported_once_the_database_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, _after_a_sign) as case:
        await case.accept()
        async with asyncio.timeout(PATIENCE):
            while not case.instance.bodies:
                await asyncio.sleep(0.01)

        def away(report: object, done: Callable[[bool | None, BaseException | None], None]) -> None:
            asyncio.get_running_loop().call_soon(done, None, Unavailable("the database is away"))

        monkeypatch.setattr(case.queue, "submit", away)
        case.instance.may_answer.set()
        row = await case.ended()
        assert row.outcome is not None and row.outcome.end is OutcomeKind.COMPLETED and row.fence == 1
        assert len(case.instance.bodies) == 1
        async with asyncio.timeout(PATIENCE):
            while case.dispatcher._running:
                await asyncio.sleep(0.01)


async def test_what_is_with_an_instance_when_the_dispatcher_ends_is_given_back(tmp_path: Path) -> None:
    async with running(tmp_path, _after_a_sign) as case:
        await case.accept()
        async with asyncio.timeout(PATIENCE):
            while not case.instance.bodies:
                await asyncio.sleep(0.01)
        await case.dispatcher._shut_down(0.0)
        row = await case.queue.row("0")
        assert row is not None and (row.state, row.fence) == (ItemState.WAITING, 1)
        assert not case.dispatcher._running and not list(case.folder.iterdir())


async def test_one_that_is_let_go_before_its_task_began_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its long answer has come, and another dispatcher has it before its task could take a step."""
    long = OK + b"Content-Length: %d\r\n\r\n%b" % (3 * IN_MEMORY, b"x" * 3 * IN_MEMORY)
    async with running(tmp_path, partial(_answer, long), capacity=1) as case:
        hand_over = case.dispatcher._short.hand_over
        given: list[RequestProgress] = []

        def and_let_go(short: ShortRequest, begun: RequestProgress) -> None:
            hand_over(short, begun)
            if not given:
                case.dispatcher._running["0"].cancel()
            given.append(begun)

        case.dispatcher._short.hand_over = and_let_go
        await case.accept()
        async with asyncio.timeout(PATIENCE):
            while not given or case.dispatcher._running:
                await asyncio.sleep(0.01)
        assert case.dispatcher._limiters["fraud"].idle
        await case.queue.take_over(time.time())
        await case.ended()
        assert (case.folder / "0.out").stat().st_size == 3 * IN_MEMORY


@pytest.mark.parametrize("by_task", [False, True], ids=["short", "task"])
async def test_an_output_on_its_way_to_the_disk_does_not_appear_once_its_request_is_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_task: bool
) -> None:
    """It might take the place of what the other one stored."""
    writing, go_on, ends = Event(), Event(), list[object]()
    put_all = OutputFiles.put_all

    def slow(files: OutputFiles, outputs: Sequence[OutputFile]) -> list[TidegateError | None]:
        writing.set()
        assert go_on.wait(PATIENCE)
        ends.extend(put_all(files, outputs))
        return [None] * len(outputs)

    monkeypatch.setattr(OutputFiles, "put_all", slow)
    async with running(tmp_path, _well) as case:
        await case.accept(include=("success",) if by_task else ())
        assert await asyncio.to_thread(writing.wait, PATIENCE)
        (one,) = case.dispatcher._running.values()
        assert isinstance(one, ShortRequest) is not by_task
        one.cancel()
        go_on.set()
        async with asyncio.timeout(PATIENCE):
            while not ends:
                await asyncio.sleep(0.01)
        assert isinstance(ends[0], Transient) and not list(case.folder.iterdir())


async def test_one_whose_end_fails_in_a_way_nobody_foresaw_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = list[object]()

    def fails_once(*given: Any) -> ItemReport:
        if not failed:
            failed.append(given)
            raise RuntimeError("it is broken")
        return end_report(*given)

    monkeypatch.setattr(short_requests, "end_report", fails_once)
    async with running(tmp_path, _well) as case:
        await case.accept(3)
        async with asyncio.timeout(PATIENCE):
            while not failed or case.dispatcher._running:
                await asyncio.sleep(0.01)
        assert case.dispatcher._limiters["fraud"].idle
        await case.queue.take_over(time.time())
        fences = [(await case.ended(str(number))).fence for number in range(3)]
        assert sorted(fences) == [1, 1, 2]
