"""The job's workers as its runner sees them: which are ready, and whose turn it is.

They are found in their folders on disk, where whoever supervises them marks each that is ready; one that dies is
left out, and another takes its place there.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidegate.serving.runtimes.http_client import Client, ConnectionBroken

LOOK_EVERY = 0.02
"""Seconds between looks while a free worker is waited for."""
REST = 1.0
"""Seconds between looks otherwise."""
ASK = 5.0
"""Seconds for a small question."""
LARGEST_ANSWER = 1024 * 1024 * 1024


class _Start(msgspec.Struct):
    socket: str


@dataclass
class Worker:
    client: Client
    busy: int = 0


@dataclass
class Fleet:
    """``folder`` holds one folder per replica. ``each``: requests at one time to one of them."""

    folder: Path
    each: int = 1
    _workers: dict[str, Worker] = field(default_factory=dict)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)
    _looked: float = float("-inf")

    async def take(self) -> Worker:
        """The least busy worker; waits until one has room."""
        while True:
            self._look()
            free = min(self._workers.values(), key=lambda worker: worker.busy, default=None)
            if free is not None and free.busy < self.each:
                free.busy += 1
                return free
            self._freed.clear()
            waiting = asyncio.create_task(self._freed.wait())
            await asyncio.wait((waiting,), timeout=LOOK_EVERY if not self._workers else REST)
            waiting.cancel()

    async def parameters(self) -> bytes:
        """What the container of the first worker that is ready says of itself."""
        while True:
            worker = await self.take()
            try:
                async with asyncio.timeout(ASK):
                    reply = await worker.client.ask("GET", "/execution-parameters")
                return reply.body if reply.status == 200 else b""
            except (ConnectionBroken, TimeoutError, ValueError):
                self.lost(worker)
            finally:
                self.give_back(worker)

    def give_back(self, worker: Worker) -> None:
        worker.busy -= 1
        self._freed.set()

    def lost(self, worker: Worker) -> None:
        """It did not answer: not to be asked again unless it is found alive."""
        self._workers = {name: each for name, each in self._workers.items() if each is not worker}
        worker.client.close()
        self._looked = float("-inf")

    def close(self) -> None:
        for worker in self._workers.values():
            worker.client.close()

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked < (REST if self._workers else 0.0):
            return
        self._looked = now
        ready = {}
        for folder in self.folder.iterdir() if self.folder.is_dir() else []:
            if (folder / "ready").exists() and not (folder / "draining").exists():
                try:
                    ready[folder.name] = msgspec.json.decode(
                        (folder / "replica.json").read_bytes(), type=_Start
                    ).socket
                except (OSError, msgspec.DecodeError):
                    continue
        for name in self._workers.keys() - ready.keys():
            del self._workers[name]
        for name, socket in ready.items():
            if name not in self._workers and Path(socket).exists():
                self._workers[name] = Worker(Client(socket, LARGEST_ANSWER))
