"""The job's workers: which are ready, and which is least busy.

They are found in their folders on disk, where their supervisor marks each that is ready; one that dies is left out
until it is replaced.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken

EMPTY_INTERVAL = 0.02
"""Seconds between looks for workers while there is none."""
INTERVAL = 1.0
"""Seconds between looks for workers otherwise."""
TIMEOUT = 5.0
"""Seconds for a small request."""
MAX_ANSWER = 1024 * 1024 * 1024


class _ReplicaFile(msgspec.Struct):
    socket: str


@dataclass
class PooledWorker:
    client: HttpClient
    busy: int = 0


@dataclass
class WorkerPool:
    """``folder`` holds one folder per replica. ``concurrency``: requests at one time to one of them."""

    folder: Path
    concurrency: int = 1
    _workers: dict[str, PooledWorker] = field(default_factory=dict)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)
    _looked: float = float("-inf")

    async def acquire(self) -> PooledWorker:
        """Waits for a worker with fewer than ``concurrency`` requests; returns the least busy."""
        while True:
            self._find_workers()
            free = min(self._workers.values(), key=lambda worker: worker.busy, default=None)
            if free is not None and free.busy < self.concurrency:
                free.busy += 1
                return free
            self._freed.clear()
            waiting = asyncio.create_task(self._freed.wait())
            await asyncio.wait((waiting,), timeout=EMPTY_INTERVAL if not self._workers else INTERVAL)
            waiting.cancel()

    async def execution_parameters(self) -> bytes:
        """The answer of the first worker that is ready to ``GET /execution-parameters``; empty: none."""
        while True:
            worker = await self.acquire()
            try:
                async with asyncio.timeout(TIMEOUT):
                    reply = await worker.client.request("GET", "/execution-parameters")
                return reply.body if reply.status == 200 else b""
            except (ConnectionBroken, TimeoutError, ValueError):
                self.discard(worker)
            finally:
                self.release(worker)

    def release(self, worker: PooledWorker) -> None:
        worker.busy -= 1
        self._freed.set()

    def discard(self, worker: PooledWorker) -> None:
        """Drops a worker that did not answer, until it is found ready again."""
        self._workers = {name: each for name, each in self._workers.items() if each is not worker}
        worker.client.close()
        self._looked = float("-inf")

    def close(self) -> None:
        for worker in self._workers.values():
            worker.client.close()

    def _find_workers(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked < (INTERVAL if self._workers else 0.0):
            return
        self._looked = now
        ready = {}
        for folder in self.folder.iterdir() if self.folder.is_dir() else []:
            if (folder / "ready").exists() and not (folder / "draining").exists():
                try:
                    ready[folder.name] = msgspec.json.decode(
                        (folder / "replica.json").read_bytes(), type=_ReplicaFile
                    ).socket
                except (OSError, msgspec.DecodeError):
                    continue
        for name in self._workers.keys() - ready.keys():
            del self._workers[name]
        for name, socket in ready.items():
            if name not in self._workers and Path(socket).exists():
                self._workers[name] = PooledWorker(HttpClient(socket, MAX_ANSWER))
