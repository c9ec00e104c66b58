"""Pings of a worker over a kept connection: what one over a new connection would have told is told as soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tidegate.targets.local import worker_client
from tidegate.targets.local.health import PingAnswer
from tidegate.targets.local.worker_client import CONNECT_EVERY, WorkerPings

PATIENCE = 300.0


@dataclass
class Worker:
    status: str = "200 OK"
    silent: bool = False
    connections: int = 0
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                if not self.silent:
                    writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open -= 1


@asynccontextmanager
async def listening(worker: Worker, socket: Path) -> AsyncIterator[asyncio.AbstractServer]:
    server = await asyncio.start_unix_server(worker.serve, socket)
    try:
        yield server
    finally:
        server.close()


async def all_closed(worker: Worker) -> None:
    async with asyncio.timeout(PATIENCE):
        while worker.open:
            await asyncio.sleep(0.001)


async def test_pings_share_a_connection_for_a_while(tmp_path: Path) -> None:
    now, worker = 0.0, Worker()
    pings = WorkerPings(tmp_path / "w", lambda: now)
    async with listening(worker, tmp_path / "w"):
        assert [await pings.ask(PATIENCE) for _ in range(3)] == [PingAnswer.GOOD] * 3
        worker.status = "503 Service Unavailable"
        assert await pings.ask(PATIENCE) is PingAnswer.UNWELL
        assert worker.connections == 1
        now += CONNECT_EVERY
        await pings.ask(PATIENCE)
        assert worker.connections == 2
        pings.close()
        await all_closed(worker)


async def test_a_worker_that_is_silent_on_a_kept_connection_gives_no_answer(tmp_path: Path) -> None:
    worker, pings = Worker(), WorkerPings(tmp_path / "w")
    async with listening(worker, tmp_path / "w"):
        assert await pings.ask(PATIENCE) is PingAnswer.GOOD
        worker.silent = True
        assert await pings.ask(0.01) is PingAnswer.NONE
        await all_closed(worker)
        worker.silent = False
        assert await pings.ask(PATIENCE) is PingAnswer.GOOD
    pings.close()


@pytest.mark.parametrize("anew", [False, True], ids=["removed", "replaced"])
async def test_a_socket_without_its_place_is_not_asked_through_an_old_connection(
    tmp_path: Path, anew: bool
) -> None:
    old, new, socket = Worker(), Worker(), tmp_path / "w"
    pings = WorkerPings(socket)
    async with listening(old, socket):
        assert await pings.ask(PATIENCE) is PingAnswer.GOOD
        socket.rename(tmp_path / "gone")
        if not anew:
            assert await pings.ask(PATIENCE) is PingAnswer.REFUSED
        else:
            async with listening(new, socket):
                assert await pings.ask(PATIENCE) is PingAnswer.GOOD
                assert (old.connections, new.connections) == (1, 1)
                pings.close()
        await all_closed(old)


async def test_a_worker_that_has_ended_refuses(tmp_path: Path) -> None:
    worker, pings = Worker(), WorkerPings(tmp_path / "w")
    async with listening(worker, tmp_path / "w") as server:
        assert await pings.ask(PATIENCE) is PingAnswer.GOOD
        server.close()
        pings.close()
        assert await pings.ask(PATIENCE) is PingAnswer.REFUSED
        await all_closed(worker)


async def test_no_more_connections_are_kept_than_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_client, "MOST_KEPT", 2)
    worker = Worker()
    asked = [WorkerPings(tmp_path / "w") for _ in range(5)]
    async with listening(worker, tmp_path / "w"):
        for _ in range(2):
            assert [await pings.ask(PATIENCE) for pings in asked] == [PingAnswer.GOOD] * 5
        async with asyncio.timeout(PATIENCE):
            while worker.open != 2:
                await asyncio.sleep(0.001)
        assert worker.connections == 2 + 2 * 3
        for pings in asked:
            pings.close()
        await all_closed(worker)
