"""A gateway on a store in memory, for tests: what stands around it is recorded or set by hand."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from random import Random

import httpx
from starlette.types import ASGIApp

from tests.memory_metrics import MemoryMetrics
from tidegate.auth.keys import is_login_required
from tidegate.auth.logins import Logins
from tidegate.auth.passwords import Cost
from tidegate.console.late_routes import page_groups
from tidegate.console.page_context import PageContext
from tidegate.domain.registry import PinnedModel
from tidegate.gateway.app import build_app
from tidegate.gateway.dependencies import Gateway, PredictionResponse
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.host.clock import RandomIds, SystemClock
from tidegate.host.features import load_reference
from tidegate.ports.logs import ReplicaLog
from tidegate.service.audit_trail import Trail
from tidegate.settings import Settings
from tidegate.store import SqlStore, open_store
from tidegate.store.access import SqlAccess
from tidegate.store.audit import SqlAudit
from tidegate.wire.operation import WireContext, refuse_registry

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNED = Settings(access_keys={KEY: SECRET})
OPEN = Settings()
CHEAP = Cost(4, 1)
"""A cost of hashing passwords with which tests are not slow."""


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
    listed: list[dict[str, object]] | None = None
    """What each replica of a multi-model endpoint lists, in place of three names."""
    trouble: str | None = None
    people: bool = False
    """Whether there are users, so that a login is required."""
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """Predictions that went to the proxy."""
    unwritable: Callable[[], Awaitable[str | None]] = _writable
    resolve_model: Callable[[str], Awaitable[PinnedModel]] = refuse_registry

    @cached_property
    def app(self) -> ASGIApp:
        make_context = load_reference("tidegate.console.page_context:PageContext")
        rehearsals = load_reference("tidegate.features.rehearse.page_routes:page_routes")
        return build_app(self.gateway, rehearsals(make_context(self.gateway, {}, warm=False)))

    @cached_property
    def logins(self) -> Logins:
        """With the same secrets in every run."""
        return Logins(SqlAccess(self.store.database), Random(1).randbytes, cost=CHEAP)

    @cached_property
    def trail(self) -> Trail:
        return Trail(SqlAudit(self.store.database), self.clock.now)

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
            resolve_model=self.resolve_model,
            check_answers=True,
        )
        return Gateway(
            settings=self.settings,
            context=context,
            signed=self.people or is_login_required(self.settings, False),
            logins=self.logins,
            trail=self.trail,
            predict=self._predict,
            proxy_up=self._proxy_up,
            prometheus=self._page,
            logs=self._logs,
            models=self._models,
            down=self._down,
            changed=self.changed,
            trouble=lambda: self.trouble,
            unwritable=self.unwritable,
        )

    async def _predict(self, path: str, headers: Mapping[str, str], body: bytes) -> PredictionResponse:
        self.asked.append((path, dict(headers), body))
        return PredictionResponse(200, {"content-type": "text/html", "set-cookie": "a=b"}, b"<b>0.5</b>")

    async def _proxy_up(self) -> bool:
        return self.proxy

    async def _page(self) -> str:
        return "tidegate_invocations_total 1\n"

    async def _logs(self, endpoint: str, tail: int) -> list[ReplicaLog]:
        lines = tuple(self.logged[-tail:])
        return [ReplicaLog(1, "AllTraffic", f"{endpoint}-0", lines)] if lines else []

    async def _models(self, endpoint: str, most: int) -> list[dict[str, object]]:
        if self.listed is not None:
            return self.listed
        return [{"replica": f"{endpoint}-0", "models": [{"name": f"m{n}"} for n in range(min(most, 3))]}]

    def _down(self) -> None:
        self.downs += 1

    def client(self) -> httpx.AsyncClient:
        """In-process; what the application lets escape is raised here."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:8471")


def late_pages(gateway: Gateway) -> list[GuardedRoute]:
    """All that the server imports late: the pages of the core and of the features."""
    context = PageContext(gateway, {}, warm=False)
    return [route for group in page_groups() for route in load_reference(group.make)(context)]
