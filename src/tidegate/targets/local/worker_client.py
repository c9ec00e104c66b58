"""Short questions to a worker over its unix socket: are you ready, what did you count?"""

import asyncio
from pathlib import Path

from tidegate.host.unix_sockets import has_no_listener
from tidegate.targets.local.health import Answer

PING_TIMEOUT = 2.0
"""Seconds per try (the container contract's own limit)."""
READ = 1 << 16
MOST_BODY = 32 * 2**20
"""Bytes of an answer."""
TOO_LARGE = 413
"""Status that stands for an answer with a larger body, which is not read."""


async def get(socket: Path, path: str, seconds: float = PING_TIMEOUT) -> tuple[int, bytes] | None:
    """Status and body of a GET, or None when no answer, or none that is HTTP, came in time."""
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


async def ask(socket: Path, seconds: float) -> Answer:
    """Whether a replica that was ready still is."""
    if (answer := await get(socket, "/ping", seconds)) is not None:
        return Answer.GOOD if answer[0] == 200 else Answer.UNWELL
    return Answer.REFUSED if has_no_listener(socket) else Answer.NONE
