"""Short requests to a worker, by its unix socket or its address."""

import asyncio

from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken
from tidegate.ports.router import ServerAddress, TcpAddress
from tidegate.targets.collection.sources import MOST_BODY, TOO_LARGE


async def get(worker: ServerAddress, path: str, seconds: float) -> tuple[int, bytes] | None:
    """Status and body of a GET, or None when no answer, or none that is HTTP, came in time."""
    address = (worker.host, worker.port) if isinstance(worker, TcpAddress) else str(worker)
    client = HttpClient(address, MOST_BODY, kept=0)
    try:
        async with asyncio.timeout(seconds):
            reply = await client.request("GET", path, [(b"connection", b"close")], host=b"worker")
    except ValueError:
        return TOO_LARGE, b""
    except (ConnectionBroken, TimeoutError):
        return None
    return reply.status, reply.body
