"""Asynchronous requests that go from the connection to the queue: answered as on the ordinary path, to the byte."""

import asyncio
import random
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.types import Receive, Scope, Send

from tests.gateway_harness import KEY, OPEN, SECRET, SIGNED, GatewayHarness
from tests.samples import version
from tidegate.domain.asynchronous import AsyncConfig, Item
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Unavailable
from tidegate.features.asynchronous.fast_path_protocol import make_fast_path
from tidegate.host.http_server import HttpServer, serve
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT
from tidegate.settings import Settings
from tidegate.store.queue import SqlQueue

START = datetime(2026, 3, 1, tzinfo=UTC)
PATH = "/endpoints/fraud/async-invocations"
CSV = ("Content-Type: text/csv", "X-Amzn-SageMaker-Content-Type: text/csv")
DRAWN = re.compile(rb"[0-9a-f]{8}-[0-9a-f-]{27}|-[0-9a-f]{12}\b|request-[0-9a-z]{26}|date: [^\r]+")
"""What differs from one answer to the next."""


class BusyQueue(SqlQueue):
    async def accept(self, make: object, body: bytes | None) -> Item:
        raise Unavailable("the database is away")


@dataclass
class Both:
    """One gateway behind two sockets: with the fast path, and without."""

    house: GatewayHarness
    queue: SqlQueue
    folder: Path
    ordinary: list[str] = field(default_factory=list)
    """Paths of requests that took the ordinary path."""
    servers: list[HttpServer] = field(default_factory=list)

    async def ask(self, *requests: bytes, short: bool = True) -> bytes:
        """All that is answered on one connection on which this is sent."""
        reader, writer = await asyncio.open_unix_connection(str(self.folder / ("short" if short else "long")))
        for each in requests:
            writer.write(each)
            await writer.drain()
            await asyncio.sleep(0)
        answers = b""
        for _ in range(b"".join(requests).count(b"HTTP/1.1\r\n")):
            answers += await _read(reader)
        writer.close()
        return answers

    async def compare(self, request: bytes) -> bytes:
        """The answer of the fast path, which is that of the ordinary one but for ids and the time."""
        here, there = await self.ask(request), await self.ask(request, short=False)
        assert sorted(DRAWN.sub(b"*", here).split(b"\r\n")) == sorted(DRAWN.sub(b"*", there).split(b"\r\n"))
        return here


async def _read(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return head + await reader.readexactly(int(length[1]))


@asynccontextmanager
async def both(settings: Settings = OPEN, queue: type[SqlQueue] = SqlQueue) -> AsyncIterator[Both]:
    house = GatewayHarness(settings)
    kept = queue(house.store.database)
    context = replace(house.gateway.context, queue=kept, check_answers=False)
    house.__dict__["gateway"] = gateway = replace(house.gateway, context=context)
    await house.store.run(_put_endpoint)
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        made = Both(house, kept, Path(name))

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            made.ordinary.append(scope["path"])
            await house.app(scope, receive, send)

        served = [
            await serve(app, made.folder / "short", protocol=make_fast_path(gateway)),
            await serve(house.app, made.folder / "long"),
        ]
        made.servers = [server for server, _ in served]
        try:
            yield made
        finally:
            for server, _ in served:
                server.should_exit = True
            await asyncio.gather(*(task for _, task in served))
            await house.store.close()


def _put_endpoint(tx: Tx) -> None:
    wanted = version("c")
    config = AsyncConfig("s3://out/good", "s3://out/bad")
    wanted = replace(wanted, variants=tuple(replace(one, asynchronous=config) for one in wanted.variants))
    tx.put(ENDPOINT, "fraud", Endpoint("fraud", START, START, serving=wanted), expect=0, now=START)
    plain = Endpoint("plain", START, START, serving=version("c"))
    tx.put(ENDPOINT, "plain", plain, expect=0, now=START)


def request(path: str = PATH, *headers: str, body: bytes = b"1,2", method: str = "POST") -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", *(headers or CSV), f"Content-Length: {len(body)}")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


async def test_a_request_is_durable_and_answered_without_the_layers_of_others() -> None:
    async with both() as pair:
        answer = await pair.compare(request())
        assert answer.startswith(b"HTTP/1.1 202 Accepted\r\n") and pair.ordinary == []
        assert await pair.compare(request(PATH, *CSV, "X-Amzn-SageMaker-Inference-Id: mine")) != b""
        rows = await pair.queue.rows("fraud", 9)
        assert len(rows) == 4 and {row.item.headers["content-type"] for row in rows} == {"text/csv"}
        assert {row.item.inference_id for row in rows} >= {"mine"}
        assert pair.ordinary == []


async def test_what_is_unusual_takes_the_ordinary_way() -> None:
    async with both() as pair:
        for sent in (request(f"{PATH}?a=b"), request("/endpoints/%20/async-invocations"), request(f"{PATH}/v1")):
            await pair.compare(sent)
        assert len(pair.ordinary) == 3


@pytest.mark.parametrize(
    "sent",
    [
        request("/endpoints/absent/async-invocations"),
        request("/endpoints/plain/async-invocations"),
        request("/endpoints/-/async-invocations"),
        request(PATH, *CSV, "X-Amzn-SageMaker-RequestTTLSeconds: 3"),
        request(PATH, *CSV, "X-Amzn-SageMaker-InputLocation: s3://b/k"),
        request(PATH, *CSV, "X-Amzn-SageMaker-S3OutputPathExtension: ../up"),
        request(PATH, *CSV, body=b""),
        request(PATH, *CSV, body=b"x" * 128_001),
        request(PATH, *CSV, "Content-Encoding: gzip"),
        request(PATH, *CSV, "X-Amz-Target: SageMaker.ListEndpoints"),
        request(PATH, *CSV, "X-Forwarded-For: 10.0.0.1"),
        request(PATH, *CSV, "Origin: https://elsewhere.example"),
        request(PATH, *CSV, "Host: elsewhere.example"),
        request(PATH, *CSV, method="PUT"),
    ],
    ids=lambda sent: sent.split(b"\r\n\r\n")[0].replace(b"\r\n", b" ").decode("latin-1")[:120],
)
async def test_what_is_refused_is_refused_in_the_same_words(sent: bytes) -> None:
    async with both() as pair:
        assert int((await pair.compare(sent)).split()[1]) >= 400
        assert await pair.queue.backlogs() == {}


async def test_a_queue_that_takes_nothing_is_told_in_the_same_words() -> None:
    async with both(queue=BusyQueue) as pair:
        assert b"HTTP/1.1 503 " in await pair.compare(request()) and pair.ordinary == []


class Seen:
    """In the place of what traces acceptances."""

    def __init__(self) -> None:
        self.headers: list[str | None] = []

    def begin(self, headers: Mapping[str, str]) -> None:
        self.headers.append(headers.get("traceparent"))


async def test_the_trace_of_a_client_goes_on_in_its_request() -> None:
    async with both() as pair:
        seen = Seen()
        object.__setattr__(pair.house.gateway.context, "acceptances", seen)
        await pair.compare(request(PATH, *CSV, "traceparent: 00-1-2-01"))
        assert seen.headers == ["00-1-2-01"] * 2 and pair.ordinary == []


async def test_with_keys_a_signature_is_asked_for_as_before() -> None:
    signed = AWSRequest("POST", f"http://localhost{PATH}", headers={"Content-Type": "text/csv"}, data=b"1,2")
    SigV4Auth(Credentials(KEY, SECRET), "sagemaker", "us-east-1").add_auth(signed)
    headers = [f"{name}: {value}" for name, value in signed.headers.items()]
    async with both(SIGNED) as pair:
        assert (await pair.ask(request(PATH, *headers))).startswith(b"HTTP/1.1 202 ")
        assert b"HTTP/1.1 403 " in await pair.compare(request(PATH, *headers, body=b"1,3"))
        assert b"HTTP/1.1 403 " in await pair.compare(request())
        assert (await pair.queue.backlogs())["fraud"].waiting == 1
        assert pair.ordinary == []


async def test_requests_of_both_ways_on_one_connection_are_answered_in_their_order() -> None:
    other = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with both() as pair:
        answers = await pair.ask(request() + other + request() + request())
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"202", b"200", b"202", b"202"]
        assert (await pair.queue.backlogs())["fraud"].waiting == 3


async def test_a_request_that_comes_in_pieces_is_one_request() -> None:
    sent = request(body=b"1,2,3,4")
    async with both() as pair:
        answer = await pair.ask(sent[:10], sent[10:-5], sent[-5:-2], sent[-2:])
        assert answer.startswith(b"HTTP/1.1 202 ")
        (row,) = await pair.queue.rows("fraud", 9)
        assert await pair.queue.body(row.item.id) == b"1,2,3,4"


async def test_a_client_that_leaves_before_its_answer_disturbs_nobody() -> None:
    async with both() as pair:
        _, writer = await asyncio.open_unix_connection(str(pair.folder / "short"))
        writer.write(request())
        writer.transport.abort()
        assert (await pair.ask(request())).startswith(b"HTTP/1.1 202 ")


async def test_what_arrived_before_the_end_of_the_server_is_answered_and_the_connection_closed() -> None:
    async with both() as pair:
        reader, writer = await asyncio.open_unix_connection(str(pair.folder / "short"))
        writer.write(request())
        while not pair.servers[0].server_state.tasks:
            await asyncio.sleep(0)
        pair.servers[0].should_exit = True
        assert (await _read(reader)).startswith(b"HTTP/1.1 202 ")
        assert await reader.read() == b""
        writer.close()


async def test_answers_wait_for_a_client_that_does_not_read_them() -> None:
    async with both() as pair:
        reader, writer = await asyncio.open_unix_connection(str(pair.folder / "short"))
        state = pair.servers[0].server_state
        while not state.connections:
            await asyncio.sleep(0)
        (connection,) = state.connections
        connection.pause_writing()  # as the transport does when too much waits in it
        writer.write(request())
        while not (await pair.queue.backlogs()):
            await asyncio.sleep(0.001)
        assert (await pair.ask(request())).startswith(b"HTTP/1.1 202 ")
        assert len(state.tasks) == 1
        connection.resume_writing()
        assert (await _read(reader)).startswith(b"HTTP/1.1 202 ")
        writer.close()


async def test_an_answer_that_no_header_can_carry_is_an_error_and_not_silence() -> None:
    """Of a configuration that an earlier version took."""
    for output in ("s3://out/\u65e5\u672c", "s3://out/a\rx: y"):
        async with both() as pair:

            def put(tx: Tx, output: str = output) -> None:
                config = AsyncConfig(output, None)
                wanted = version("c")
                wanted = replace(wanted, variants=tuple(replace(v, asynchronous=config) for v in wanted.variants))
                tx.put(ENDPOINT, "odd", Endpoint("odd", START, START, serving=wanted), expect=0, now=START)

            await pair.house.store.run(put)
            sent = request("/endpoints/odd/async-invocations")
            answer = await (pair.ask(sent) if "\r" in output else pair.compare(sent))
            assert answer.startswith(b"HTTP/1.1 500 ") and b"internal error" in answer and pair.ordinary == []


async def test_a_length_of_thousands_of_digits_is_refused_in_the_same_words() -> None:
    async with both() as pair:
        sent = request().replace(b"Content-Length: 3", b"Content-Length: " + b"0" * 5_000 + b"3")
        assert b"HTTP/1.1 400 " in await pair.compare(sent)
        assert await pair.queue.backlogs() == {}


ODD_NAMES = (
    *("Content-Type", "X-Amzn-SageMaker-Content-Type", "X-Amzn-SageMaker-Accept", "X-Amzn-SageMaker-Inference-Id"),
    *("X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-RequestTTLSeconds", "X-Amzn-SageMaker-Filename"),
    *(
        "X-Amzn-SageMaker-InvocationTimeoutSeconds",
        "X-Amzn-SageMaker-InputLocation",
        "Transfer-Encoding",
        "Upgrade",
    ),
    *(
        "X-Amzn-SageMaker-S3OutputPathExtension",
        "Content-Length",
        "Connection",
        "Host",
        "Origin",
        "Sec-Fetch-Site",
    ),
    *("Via", "Content-Encoding", "X-Amz-Target", "Authorization", "Cookie", "traceparent", "X-Tidegate-Source"),
)
ODD_VALUES = (
    *(
        "",
        "a",
        "text/csv",
        " spaced ",
        "60",
        "-1",
        "1e3",
        "\xe9t\xe9",
        "a" * 1_100,
        "s3://b/k",
        "../up",
        "chunked",
    ),
    *(
        "identity",
        "gzip",
        "h2c",
        "close",
        "localhost",
        "elsewhere.example",
        "none",
        "cross-site",
        "a,b",
        "x\r\n folded",
    ),
    *(
        "SageMaker.ListEndpoints",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request",
        "Bearer tg_abc",
        "1\t2",
        "\x7f",
    ),
)
ODD_PATHS = (
    PATH,
    PATH,
    PATH,
    f"{PATH}?",
    f"/{PATH}",
    f"http://localhost{PATH}",
    "/endpoints/fra%75d/async-invocations",
)


@pytest.mark.parametrize("settings", [OPEN, SIGNED], ids=["open", "signed"])
async def test_whatever_is_odd_about_a_request_both_paths_do_the_same(settings: Settings) -> None:
    """The same bytes: the same answer, and the same in the queue."""
    drawn = random.Random(5)
    queued = 0
    async with both(settings) as pair:
        for _ in range(120):
            odd = [
                f"{drawn.choice(ODD_NAMES)}: {drawn.choice(ODD_VALUES)}" for _ in range(drawn.choice((0, 1, 1, 2)))
            ]
            odd += drawn.choices(odd, k=drawn.choice((0, 0, 1))) if odd else []
            method = drawn.choice(("POST", "POST", "POST", "POST", "PUT"))
            await pair.compare(request(drawn.choice(ODD_PATHS), CSV[0], *odd, body=b"1,2", method=method))
            rows = await pair.queue.rows("fraud", 1_000)
            new, queued = rows[: len(rows) - queued], len(rows)
            assert len(new) in (0, 2)
            if new:
                ours, theirs = (
                    DRAWN.sub(b"*", repr((row.item.inference_id, row.item.output, row.item.timeout)).encode())
                    for row in new
                )
                assert ours == theirs and new[0].item.headers == new[1].item.headers
    assert queued > 10 or settings is SIGNED
