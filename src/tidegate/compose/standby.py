"""What a controller answers while it waits for the lease: that it is well, and that another one leads.

Kubernetes replaces controllers one at a time by it: one that waits is as ready as the one that leads.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator

from tidegate.gateway.paths import HEALTH, READY

log = logging.getLogger(__name__)

LONGEST_HEAD = 16 * 1024
TIMEOUT = 5.0
"""Seconds that a client has for the head of its request."""
REASON = "this controller stands by: another one leads"


@contextlib.asynccontextmanager
async def standing_by(host: str, port: int) -> AsyncIterator[None]:
    """Answer on the controller's port during the block. Where another process has the port, such as the leader on the
    same machine, nobody asks this one."""
    try:
        server = await asyncio.start_server(_answer, host, port, limit=LONGEST_HEAD)
    except OSError as error:
        log.info("nothing is answered while this controller stands by: %s", error)
        yield
        return
    try:
        yield
    finally:
        server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer_to(head))
            await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # the client's matter
    finally:
        writer.close()


def answer_to(head: bytes) -> bytes:
    """``head``: of an HTTP request."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    path = words[1].partition(b"?")[0].decode("ascii", "replace") if len(words) > 1 else ""
    status = "200 OK" if path == READY else "503 Service Unavailable"
    said = {"status": "standby", "reason": REASON} if path in (HEALTH, READY) else {"message": REASON}
    body = json.dumps(said).encode()
    lines = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body
