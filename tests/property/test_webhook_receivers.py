"""No form of an address that is not public passes for a public one, and only what is listed is an exception."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.queueing.receivers import public, refusal

PRIVATE = [
    IPv4Network(text)
    for text in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("0.0.0.0/8", "100.64.0.0/10", "224.0.0.0/4", "240.0.0.0/4", "198.18.0.0/15"),
    )
]
INNER = st.sampled_from(PRIVATE).flatmap(
    lambda net: st.integers(int(net.network_address), int(net.broadcast_address)).map(IPv4Address)
)
PUBLIC = st.sampled_from(["93.184.216.34", "8.8.8.8", "1.1.1.1", "151.101.1.69"]).map(IPv4Address)


def forms(inner: IPv4Address) -> list[IPv6Address]:
    """IPv6 addresses that mean this IPv4 one, or lead to it."""
    number = int(inner)
    return [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0x64FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80 | 1),
        IPv6Address(0x20010000 << 96 | int(IPv4Address("8.8.8.8")) << 64 | number ^ 0xFFFFFFFF),
    ]


@given(INNER)
def test_what_is_not_public_is_not_public_in_any_form(inner: IPv4Address) -> None:
    assert not public(inner)
    assert not any(public(form) for form in forms(inner))


@given(PUBLIC)
def test_what_is_public_is_so_as_itself_and_where_a_network_translates_it(inner: IPv4Address) -> None:
    assert public(inner)
    mapped, nat64, *_ = forms(inner)
    assert public(mapped) and public(nat64)


@pytest.mark.parametrize(
    "text", ["::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::7f00:1", "2001:db8::1"]
)
def test_ipv6_addresses_that_are_not_public(text: str) -> None:
    assert not public(IPv6Address(text))
    assert refusal("name", [text], []) is not None
    assert refusal("name", [text], [f"{text}/128"]) is None


@given(INNER, PUBLIC)
def test_one_address_that_is_not_public_rules_out_a_name(inner: IPv4Address, other: IPv4Address) -> None:
    both = [str(other), str(inner)]
    assert refusal("hook.example", [str(other)], []) is None
    assert refusal("hook.example", both, []) is not None
    assert refusal("hook.example", both, ["Hook.Example."]) is None
    assert refusal("hook.example", both, ["example", "other.example"]) is not None
    assert refusal("hook.example", both, [str(inner)]) is None
    assert refusal("hook.example", both, ["0.0.0.0/0"]) is None


def test_a_scope_is_no_way_around() -> None:
    assert refusal("name", ["fe80::1%lo"], []) is not None
    assert IPv6Address("2606:4700::1111") not in IPv6Network("fe80::/10")
    assert refusal("name", ["2606:4700::1111"], []) is None
