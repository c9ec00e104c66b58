"""Whether a worker of this machine is ready, and still well."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet

from tidegate.host.unix_sockets import has_no_listener, socket_inode
from tidegate.http1.messages import HttpReply, format_head
from tidegate.targets.collection.worker_http import KeptConnection, get
from tidegate.targets.local.health import PingAnswer

PING_TIMEOUT = 2.0
"""Seconds per try (the container contract's own limit)."""
CONNECT_EVERY = 10.0
"""Seconds after which a ping makes a new connection, so that a worker that accepts none is found."""
PING = format_head("GET", "/ping", (), 0, b"worker")
MOST_KEPT = 200
"""Connections that are kept: a process may often have no more than 1,024 open files. Other workers are asked over a
new connection each time."""


async def ready(socket: Path, seconds: float = PING_TIMEOUT) -> bool:
    answer = await get(socket, "/ping", seconds)
    return answer is not None and answer[0] == 200


@dataclass(eq=False)
class WorkerPings:
    """Asks one worker that was ready whether it still is, over a connection that is kept while its socket has the
    same place: most of what a ping costs both is a new connection."""

    socket: Path
    clock: Callable[[], float] = time.monotonic
    _keeping: ClassVar[WeakSet["WorkerPings"]] = WeakSet()
    """All that have a connection."""
    _kept: KeptConnection | None = field(default=None, repr=False)
    _inode: int | None = None
    _connected: float = 0.0

    def begin(self, seconds: float) -> "Ping":
        """Ask without waiting. ``seconds`` bound it."""
        return Ping(self, seconds)

    async def ask(self, seconds: float) -> PingAnswer:
        """Ping the worker, and return its answer within ``seconds``. Raises nothing."""
        answer = await self._connection().get("/ping", seconds)
        if len(self._keeping) > MOST_KEPT:
            self.close()
        if answer is not None:
            return _answer_of(answer[0])
        return self.find_silence()

    def ask_again(self) -> "asyncio.Future[HttpReply] | None":
        """Ask over the kept connection; None: there is none that may be used."""
        return self._connection().ask_again(PING)

    async def get(self, path: str, seconds: float) -> tuple[int, bytes] | None:
        """Read another page, over the kept connection if there is one: it is not made for this."""
        kept = self._kept
        if kept is None:
            return await get(self.socket, path, seconds)
        answer = await kept.get(path, seconds)
        if kept is not self._kept:
            kept.close()  # it is not to be kept any more
        return answer

    def find_silence(self) -> PingAnswer:
        """Why there is no answer."""
        self.close()
        return PingAnswer.REFUSED if has_no_listener(self.socket) else PingAnswer.NONE

    def close(self) -> None:
        kept, self._kept = self._kept, None
        self._keeping.discard(self)
        if kept is not None:
            kept.close()

    def _connection(self) -> KeptConnection:
        """The kept connection, or a new one if it is old or leads to a socket that nobody else could reach now."""
        now, inode = self.clock(), socket_inode(self.socket)
        if self._kept is not None and (inode != self._inode or now - self._connected >= CONNECT_EVERY):
            self.close()
        if self._kept is None:
            self._kept, self._inode, self._connected = KeptConnection(self.socket), inode, now
            self._keeping.add(self)
        return self._kept


class Ping:
    """A question that is open or answered. Over a kept connection it takes neither a task nor a timer: hundreds of
    workers are asked each second."""

    def __init__(self, pings: WorkerPings, seconds: float) -> None:
        self._pings, self._seconds = pings, seconds
        self._until = pings.clock() + seconds
        self._answer: PingAnswer | None = None
        self._asking: asyncio.Task[PingAnswer] | None = None
        self._reply = pings.ask_again()
        if self._reply is None:
            self._ask()
        else:
            self._reply.add_done_callback(self._take)

    def look(self) -> PingAnswer | None:
        """Return the answer to the ping. None: it is still open."""
        if self._asking is not None and self._asking.done():
            failed = self._asking.cancelled() or self._asking.exception() is not None
            return PingAnswer.NONE if failed else self._asking.result()
        if self._answer is None and self._reply is not None and self._pings.clock() >= self._until:
            self.cancel()
            self._answer = self._pings.find_silence()
        return self._answer

    def cancel(self) -> None:
        reply, self._reply = self._reply, None
        for one in (reply, self._asking):
            if one is not None:
                one.cancel()

    def _ask(self) -> None:
        self._asking = asyncio.create_task(self._pings.ask(self._seconds))

    def _take(self, reply: "asyncio.Future[HttpReply]") -> None:
        if self._reply is None:
            return
        self._reply = None
        if reply.cancelled() or reply.exception() is not None:
            self._ask()  # over a new connection, at once
        else:
            self._answer = _answer_of(reply.result().status)


def _answer_of(status: int) -> PingAnswer:
    return PingAnswer.GOOD if status == 200 else PingAnswer.UNWELL
