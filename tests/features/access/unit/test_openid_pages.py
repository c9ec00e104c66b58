"""Signing in by a provider of identity, honest and hostile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwk

from tests.features.access.openid_provider import CLIENT, ISSUER, SECRET, FakeProvider, make_key
from tests.features.access.signed_in import PAGE
from tests.gateway_harness import GatewayHarness
from tidegate.console import core_pages
from tidegate.console.page_context import PageContext
from tidegate.domain.access import Role
from tidegate.domain.errors import StartupError
from tidegate.features.access import login_pages, openid_pages
from tidegate.features.access.openid import find_role, user_name
from tidegate.features.access.openid_provider import OpenIdProvider
from tidegate.features.access.provider_settings import check_provider
from tidegate.gateway.app import build_app
from tidegate.settings import Settings

PUBLIC = "https://tidegate.example"
SETTINGS = Settings(
    public_url=PUBLIC,
    oidc_issuer=ISSUER,
    oidc_client=CLIENT,
    oidc_secret=SECRET,
    oidc_roles={"sre": Role.ADMIN, "ml": Role.OPERATOR},
)
ALICE = {"email": "alice@example.com", "email_verified": True, "groups": ["staff", "ml"]}


@dataclass
class World:
    harness: GatewayHarness = field(default_factory=lambda: GatewayHarness(SETTINGS, people=True))

    def __post_init__(self) -> None:
        gateway = self.harness.gateway
        self.provider = FakeProvider(self.harness.clock.now, dict(ALICE))
        asked = OpenIdProvider(SETTINGS, self.harness.clock.now, self.provider.client)
        routes = [
            *login_pages.routes(gateway),
            *openid_pages.routes(gateway, asked),
            *core_pages.list_routes(PageContext(gateway, {})),
        ]
        self.app = build_app(gateway, routes)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=PUBLIC) as client:
            yield client


async def begin(client: httpx.AsyncClient, target: str = "/console/jobs") -> str:
    answer = await client.get(f"/console/login/provider?next={target}")
    assert answer.status_code == 303
    return answer.headers["location"]


async def finish(client: httpx.AsyncClient, world: World) -> httpx.Response:
    """The whole way, as a browser goes it."""
    return await client.get(world.provider.authorize(await begin(client)))


async def test_a_person_signs_in_at_the_provider_and_has_the_role_of_a_group() -> None:
    world = World()
    async with world.browser() as client:
        assert "Sign in with https://login.example" in (await client.get("/console/login")).text
        address = await begin(client)
        asked = dict(parse_qsl(urlsplit(address).query))
        assert asked["redirect_uri"] == f"{PUBLIC}/console/login/callback" and asked["client_id"] == CLIENT
        assert SECRET not in address
        back = await client.get(world.provider.authorize(address))
        assert (back.status_code, back.headers["location"]) == (303, "/console/jobs")
        cookies = back.headers.get_list("set-cookie")
        assert len(cookies) == 2 and all("Secure" in one and "HttpOnly" in one for one in cookies)
        told = (await client.get("/console/session")).json()
        assert (told["name"], told["role"]) == ("oidc:alice@example.com", "operator")
        assert (await client.get("/console", headers=PAGE)).status_code == 200


async def test_an_answer_is_good_once_and_for_the_browser_that_asked() -> None:
    world = World()
    async with world.browser() as client, world.browser() as other:
        answer = world.provider.authorize(await begin(client))
        stolen = await other.get(answer)
        assert stolen.status_code == 401 and "another browser" in stolen.text
        assert (await client.get(answer)).status_code == 401  # what was tried elsewhere is used up
        answer = world.provider.authorize(await begin(client))
        assert (await client.get(answer)).status_code == 303
        replayed = await client.get(answer)
        assert replayed.status_code == 401 and "used already" in replayed.text


async def test_an_answer_that_nobody_asked_for_or_that_comes_too_late_is_refused() -> None:
    world = World()
    async with world.browser() as client:
        assert (await client.get("/console/login/callback?code=a&state=b")).status_code == 401
        assert (await client.get("/console/login/callback")).status_code == 401
        answer = world.provider.authorize(await begin(client))
        world.harness.clock.shift = timedelta(minutes=11)
        assert (await client.get(answer)).status_code == 401
        state = (await begin(client)).partition("state=")[2].partition("&")[0]
        refused = await client.get(f"/console/login/callback?error=access_denied&state={state}")
        assert refused.status_code == 401 and "did not let you in" in refused.text
        mixed = world.provider.authorize(await begin(client)) + "&iss=https://evil.example"
        assert (await client.get(mixed)).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of-another-login"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"aud": [CLIENT, "another-client"]},
        {"aud": [CLIENT, "another-client"], "azp": "another-client"},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"sub": None},
        {"iat": None},
    ],
    ids=str,
)
async def test_a_token_that_is_not_for_this_login_is_refused(claims: dict[str, Any]) -> None:
    world = World()
    world.provider.claims |= claims
    async with world.browser() as client:
        answer = await finish(client, world)
        assert answer.status_code == 401 and "ID token is not good" in answer.text
        assert (await client.get("/console/session")).status_code == 403


async def test_a_token_that_another_key_signed_or_none_is_refused() -> None:
    world = World()
    async with world.browser() as client:
        world.provider.signer = make_key(2)
        assert (await finish(client, world)).status_code == 401
        world.provider.algorithm, world.provider.signer = "HS256", jwk.OctKey.import_key(SECRET * 2)
        assert (await finish(client, world)).status_code == 401
        world.provider.algorithm = "none"
        assert (await finish(client, world)).status_code == 401


async def test_a_key_that_the_provider_replaced_is_read_again() -> None:
    world = World()
    async with world.browser() as client:
        assert (await finish(client, world)).status_code == 303
        world.provider.key = make_key(2)
        world.harness.clock.shift = timedelta(minutes=5)
        assert (await finish(client, world)).status_code == 303
        assert world.provider.asked.count("/keys") == 2


async def test_an_issuer_that_calls_itself_with_a_slash_is_the_same() -> None:
    world = World()
    world.provider.discovery = {"issuer": f"{ISSUER}/"}
    world.provider.claims["iss"] = f"{ISSUER}/"
    async with world.browser() as client:
        assert (await finish(client, world)).status_code == 303


async def test_who_has_no_group_that_counts_is_told_so_and_recorded() -> None:
    world = World()
    world.provider.claims["groups"] = ["visitors"]
    async with world.browser() as client:
        answer = await finish(client, world)
        assert answer.status_code == 401 and "has no role here" in answer.text
    entry = (await world.harness.trail.audit.read())[0]
    assert (entry.who, str(entry.outcome)) == ("oidc:alice@example.com", "refused")


async def test_a_provider_that_is_away_or_is_another_one_is_said() -> None:
    world = World()
    async with world.browser() as client:
        address = await begin(client)
        world.provider.down = True
        answer = await client.get(world.provider.authorize(address))
        assert answer.status_code == 401 and "does not answer" in answer.text
    for wrong in ({"issuer": "https://evil.example"}, {"token_endpoint": "http://login.example/token"}):
        world = World()
        world.provider.discovery = wrong
        async with world.browser() as client:
            assert (await client.get("/console/login/provider")).status_code == 503


async def test_beginning_without_end_is_limited() -> None:
    world = World()
    async with world.browser() as client:
        found = [(await client.get("/console/login/provider")).status_code for _ in range(35)]
    assert found[:30] == [303] * 30 and set(found[31:]) == {429}


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"sub": "1", "email": "a@b.c", "email_verified": True}, "oidc:a@b.c"),
        ({"sub": "1", "email": "ceo@b.c", "email_verified": False}, "oidc:1"),
        ({"sub": "1", "email": "ceo@b.c"}, "oidc:1"),
        ({"sub": "1", "preferred_username": "ceo"}, "oidc:ceo#1"),
        ({"sub": "1\n\x1b[31m", "preferred_username": ["x"]}, "oidc:1[31m"),
    ],
)
def test_a_name_is_one_that_others_cannot_take(claims: dict[str, Any], name: str) -> None:
    assert user_name(claims) == name


@pytest.mark.parametrize(
    ("claims", "claim", "role"),
    [
        ({"groups": ["ml", "sre"]}, "groups", Role.ADMIN),
        ({"groups": "ml"}, "groups", Role.OPERATOR),
        ({"realm": {"roles": ["ml"]}}, "realm.roles", Role.OPERATOR),
        ({"https://x.example/roles": ["sre"]}, "https://x.example/roles", Role.ADMIN),
        ({"groups": [{"sre": 1}, 7]}, "groups", None),
        ({"groups": {"sre": 1}}, "groups", None),
        ({}, "groups", None),
        ({"groups": ["srex"]}, "groups", None),
    ],
)
def test_the_highest_role_of_a_claim_counts(claims: dict[str, Any], claim: str, role: Role | None) -> None:
    assert find_role(claims, claim, SETTINGS.oidc_roles) is role
    assert find_role(claims, claim, {"*": Role.VIEWER}) is Role.VIEWER


@pytest.mark.parametrize("missing", ["oidc_client", "oidc_roles", "public_url"])
def test_a_provider_that_is_set_in_part_stops_the_start(missing: str) -> None:
    check_provider(SETTINGS)
    values: dict[str, Any] = {"oidc_roles": {}}
    with pytest.raises(StartupError, match=f"TIDEGATE_{missing.upper()}"):
        check_provider(Settings(**{**vars(SETTINGS), missing: values.get(missing, "")}))


def test_a_provider_without_encryption_stops_the_start() -> None:
    with pytest.raises(StartupError, match="https://"):
        check_provider(Settings(**{**vars(SETTINGS), "oidc_issuer": "http://login.example"}))
