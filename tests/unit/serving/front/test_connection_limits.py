"""Connections that take too long are ended; time is passed in, the sockets are real."""

import asyncio
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tidegate.serving.contract.body_spool import Spool
from tidegate.serving.front.connection import LINGER, SLOW, Connection, Refusal, Request
from tidegate.serving.front.header_cache import HeaderCache

REQUEST = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody"


class Echo:
    """A service (a fake of the server): answers ``size`` bytes, at once."""

    def __init__(self, size: int = 1) -> None:
        self.connections: set[Connection] = set()
        self.max_body = 100
        self.heads = HeaderCache((b"/endpoints/fraud/invocations",))
        self.size = size

    def serve(self, connection: Connection, request: Request) -> None:
        connection.reply(bytes(self.size), close=False)

    def spool(self) -> Spool:
        return Spool(Path(tempfile.gettempdir()))

    def refuse(self, refusal: Refusal) -> bytes:
        return f"{refusal.status} {refusal.error}".encode()

    def note_large_body(self) -> None: ...

    def gone(self, connection: Connection) -> None: ...


Test = Callable[[Connection, socket.socket], Awaitable[None]]


async def run(service: Echo, test: Test) -> None:
    loop = asyncio.get_running_loop()
    ours, client = socket.socketpair()
    client.setblocking(False)
    _, connection = await loop.connect_accepted_socket(lambda: Connection(service), ours)
    try:
        await asyncio.wait_for(test(connection, client), 300)
    finally:
        connection.abort()
        client.close()


async def receive(client: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(client, 1000)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_a_request_that_does_not_become_whole() -> None:
    async def test(connection: Connection, client: socket.socket) -> None:
        client.send(REQUEST[:-1])
        await until(lambda: not connection.idle)
        connection.hurry(time.monotonic() + SLOW - 1)
        connection.hurry(time.monotonic() + SLOW + 1)
        assert await receive(client) == b"408 RequestTimeoutException"
        assert await receive(client) == b"", "nothing more comes"
        connection.hurry(time.monotonic() + LINGER + 1)
        await until(lambda: connection not in service.connections)

    service = Echo()
    await run(service, test)


async def test_an_idle_connection_may_stay() -> None:
    async def test(connection: Connection, client: socket.socket) -> None:
        for _ in range(2):
            client.send(REQUEST)
            assert await receive(client) == bytes(1)
            connection.hurry(time.monotonic() + 100 * SLOW)
        assert connection in service.connections

    service = Echo()
    await run(service, test)


async def test_a_client_that_does_not_take_its_answer() -> None:
    async def test(connection: Connection, client: socket.socket) -> None:
        client.send(REQUEST + REQUEST)
        await until(lambda: not connection.idle)
        connection.hurry(time.monotonic() + SLOW - 1)
        await asyncio.sleep(0)
        assert connection in service.connections
        connection.hurry(time.monotonic() + SLOW + 1)
        await until(lambda: connection not in service.connections)

    service = Echo(10_000_000)
    await run(service, test)


async def test_a_refused_client_that_keeps_sending_is_cut_off() -> None:
    async def test(connection: Connection, client: socket.socket) -> None:
        client.send(REQUEST.replace(b"length: 4", b"length: 101"))
        assert await receive(client) == b"413 ValidationError"
        client.send(bytes(10_000))
        connection.hurry(time.monotonic() + LINGER - 1)
        await asyncio.sleep(0)
        assert connection in service.connections
        connection.hurry(time.monotonic() + LINGER + 1)
        await until(lambda: connection not in service.connections)

    service = Echo()
    await run(service, test)
