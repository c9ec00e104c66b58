"""Browsers with a session on a gateway in memory, for tests: what a page would send, and what an attacker would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from tests.gateway_harness import CHEAP, GatewayHarness, late_pages
from tidegate.domain.access import Caller, Means, Role
from tidegate.features.access.service import UserBook
from tidegate.gateway.app import build_app
from tidegate.store.access import SqlAccess

PASSWORD = "correct horse battery"
SITE = "http://127.0.0.1:8471"
PAGE = {"Accept": "text/html"}


@dataclass
class House:
    """A gateway with a login, its console and its users."""

    harness: GatewayHarness = field(default_factory=lambda: GatewayHarness(people=True))

    def __post_init__(self) -> None:
        self.app = build_app(self.harness.gateway, late_pages(self.harness.gateway))

    @property
    def users(self) -> UserBook:
        book = SqlAccess(self.harness.store.database)
        admin = Caller("root", Role.ADMIN, Means.MACHINE)
        return UserBook(book, self.harness.trail.audit, admin, self.harness.logins.random, CHEAP)

    async def add(self, name: str, role: Role) -> None:
        await self.users.add(name, role, PASSWORD, self.harness.clock.now())

    @asynccontextmanager
    async def browser(self, base: str = SITE, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
            yield client

    @asynccontextmanager
    async def signed_in(self, name: str, role: Role) -> AsyncIterator[httpx.AsyncClient]:
        """The browser of a new user, which sends what the pages' scripts send."""
        await self.add(name, role)
        async with self.browser() as client:
            assert (await login(client, name)).status_code == 303
            client.headers["x-csrf-token"] = (await client.get("/console/session")).json()["csrf"]
            client.headers["origin"] = SITE
            yield client

    async def audit(self) -> list[tuple[str, str, str]]:
        """Who, action and outcome, oldest first."""
        found = await self.harness.trail.audit.read(limit=1000)
        return [(entry.who, entry.action, str(entry.outcome)) for entry in found[::-1]]


async def login(client: httpx.AsyncClient, name: str, password: str = PASSWORD, **form: str) -> httpx.Response:
    return await client.post("/console/login", data={"name": name, "password": password, **form})


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])
