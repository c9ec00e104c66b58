"""Connections to workers that are asked again and again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tidegate.ports.router import TcpAddress
from tidegate.targets.collection.worker_http import KEPT, WorkerConnections


@dataclass
class Worker:
    """Counts its connections. ``ends``: it closes each one after its first answer, without saying so before."""

    ends: bool = False
    connections: int = 0
    open: int = 0
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head.split(b" ")[1].decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                if self.ends:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            self.open -= 1


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[TcpAddress]:
    server = await asyncio.start_server(worker.serve, "127.0.0.1", 0)
    try:
        yield TcpAddress(*server.sockets[0].getsockname())
    finally:
        server.close()


async def until(worker: Worker, open: int) -> None:
    async with asyncio.timeout(300):
        while worker.open != open:
            await asyncio.sleep(0.01)


async def test_worker_is_asked_by_one_connection() -> None:
    worker, connections = Worker(), WorkerConnections()
    async with running(worker) as address:
        for path in ("/a", "/b", "/c"):
            assert await connections.get(address, path, 30) == (200, b"ok")
    assert (worker.asked, worker.connections) == (["/a", "/b", "/c"], 1)


async def test_connection_that_the_worker_closed_is_replaced() -> None:
    worker, connections = Worker(ends=True), WorkerConnections()
    async with running(worker) as address:
        for path in ("/a", "/b"):
            assert await connections.get(address, path, 30) == (200, b"ok")
            await until(worker, 0)
    assert (worker.asked, worker.connections) == (["/a", "/b"], 2)


async def test_connection_of_a_worker_that_is_asked_no_more_is_closed() -> None:
    now = 0.0
    gone, other, connections = Worker(), Worker(), WorkerConnections(lambda: now)
    async with running(gone) as first, running(other) as second:
        await connections.get(first, "/", 30)
        await connections.get(second, "/", 30)
        now += KEPT
        await connections.get(second, "/", 30)
        assert gone.open == 1
        now += 1
        await connections.get(second, "/", 30)
        await until(gone, 0)
        assert other.open == 1


async def test_worker_that_is_not_there_has_no_answer() -> None:
    worker, connections = Worker(), WorkerConnections()
    async with running(worker) as address:
        pass
    assert await connections.get(address, "/", 30) is None
