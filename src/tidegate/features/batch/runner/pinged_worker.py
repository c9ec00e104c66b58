"""The worker beside a runner, in another container of the same pod: it is ready while it answers pings."""

import asyncio
from dataclasses import dataclass, field

from tidegate.features.batch.runner.worker_pool import TIMEOUT, Address
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken

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
