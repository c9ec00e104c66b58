"""The address that a request comes from: what the proxy saw, unless a trusted proxy stands before it."""

import pytest
from starlette.datastructures import Headers

from tidegate.gateway.callers import find_source, network_of
from tidegate.settings import Settings

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
