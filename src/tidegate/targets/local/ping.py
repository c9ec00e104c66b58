"""Short questions to a worker over its unix socket: are you ready, what did you count?"""

import asyncio
from pathlib import Path

PING_TIMEOUT = 2.0
"""Seconds per try (the container contract's own limit)."""


async def get(socket: Path, path: str) -> tuple[int, bytes] | None:
    """Status and body of a GET, or None when no answer came in time."""
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    return int(head.split(b" ", 2)[1]), body


async def ready(socket: Path) -> bool:
    answer = await get(socket, "/ping")
    return answer is not None and answer[0] == 200
