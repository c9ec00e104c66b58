"""The HTTP client on a real socket: kept connections, limits, and streams that are read slowly or not at all."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest

from tidegate.http1.body_stream import HIGH
from tidegate.http1.client import HttpClient, PeerCheck
from tidegate.http1.connection import HttpConnection, Waiter
from tidegate.http1.messages import ConnectionBroken, HttpReply, LongBody, StreamedReply, Streaming, Unreachable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """Answers each request with ``answer``; counts connections."""

    def __init__(self, folder: Path, answer: bytes) -> None:
        self.path = str(folder / "socket")
        self.answer = answer
        self.requests: list[bytes] = []
        self.handlers: list[asyncio.Future[None]] = []
        self.clients: list[HttpClient] = []

    @property
    def connections(self) -> int:
        return len(self.handlers)

    def client(self, limit: int = 100, check: PeerCheck | None = None, **options: Any) -> HttpClient:
        self.clients.append(HttpClient(self.path, limit, check, **options))
        return self.clients[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.get_running_loop().create_future()
        self.handlers.append(handler)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
                self.requests.append(head + await reader.readexactly(size))
                writer.write(self.answer)
                await writer.drain()
        except (EOFError, ConnectionError):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            handler.set_result(None)

    async def closed(self) -> None:
        """All connections are."""
        await asyncio.gather(*self.handlers)


async def ask(folder: Path, answer: bytes, scene: Callable[[Server], Awaitable[None]]) -> None:
    server = Server(folder, answer)
    listener = await asyncio.start_unix_server(server.serve, server.path)
    async with asyncio.timeout(300):
        await scene(server)
        for client in server.clients:
            client.close()
        listener.close()
        await asyncio.sleep(0)
        await server.closed()


async def test_a_connection_is_kept_for_the_next_request(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        client = server.client()
        for _ in range(3):
            reply = await client.request("POST", "/a", [(b"accept", b"text/csv")], b"1,2")
            assert (reply.status, reply.body) == (200, b"ok")
        assert server.connections == 1
        assert server.requests[0] == (
            b"POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\naccept: text/csv\r\n\r\n1,2"
        )

    await ask(tmp_path, OK, scene)


async def test_without_a_pool_each_connection_is_closed(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        await server.client(kept=0).request("GET", "/ping")
        await server.closed()

    await ask(tmp_path, OK, scene)


@pytest.mark.parametrize("limits", [{"limit": 1}, {"limit": 2, "head_limit": 10}])
async def test_limits_on_body_and_headers(tmp_path: Path, limits: dict[str, Any]) -> None:
    async def scene(server: Server) -> None:
        assert (await server.client(limit=2).request("GET", "/")).body == b"ok"
        with pytest.raises(ValueError, match="larger than the limit of"):
            await server.client(**limits).request("GET", "/")

    await ask(tmp_path, OK, scene)


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot connect to") as raised:
        await HttpClient(str(tmp_path / "absent"), 1).request("GET", "/")
    assert str(tmp_path) not in raised.value.reason


async def test_another_process_listens(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        with pytest.raises(ConnectionBroken, match="another process listens"):
            await server.client(1, lambda transport: False).request("GET", "/")
        while not server.handlers:  # it accepts the connection after the client has dropped it
            await asyncio.sleep(0)

    await ask(tmp_path, OK, scene)


async def test_a_long_stream_is_read_at_the_pace_of_its_consumer(tmp_path: Path) -> None:
    size = 64 * HIGH

    async def scene(server: Server) -> None:
        server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, bytes(size))
        client = server.client()
        reply = await client.stream("GET", "/", (), b"", Streaming(100, lambda error: error))
        assert isinstance(reply, StreamedReply)
        received = most = 0
        async for part in reply.parts:
            most = max(most, reply.parts.waiting)
            received += len(part)
        assert received == size
        assert most <= 2 * HIGH
        server.answer = OK
        assert (await client.request("GET", "/")).body == b"ok"
        assert server.connections == 1

    await ask(tmp_path, OK, scene)


async def test_a_stream_that_is_dropped_closes_its_connection_and_ends_once(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        ends: list[None] = []
        streaming = Streaming(0, lambda error: error, lambda: ends.append(None))
        reply = await server.client().stream("GET", "/", (), b"", streaming)
        assert isinstance(reply, StreamedReply)
        assert await anext(reply.parts) == b"ok"
        await reply.parts.aclose()
        await reply.parts.aclose()
        await server.closed()
        assert len(ends) == 1

    await ask(tmp_path, CHUNKED + b"2\r\nok\r\n", scene)


async def test_a_body_is_read_while_it_is_sent(tmp_path: Path) -> None:
    async def parts() -> AsyncGenerator[bytes, None]:
        for number in range(3):
            await asyncio.sleep(0)
            yield b"%d" % number

    async def scene(server: Server) -> None:
        client = server.client()
        for _ in range(2):
            await client.stream("POST", "/", (), LongBody(3, parts), Streaming(100, lambda error: error))
        assert [request[-3:] for request in server.requests] == [b"012", b"012"]
        assert server.connections == 1

    await ask(tmp_path, OK, scene)


@pytest.mark.parametrize("lost", [None, ConnectionResetError()], ids=["closed", "reset"])
async def test_a_body_without_a_length_is_whole_only_where_its_connection_was_closed(
    lost: Exception | None,
) -> None:
    connection = HttpConnection(100, 100, lambda connection: None)
    connection.connection_made(Mock())
    reply: asyncio.Future[HttpReply] = asyncio.get_running_loop().create_future()
    connection.begin(b"GET / HTTP/1.1\r\n\r\n", cast(Waiter, reply))
    connection.data_received(b"HTTP/1.0 200 OK\r\n\r\nhalf")
    connection.connection_lost(lost)
    if lost is None:
        assert (await reply).body == b"half"
    else:
        with pytest.raises(ConnectionBroken):
            await reply
