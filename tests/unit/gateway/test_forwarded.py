"""A server that asks nobody who they are answers nothing that a proxy forwards to it."""

import pytest

from tests.gateway_harness import GatewayHarness
from tidegate.settings import Settings

PLACES = ("/tidegate/v1/endpoints", "/console", "/healthz", "/metrics", "/endpoints/fraud/invocations", "/")
PROXIES = (
    {"x-forwarded-for": "203.0.113.9"},
    {"x-forwarded-for": ""},
    {"X-Forwarded-Host": "tidegate.example"},
    {"forwarded": "for=203.0.113.9"},
    {"x-real-ip": "203.0.113.9"},
    {"via": "1.1 proxy"},
)


@pytest.mark.parametrize("headers", PROXIES, ids=str)
async def test_what_is_forwarded_is_refused_without_a_login(headers: dict[str, str]) -> None:
    async with GatewayHarness().client() as client:
        for path in PLACES:
            for method in ("GET", "POST"):
                answer = await client.request(method, path, headers=headers)
                assert answer.status_code in (400, 403) and "tidegate user add" in answer.text, (path, answer.text)
            assert "tidegate user add" not in (await client.get(path)).text


async def test_the_public_name_is_none_of_a_server_without_a_login() -> None:
    harness = GatewayHarness(Settings(public_url="http://localhost:8471"))
    vars(harness.gateway)["settings"] = Settings(public_url="https://tidegate.example")
    async with harness.client() as client:
        host = {"host": "tidegate.example"}
        answer = await client.get("/tidegate/v1/endpoints", headers=host)
        assert answer.status_code == 403 and "Host header" in answer.text


async def test_with_a_login_a_proxy_may_forward() -> None:
    harness = GatewayHarness(Settings(public_url="https://tidegate.example"), people=True)
    async with harness.client() as client:
        headers = {"host": "tidegate.example", "x-forwarded-for": "203.0.113.9"}
        answer = await client.get("/tidegate/v1/endpoints", headers=headers)
        assert "Missing Authentication Token" in answer.text
