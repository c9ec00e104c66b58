"""Whether a worker of this machine is ready, and still well."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet

from tidegate.host.unix_sockets import has_no_listener, socket_inode
from tidegate.targets.collection.worker_http import KeptConnection, get
from tidegate.targets.local.health import PingAnswer

PING_TIMEOUT = 2.0
"""Seconds per try (the container contract's own limit)."""
CONNECT_EVERY = 10.0
"""Seconds after which a ping makes a new connection, so that a worker that accepts none is found."""
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

    async def ask(self, seconds: float) -> PingAnswer:
        """Raises nothing; ``seconds`` bound it."""
        answer = await self._connection().get("/ping", seconds)
        if len(self._keeping) > MOST_KEPT:
            self.close()
        if answer is not None:
            return PingAnswer.GOOD if answer[0] == 200 else PingAnswer.UNWELL
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
