"""Whether a worker of this machine is ready, and still well."""

from pathlib import Path

from tidegate.host.unix_sockets import has_no_listener
from tidegate.targets.collection.worker_http import get
from tidegate.targets.local.health import PingAnswer

PING_TIMEOUT = 2.0
"""Seconds per try (the container contract's own limit)."""


async def ready(socket: Path, seconds: float = PING_TIMEOUT) -> bool:
    answer = await get(socket, "/ping", seconds)
    return answer is not None and answer[0] == 200


async def ask(socket: Path, seconds: float) -> PingAnswer:
    """Whether a replica that was ready still is."""
    if (answer := await get(socket, "/ping", seconds)) is not None:
        return PingAnswer.GOOD if answer[0] == 200 else PingAnswer.UNWELL
    return PingAnswer.REFUSED if has_no_listener(socket) else PingAnswer.NONE
