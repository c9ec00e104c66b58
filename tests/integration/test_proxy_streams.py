"""Streamed answers through a real HAProxy: the same routes, part by part, whole whatever changes meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.proxy_harness import ENDPOINT, PATH, PATIENCE, ProxyHarness, Worker, each_haproxy, stand
from tidegate.domain.fleet import FleetId

pytestmark = [pytest.mark.slow, each_haproxy]
STREAM = f"/endpoints/{ENDPOINT}/invocations-response-stream"
CHAT = f"/endpoints/{ENDPOINT}/v1/chat/completions"
HEAD = b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Streamer(Worker):
    """Answers one request with the parts that the test hands it; an empty one is the end, None a crash."""

    parts: "asyncio.Queue[bytes | None]" = field(default_factory=asyncio.Queue)
    request: bytes = b""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The proxy closed the connection of a stream."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b" /ping " in head:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                self.served += 1
                self.request = head
                sending = asyncio.create_task(self._send(writer))
                reading = asyncio.create_task(reader.read())
                await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    self.left.set()
                for task in (sending, reading):
                    task.cancel()
        self._open.discard(writer)
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        while (part := await self.parts.get()) is not None:
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            if not part:
                return
        writer.transport.abort()


@dataclass
class Stream:
    """A client's side of one answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int

    async def part(self) -> bytes:
        """The next chunk; empty at the end."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]


async def ask(running: ProxyHarness, path: str = STREAM, method: str = "POST", lines: str = "") -> Stream:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    body = "Content-Length: 1\r\n\r\nx" if method == "POST" else "\r\n"
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}{body}".encode())
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
    return Stream(reader, writer, int(head.split(b" ")[1]))


async def streamer(running: ProxyHarness, name: str) -> Streamer:
    worker = Streamer(name, running.folder / name)
    running.workers[name] = worker
    await worker.start()
    return worker


@contextlib.asynccontextmanager
async def streaming(
    program: str, slots: dict[str, int] | None = None
) -> AsyncIterator[tuple[ProxyHarness, Streamer]]:
    """A stand whose endpoint has one fleet with one streamer."""
    async with stand(program, slots) as running:
        worker = await streamer(running, "a")
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        yield running, worker


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", STREAM),
        ("POST", CHAT),
        ("POST", f"/endpoints/{ENDPOINT}/v1/embeddings?x=1"),
        ("GET", f"/endpoints/{ENDPOINT}/v1/models"),
    ],
)
async def test_other_paths_find_the_endpoints_routes_and_parts_come_as_they_are_sent(
    program: str, method: str, path: str
) -> None:
    async with streaming(program) as (running, worker):
        client = await ask(running, path, method)
        for part in (b"one", b"two", b"three"):
            await worker.parts.put(part)
            assert await client.part() == part  # before the next one is made
        await worker.parts.put(b"")
        assert await client.part() == b""
        assert worker.request.startswith(f"{method} {path} ".encode())
        assert b"x-tidegate-start" in worker.request.lower()
        client.writer.close()


@pytest.mark.parametrize(
    "path",
    [
        f"/endpoints/{ENDPOINT}/async-invocations",
        f"/endpoints/{ENDPOINT}",
        f"/endpoints/{ENDPOINT}/v3/models",
        f"/endpoints/x/{ENDPOINT}/v1/models",
        "/endpoints/nobody/invocations-response-stream",
        "/endpoints/nobody/v1/models",
        f"/tidegate/v1/endpoints/{ENDPOINT}/v1",
    ],
)
async def test_what_is_no_prediction_of_a_served_endpoint_reaches_the_controller(program: str, path: str) -> None:
    async with streaming(program) as (running, worker):
        client = await ask(running, path)
        assert client.status == 503  # no controller runs here
        assert b"controller" in await client.reader.read(400)
        assert worker.served == 0
        client.writer.close()


@pytest.mark.parametrize("path", [STREAM, CHAT])
async def test_a_variant_can_be_named_on_other_paths(program: str, path: str) -> None:
    async with streaming(program) as (running, worker):
        client = await ask(running, path, lines="X-Amzn-SageMaker-Target-Variant: blue\r\n")
        await worker.parts.put(b"here")
        assert await client.part() == b"here"
        client.writer.close()
        unknown = await ask(running, path, lines="X-Amzn-SageMaker-Target-Variant: green\r\n")
        assert unknown.status == 400
        assert b"Variant green of endpoint fraud" in await unknown.reader.read(400)
        unknown.writer.close()


async def test_a_request_is_not_sent_again_once_a_byte_of_its_answer_came(program: str) -> None:
    async with streaming(program) as (running, worker):
        other = await running.worker("b")
        await running.fleet(1, "a", "b")
        client = await ask(running)
        while not worker.served:  # the other one had it, and answered
            client.writer.close()
            client = await ask(running)
        others = other.served
        await worker.parts.put(b"half")
        assert await client.part() == b"half"
        await worker.parts.put(None)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.part()
        assert (worker.served, other.served) == (1, others)
        client.writer.close()


async def test_a_stream_outlives_its_route_and_a_reload(program: str) -> None:
    async with streaming(program, {"r": 1, "l": 0}) as (running, worker):
        client = await ask(running)
        await worker.parts.put(b"before")
        assert await client.part() == b"before"
        await running.fleet(2, "b")  # no slot is left: a reload
        await running.share(2, {2: 10_000})
        assert (await running.ask()).body == b"b"
        await worker.parts.put(b"after")
        assert await client.part() == b"after"
        fleet = FleetId(ENDPOINT, 1, "blue")
        assert await running.proxy.in_flight(fleet) == {"a": 1}
        await worker.parts.put(b"")
        assert await client.part() == b""
        client.writer.close()


async def test_the_worker_hears_of_a_client_that_leaves(program: str) -> None:
    async with asyncio.timeout(PATIENCE), streaming(program) as (running, worker):
        client = await ask(running)
        await worker.parts.put(b"one")
        assert await client.part() == b"one"
        client.writer.close()
        await worker.left.wait()  # though nothing more is sent


class Silent(Streamer):
    """Answers nothing."""

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        await self.parts.get()


@pytest.mark.parametrize("path", [PATH, STREAM, CHAT])
async def test_a_worker_that_is_still_silent_hears_of_a_client_that_leaves(program: str, path: str) -> None:
    async with asyncio.timeout(PATIENCE), stand(program) as running:
        worker = running.workers["a"] = Silent("a", running.folder / "a")
        await worker.start()
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx".encode())
        while not worker.served:
            await asyncio.sleep(0.005)
        writer.close()
        await worker.left.wait()
        assert worker.served == 1  # and it is sent to nobody else


async def test_where_keys_are_set_other_paths_need_an_authorization_too(program: str) -> None:
    async with stand(program, None, access_keys={"AKID": "long-secret"}) as running:
        worker = await streamer(running, "a")
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        for path in (STREAM, CHAT):
            refused = await ask(running, path)
            assert refused.status == 403
            refused.writer.close()
        client = await ask(running, CHAT, lines="Authorization: Bearer AKID:long-secret\r\n")
        await worker.parts.put(b"in")
        assert await client.part() == b"in"
        client.writer.close()
