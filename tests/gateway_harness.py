"""A gateway on a store in memory, for tests: what stands around it is recorded or set by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

import httpx
from starlette.types import ASGIApp

from tidegate.advisor.planner import api as planner_api
from tidegate.auth.keys import is_signing_required
from tidegate.console import compute_api
from tidegate.gateway.app import build_app
from tidegate.gateway.dependencies import Gateway
from tidegate.host.clock import RandomIds, SystemClock
from tidegate.ports.logs import ReplicaLog
from tidegate.settings import Settings
from tidegate.store import SqlStore, open_store
from tidegate.testing.memory_metrics import MemoryMetrics
from tidegate.wire.operation import WireContext

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNED = Settings(access_keys={KEY: SECRET})
OPEN = Settings()


@dataclass
class ShiftedClock:
    """The present, ``shift`` later."""

    shift: timedelta = timedelta()

    def now(self) -> datetime:
        return SystemClock().now() + self.shift


async def _writable() -> str | None:
    return None


@dataclass
class GatewayHarness:
    """A gateway and what happened around it."""

    settings: Settings = OPEN
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    store: SqlStore = field(default_factory=lambda: open_store("sqlite://"))
    proxy: bool = True
    kicked: list[str] = field(default_factory=list)
    downs: int = 0
    logged: list[str] = field(default_factory=lambda: ["started"])
    """What every endpoint's one replica wrote; without any, there is no replica."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: str | None = None
    unwritable: Callable[[], Awaitable[str | None]] = _writable

    @cached_property
    def app(self) -> ASGIApp:
        return build_app(self.gateway, [*planner_api.routes(self.gateway), *compute_api.routes(self.gateway)])

    @cached_property
    def gateway(self) -> Gateway:
        context = WireContext(
            store=self.store,
            metrics=self.metrics,
            clock=self.clock,
            ids=RandomIds(),
            region="us-east-1",
            account="000000000000",
            kick=self.kicked.append,
            check_answers=True,
        )
        return Gateway(
            settings=self.settings,
            context=context,
            signed=is_signing_required(self.settings),
            proxy_up=self._proxy_up,
            prometheus=self._page,
            logs=self._logs,
            progress=lambda name: None,
            models=self._models,
            down=self._down,
            changed=self.changed,
            trouble=lambda: self.trouble,
            unwritable=self.unwritable,
        )

    async def _proxy_up(self) -> bool:
        return self.proxy

    async def _page(self) -> str:
        return "tidegate_invocations_total 1\n"

    async def _logs(self, endpoint: str, tail: int) -> list[ReplicaLog]:
        lines = tuple(self.logged[-tail:])
        return [ReplicaLog(1, "AllTraffic", f"{endpoint}-0", lines)] if lines else []

    async def _models(self, endpoint: str, most: int) -> list[dict[str, object]]:
        return [{"replica": f"{endpoint}-0", "models": [{"name": f"m{n}"} for n in range(min(most, 3))]}]

    def _down(self) -> None:
        self.downs += 1

    def client(self) -> httpx.AsyncClient:
        """In-process; what the application lets escape is raised here."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:8471")
