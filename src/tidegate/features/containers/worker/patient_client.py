"""A client of a container that may be ending: its engine says so a moment after the port is closed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from tidegate.http1.client import HttpClient
from tidegate.http1.messages import HttpReply, LongBody, StreamedReply, Streaming, Unreachable

PATIENCE = 3.0
"""Seconds: the engine's command ends, and says how the container did, well within."""
PAUSE = 0.1
T = TypeVar("T")


class PatientClient:
    """An ``UpstreamClient``. While no connection can be made, no request was processed: it waits. Either the
    container listens again, or its instance is told of its end, and the proxy sends the request to another one."""

    def __init__(self, client: HttpClient, patience: float = PATIENCE) -> None:
        self._client = client
        self._patience = patience

    async def request(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> HttpReply:
        """Send a request and return the whole response. Raises ConnectionBroken or ValueError."""
        return await self._insist(lambda: self._client.request(method, path, headers, body))

    async def stream(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | LongBody,
        streaming: Streaming,
    ) -> HttpReply | StreamedReply:
        """Like ``request``; a response that is streamed is returned with its head."""
        return await self._insist(lambda: self._client.stream(method, path, headers, body, streaming))

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time
        until = now() + self._patience
        while True:
            try:
                return await ask()
            except Unreachable:
                if now() >= until:
                    raise
            await asyncio.sleep(PAUSE)
