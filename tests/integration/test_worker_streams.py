"""Answers in parts from real workers: a program that streams, read by botocore's own parser and as OpenAI's SSE."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer, EventStreamMessage

from tests.worker_process import PATIENCE, Connection, RunningWorker, Workers, csv, models, request, workers

pytestmark = pytest.mark.slow

__all__ = ["models", "workers"]

STREAM = "/endpoints/fraud/invocations-response-stream"
CHAT = "/endpoints/fraud/v1/chat/completions"

PROGRAM = """
import os, json, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.whole(200, b"models" if self.path == "/v1/models" else b"")

    def whole(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, part):
        self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(part), part))

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "status" in asked:
            return self.whole(asked["status"], b"not so")
        if "seen" in asked:
            seen = {name.lower(): value for name, value in self.headers.items()}
            return self.whole(200, json.dumps({"path": self.path, "headers": seen}).encode())
        self.send_response(200)
        self.send_header("Content-Type", asked.get("type", "text/plain"))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in asked.get("parts", []):
            self.chunk(part.encode())
        try:
            for number in range(asked.get("flood", 0)):
                self.chunk(b"x" * 65536)
                with open("sent", "w") as sent:
                    sent.write(str(number + 1))
            while "wait" in asked and not os.path.exists(asked["wait"]):
                time.sleep(0.01)
                if "drip" in asked:
                    self.chunk(b"drip")
        except OSError:
            open("left", "w").close()
            self.close_connection = True
            return
        if "die" in asked:
            os._exit(1)
        if "break" in asked:
            self.close_connection = True
            return
        self.chunk(b"")

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass
class Head:
    status: int
    headers: dict[str, str]


async def head(connection: Connection) -> Head:
    async with asyncio.timeout(PATIENCE):
        text = (await connection.reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = text.strip().split("\r\n")
    return Head(int(first.split(" ")[1]), {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)})


async def chunk(connection: Connection) -> bytes:
    async with asyncio.timeout(PATIENCE):
        size = int(await connection.reader.readuntil(b"\r\n"), 16)
        return (await connection.reader.readexactly(size + 2))[:-2]


async def chunks(connection: Connection) -> list[bytes]:
    found = []
    while part := await chunk(connection):
        found.append(part)
    return found


def messages(parts: list[bytes]) -> list[EventStreamMessage]:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(parts))
    return list(buffer)


async def begin(worker: RunningWorker, asked: dict[str, object], path: str = STREAM, **headers: str) -> Connection:
    connection = await worker.connect()
    connection.send(request(path, json.dumps(asked).encode(), headers))
    return connection


async def counted(worker: RunningWorker) -> dict[str, Any]:
    """The first second in which something was counted."""
    async with asyncio.timeout(PATIENCE):
        while True:
            seconds = (await worker.ask("/_tidegate/stats")).json()["seconds"]
            assert isinstance(seconds, list)
            if seconds:
                first: dict[str, Any] = seconds[0]
                return first
            await asyncio.sleep(0.05)


def test_each_chunk_of_a_program_is_a_part_as_it_comes(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        flag = worker.folder / "go"
        connection = await begin(worker, {"parts": ["a", "bc", "ü" * 50_000], "wait": str(flag)})
        began = await head(connection)
        assert began.status == 200
        assert began.headers["content-type"] == "application/vnd.amazon.eventstream"
        assert began.headers["x-amzn-sagemaker-content-type"] == "text/plain"
        assert began.headers["x-amzn-invoked-production-variant"] == "Blue"
        found = [messages([await chunk(connection)]) for _ in range(3)]
        assert [[m.payload for m in part] for part in found] == [[b"a"], [b"bc"], ["ü".encode() * 50_000]]
        assert worker.spec.replica in (await worker.ask("/_tidegate/stats")).body.decode()
        flag.touch()
        assert await chunk(connection) == b""
        connection.send(request("/ping"))  # the connection goes on
        assert (await connection.receive()).status == 200
        second = await counted(worker)
        assert (second["invocations"], second["model_errors"]) == (1, 0)
        series = second["series"][0]
        assert series["name"] == "FirstChunkLatency"
        assert series["spread"]["high"] <= second["latency"]["high"]

    workers.run(scene())


def test_a_whole_answer_on_the_streaming_path_is_one_part(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        accept = {"X-Amzn-SageMaker-Accept": "text/csv", "x-tidegate-path": "/forged"}
        answer = await worker.ask(STREAM, b'{"seen": 1}', accept)
        [message] = messages([answer.body])
        seen = json.loads(message.payload)
        assert seen["path"] == "/invocations"
        assert seen["headers"]["accept"] == "text/csv"
        assert answer.headers["x-amzn-sagemaker-content-type"] == "application/octet-stream"

    workers.run(scene())


def test_an_error_before_the_first_part_is_an_ordinary_answer(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        answer = await worker.ask(STREAM, b'{"status": 418}')
        assert answer.status == 424
        assert answer.json()["OriginalStatusCode"] == 418
        second = await counted(worker)
        assert second["4xx"] == 1

    workers.run(scene())


@pytest.mark.parametrize("how", ["break", "die"])
def test_a_program_that_breaks_off_ends_the_stream_with_an_exception(workers: Workers, how: str) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        connection = await begin(worker, {"parts": ["a", "b"], how: 1})
        await head(connection)
        *parts, last = messages(await chunks(connection))
        assert [part.payload for part in parts] == [b"a", b"b"]
        assert last.headers[":exception-type"] == "ModelStreamError"
        told = json.loads(last.payload)
        assert told["ErrorCode"] == "StreamBroken"
        assert "ended too early" in told["Message"]
        if how == "break":
            second = await counted(worker)
            assert (second["invocations"], second["5xx"], second["model_errors"]) == (1, 1, 1)

    workers.run(scene())


@pytest.mark.parametrize(
    ("limits", "says"),
    [({"invocation_timeout": 0.2}, "timed out"), ({"stream_timeout": 0.2}, "0.2 s in all")],
    ids=["next part", "whole stream"],
)
def test_a_stream_that_takes_too_long_says_so(workers: Workers, limits: dict[str, object], says: str) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM, **limits)
        await worker.ready()
        connection = await begin(worker, {"parts": ["a"], "wait": "never"})
        await head(connection)
        first, last = messages(await chunks(connection))
        assert first.payload == b"a"
        told = json.loads(last.payload)
        assert told["ErrorCode"] == "ModelInvocationTimeExceeded"
        assert says in told["Message"]

    workers.run(scene())


def test_a_slow_client_stops_the_program_and_gets_everything_in_the_end(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        total = 320  # times 64 KiB: far above what all the buffers on the way hold
        connection = await begin(worker, {"flood": total})
        await head(connection)
        sent = worker.folder / "model" / "sent"
        async with asyncio.timeout(PATIENCE):
            before, now = -1, 0
            while before != now or not now:
                before, now = now, int((sent.exists() and sent.read_text()) or 0)
                await asyncio.sleep(0.3)
        assert now < total / 2
        size = 0
        while part := await chunk(connection):
            size += sum(len(message.payload) for message in messages([part]))
        assert size == total * 65536

    workers.run(scene())


def test_a_client_that_leaves_ends_the_programs_stream_and_is_no_error(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        connection = await begin(worker, {"parts": ["a"], "wait": "never", "drip": 1})
        await head(connection)
        connection.writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while not (worker.folder / "model" / "left").exists():
                await asyncio.sleep(0.01)
        second = await counted(worker)
        assert (second["invocations"], second["model_errors"]) == (1, 0)
        assert (await worker.ask("/_tidegate/stats")).json()["in_flight"] == 0

    workers.run(scene())


def test_draining_waits_for_a_stream(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        flag = worker.folder / "go"
        connection = await begin(worker, {"parts": ["a"], "wait": str(flag)})
        await head(connection)
        await chunk(connection)
        worker.terminate()
        async with asyncio.timeout(PATIENCE):
            while (worker.folder.parent / f"{worker.spec.replica}.sock").exists():
                await asyncio.sleep(0.01)
        flag.touch()
        assert await chunk(connection) == b""
        assert await connection.ended()
        assert await asyncio.to_thread(worker.wait) == 0
        assert "cut off" not in worker.log

    workers.run(scene())


def test_a_stream_that_outlasts_the_draining_is_told_so(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM, drain_timeout=0.3)
        await worker.ready()
        connection = await begin(worker, {"parts": ["a"], "wait": "never"})
        await head(connection)
        await chunk(connection)
        worker.terminate()
        [last] = messages(await chunks(connection))
        assert "taken out of service" in json.loads(last.payload)["Message"]
        assert await asyncio.to_thread(worker.wait) == 0
        assert "1 requests cut off" in worker.log

    workers.run(scene())


def test_openai_clients_get_the_programs_own_path_and_plain_parts(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        events = ["data: {}\n\n", "data: [DONE]\n\n"]
        connection = await begin(worker, {"parts": events, "type": "text/event-stream"}, CHAT)
        began = await head(connection)
        assert began.headers["content-type"] == "text/event-stream"
        assert [part.decode() for part in await chunks(connection)] == events
        seen = (await worker.ask(CHAT, b'{"seen": 1}', {"Authorization": "Bearer x"})).json()
        assert seen["path"] == "/v1/chat/completions"
        assert "authorization" not in seen["headers"]  # type: ignore[operator]
        assert (await worker.ask("/endpoints/fraud/v1/models")).body == b"models"

    workers.run(scene())


def test_openai_clients_get_errors_in_their_own_form(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        answer = await worker.ask(CHAT, b'{"status": 429}')
        assert answer.status == 429
        assert answer.json()["error"] == {
            "message": "not so",
            "type": "rate_limit_error",
            "param": None,
            "code": "model_error",
        }
        assert (await worker.ask(CHAT)).status == 405
        connection = await begin(worker, {"parts": ["data: 1\n\n"], "type": "text/event-stream", "break": 1}, CHAT)
        await head(connection)
        *_, last = await chunks(connection)
        error = json.loads(last.removeprefix(b"\n\ndata: "))["error"]
        assert (error["type"], error["code"]) == ("server_error", "model_error")
        cut = await begin(worker, {"parts": ["{"], "type": "application/json", "break": 1}, CHAT)
        await head(cut)
        assert await chunk(cut) == b"{"
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await chunk(cut)

    workers.run(scene())


def test_an_http_1_0_client_gets_the_parts_up_to_the_end_of_the_connection(workers: Workers) -> None:
    async def scene() -> None:
        worker = workers.program(PROGRAM)
        await worker.ready()
        connection = await worker.connect()
        body = b'{"parts": ["a", "b"]}'
        connection.send(b"POST %b HTTP/1.0\r\ncontent-length: %d\r\n\r\n%b" % (CHAT.encode(), len(body), body))
        began = await head(connection)
        assert "transfer-encoding" not in began.headers
        assert began.headers["connection"] == "close"
        async with asyncio.timeout(PATIENCE):
            assert await connection.reader.read() == b"ab"

    workers.run(scene())


def test_a_model_of_rows_answers_on_every_path(workers: Workers, models: Path) -> None:
    async def scene() -> None:
        worker = workers.xgboost(models / "binary.ubj")
        await worker.ready()
        row, text = csv(1, 2, 3, 4, 5), {"Content-Type": "text/csv"}
        plain = await worker.ask("/invocations", row, text)
        [message] = messages([(await worker.ask(STREAM, row, text)).body])
        assert message.payload == plain.body
        refused = await worker.ask(STREAM, b"nonsense,", text)
        assert refused.status == 424
        assert "error" in (await worker.ask(CHAT, b"nonsense,", text)).json()

    workers.run(scene())
