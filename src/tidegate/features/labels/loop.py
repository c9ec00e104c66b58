"""The loop that follows late labels: imported once there are any, so that other servers start without it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tidegate.compose.background import Services, Worker
from tidegate.host.late_import import load
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store
from tidegate.settings import Settings


@dataclass
class LabelLoop(Worker):
    settings: Settings
    store: Store
    metrics: Metrics
    clock: Clock
    _turn: Callable[[], Awaitable[None]] | None = None

    async def turn(self) -> None:
        folder = self.settings.state / "labels"
        if self._turn is None:
            if not folder.is_dir():
                return
            kind = await asyncio.to_thread(load, "tidegate.features.labels.follow", "LabelFollower")
            s3 = (self.settings.s3_endpoint, self.settings.region)
            self._turn = kind(folder, self.store, self.metrics, self.clock, s3, time.monotonic).turn
        await self._turn()


def make_loop(services: Services) -> LabelLoop:
    return LabelLoop(services.settings, services.store, services.metrics, services.clock)
