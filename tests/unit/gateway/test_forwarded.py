"""A server that asks nobody who they are answers nothing that a proxy forwards to it."""

import pytest
from starlette.datastructures import Headers

from tests.gateway_harness import GatewayHarness
from tidegate.gateway.callers import find_source, network_of
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
                assert answer.status_code in (400, 403) and "tidegate access user add" in answer.text, (
                    path,
                    answer.text,
                )
            assert "tidegate access user add" not in (await client.get(path)).text


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


# The address that a request comes from: what the proxy saw, unless a trusted proxy stands before it.


BEHIND = Settings.from_environment({"TIDEGATE_TRUSTED_PROXIES": "10.0.0.0/8, ::1"})


@pytest.mark.parametrize(
    ("settings", "seen", "said", "source"),
    [
        (Settings(), "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        (BEHIND, "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        (BEHIND, "10.1.2.3", "203.0.113.9", "203.0.113.9"),
        (BEHIND, "10.1.2.3", "198.51.100.1, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
        (BEHIND, "10.1.2.3", "", "10.1.2.3"),
        (BEHIND, "::1", "2001:db8::1", "2001:db8::1"),
        (BEHIND, "10.1.2.3", "<script>", ""),
        (BEHIND, "", "203.0.113.9", ""),
        (Settings(), "::ffff:192.0.2.1", "", "192.0.2.1"),
        (BEHIND, "::ffff:10.1.2.3", "::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_only_a_trusted_proxy_is_believed(settings: Settings, seen: str, said: str, source: str) -> None:
    headers = {"x-tidegate-source": seen} | ({"x-forwarded-for": said} if said else {})
    assert find_source(settings, Headers({name: value for name, value in headers.items() if value})) == source


def test_addresses_of_ipv6_are_limited_by_their_network() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::2") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1" != network_of("::ffff:192.0.2.2")
    assert network_of("192.0.2.1") == "192.0.2.1" and network_of("") == ""
