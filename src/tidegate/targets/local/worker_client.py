"""Short requests to a worker over its unix socket: whether it is ready, and what it counted."""

import asyncio
from pathlib import Path

from tidegate.host.unix_sockets import has_no_listener
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken
from tidegate.targets.collection.sources import MOST_BODY, TOO_LARGE
from tidegate.targets.local.health import PingAnswer

PING_TIMEOUT = 2.0
"""Seconds per try (the container contract's own limit)."""


async def get(socket: Path, path: str, seconds: float = PING_TIMEOUT) -> tuple[int, bytes] | None:
    """Status and body of a GET, or None when no answer, or none that is HTTP, came in time."""
    client = HttpClient(str(socket), MOST_BODY, kept=0)
    try:
        async with asyncio.timeout(seconds):
            reply = await client.request("GET", path, [(b"connection", b"close")], host=b"worker")
    except ValueError:
        return TOO_LARGE, b""
    except (ConnectionBroken, TimeoutError):
        return None
    return reply.status, reply.body


async def ready(socket: Path, seconds: float = PING_TIMEOUT) -> bool:
    answer = await get(socket, "/ping", seconds)
    return answer is not None and answer[0] == 200


async def ask(socket: Path, seconds: float) -> PingAnswer:
    """Whether a replica that was ready still is."""
    if (answer := await get(socket, "/ping", seconds)) is not None:
        return PingAnswer.GOOD if answer[0] == 200 else PingAnswer.UNWELL
    return PingAnswer.REFUSED if has_no_listener(socket) else PingAnswer.NONE
