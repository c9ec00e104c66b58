"""Short requests to a worker over its unix socket: whether it is ready, what it has counted."""

import asyncio
from pathlib import Path

from tidegate.host.unix_sockets import has_no_listener
from tidegate.targets.collection.sources import MOST_BODY, TOO_LARGE
from tidegate.targets.local.health import PingAnswer

PING_TIMEOUT = 2.0
"""Seconds per try (the container contract's own limit)."""
READ = 1 << 16


async def get(socket: Path, path: str, seconds: float = PING_TIMEOUT) -> tuple[int, bytes] | None:
    """Status and body of a GET; None if no valid HTTP answer came in time."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                body = bytearray()
                while part := await reader.read(READ):
                    body += part
                    if len(body) > MOST_BODY:
                        return TOO_LARGE, b""
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    status = head[9:12]  # after HTTP/1.1 and a space
    return (int(status), bytes(body)) if status.isdigit() else None


async def ready(socket: Path, seconds: float = PING_TIMEOUT) -> bool:
    answer = await get(socket, "/ping", seconds)
    return answer is not None and answer[0] == 200


async def ask(socket: Path, seconds: float) -> PingAnswer:
    """Whether a replica that was ready still is."""
    if (answer := await get(socket, "/ping", seconds)) is not None:
        return PingAnswer.GOOD if answer[0] == 200 else PingAnswer.UNWELL
    return PingAnswer.REFUSED if has_no_listener(socket) else PingAnswer.NONE
