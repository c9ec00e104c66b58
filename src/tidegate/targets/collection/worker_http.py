"""Short requests to a worker, by its unix socket or its address."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken, HttpReply
from tidegate.ports.router import ServerAddress, TcpAddress
from tidegate.targets.collection.sources import MOST_BODY, TOO_LARGE

KEPT = 30.0
"""Seconds since the last request to a worker, after which its connection is closed."""


async def get(worker: ServerAddress, path: str, seconds: float) -> tuple[int, bytes] | None:
    """Status and body of a GET, or None when no answer, or none that is HTTP, came in time."""
    return await _get(_client(worker, kept=0), path, seconds, [(b"connection", b"close")])


class KeptConnection:
    """Like ``get``, for one worker that is asked again and again: its connection is kept."""

    def __init__(self, worker: ServerAddress) -> None:
        self._client = _client(worker, kept=1)

    async def get(self, path: str, seconds: float) -> tuple[int, bytes] | None:
        return await _get(self._client, path, seconds, [])

    def ask_again(self, request: bytes) -> "asyncio.Future[HttpReply] | None":
        """Send a request if there is a connection; the future fails with ConnectionBroken or ValueError."""
        return self._client.ask_again(request)

    def close(self) -> None:
        self._client.close()


@dataclass
class WorkerConnections:
    """Like ``get``, for workers on other machines that are asked each second: a connection to each is kept."""

    clock: Callable[[], float] = time.monotonic
    _clients: dict[ServerAddress, tuple[HttpClient, float]] = field(default_factory=dict)
    """With the time of the last request, in that order."""

    async def get(self, worker: ServerAddress, path: str, seconds: float) -> tuple[int, bytes] | None:
        now = self.clock()
        known = self._clients.pop(worker, None)
        client = known[0] if known is not None else _client(worker, kept=1)
        self._clients[worker] = client, now
        self._close_idle(now)
        return await _get(client, path, seconds, [])

    def _close_idle(self, now: float) -> None:
        while self._clients:
            worker, (client, asked) = next(iter(self._clients.items()))
            if now - asked <= KEPT:
                return
            client.close()
            del self._clients[worker]


def _client(worker: ServerAddress, kept: int) -> HttpClient:
    address = (worker.host, worker.port) if isinstance(worker, TcpAddress) else str(worker)
    return HttpClient(address, MOST_BODY, kept=kept)


async def _get(
    client: HttpClient, path: str, seconds: float, headers: list[tuple[bytes, bytes]]
) -> tuple[int, bytes] | None:
    try:
        async with asyncio.timeout(seconds):
            reply = await client.request("GET", path, headers, host=b"worker")
    except ValueError:
        return TOO_LARGE, b""
    except (ConnectionBroken, TimeoutError):
        return None
    return reply.status, reply.body
