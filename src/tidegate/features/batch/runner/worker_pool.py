"""The job's workers: which are ready, and which is least busy. One that dies is left out until it is replaced."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken

EMPTY_INTERVAL = 0.02
"""Seconds between looks for workers while there is none."""
INTERVAL = 1.0
"""Seconds between looks for workers otherwise."""
TIMEOUT = 5.0
"""Seconds for a small request."""
MAX_ANSWER = 1024 * 1024 * 1024


Address = str | tuple[str, int]
"""A unix socket's path, or an IP address with a port."""


class Workers(Protocol):
    def ready(self) -> dict[str, Address]:
        """Name -> address of those that take requests now."""
        ...

    def miss(self, name: str) -> None:
        """A worker did not answer."""
        ...


class _ReplicaFile(msgspec.Struct):
    socket: str


@dataclass(frozen=True)
class ReplicaFolders:
    """Workers of this machine: ``folder`` holds one folder for each, where its supervisor marks it as ready."""

    folder: Path

    def ready(self) -> dict[str, Address]:
        found: dict[str, Address] = {}
        for folder in self.folder.iterdir() if self.folder.is_dir() else []:
            if (folder / "ready").exists() and not (folder / "draining").exists():
                try:
                    content = (folder / "replica.json").read_bytes()
                    socket = msgspec.json.decode(content, type=prepare_type(_ReplicaFile)).socket
                except (OSError, msgspec.DecodeError):
                    continue
                if Path(socket).exists():
                    found[folder.name] = socket
        return found

    def miss(self, name: str) -> None:
        """Its supervisor notices, too."""


@dataclass
class PooledWorker:
    client: HttpClient
    busy: int = 0


@dataclass
class WorkerPool:
    """``concurrency``: requests at one time to one of them."""

    found: Workers
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
        for name in [name for name, each in self._workers.items() if each is worker]:
            del self._workers[name]
            self.found.miss(name)
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
        ready = self.found.ready()
        for name in self._workers.keys() - ready.keys():
            del self._workers[name]
        for name, address in ready.items():
            if name not in self._workers:
                self._workers[name] = PooledWorker(HttpClient(address, MAX_ANSWER))


# The worker beside a runner, in another container of the same pod: it is ready while it answers pings.


EVERY = 0.2
"""Seconds between pings while it is not ready."""
NAME = "worker"


@dataclass
class PingedWorker:
    """A ``worker_pool.Workers`` of one."""

    address: Address
    _ready: bool = False
    _missed: asyncio.Event = field(default_factory=asyncio.Event)

    def ready(self) -> dict[str, Address]:
        return {NAME: self.address} if self._ready else {}

    def miss(self, name: str) -> None:
        self._ready = False
        self._missed.set()

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            client = HttpClient(self.address, 1 << 16)
            try:
                async with asyncio.timeout(TIMEOUT):
                    self._ready = (await client.request("GET", "/ping")).status == 200
            except (ConnectionBroken, TimeoutError, ValueError):
                self._ready = False
            finally:
                client.close()
            if self._ready:
                self._missed.clear()
                await self._missed.wait()
            await asyncio.sleep(EVERY)
