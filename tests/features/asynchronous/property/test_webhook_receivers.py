"""No form of an address that is not public passes for a public one, and only what is listed is an exception."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.host.address_policy import public, refusal

PRIVATE = [
    IPv4Network(text)
    for text in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("0.0.0.0/8", "100.64.0.0/10", "224.0.0.0/4", "240.0.0.0/4", "198.18.0.0/15"),
        *("192.0.0.0/29", "192.0.0.8/32", "192.0.0.11/32", "192.0.0.170/31", "192.0.0.128/25", "192.0.2.0/24"),
        *("198.51.100.0/24", "203.0.113.0/24", "192.88.99.0/24", "255.255.255.255/32"),
    )
]
INNER = st.sampled_from(PRIVATE).flatmap(
    lambda net: st.integers(int(net.network_address), int(net.broadcast_address)).map(IPv4Address)
)
PUBLIC = st.sampled_from(
    [
        *(
            "93.184.216.34",
            "8.8.8.8",
            "1.1.1.1",
            "151.101.1.69",
            "192.0.0.9",
            "192.0.0.10",
            "192.0.1.0",
            "191.255.255.255",
        ),
        *("100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "198.17.255.255", "198.20.0.0"),
        *(
            "223.255.255.255",
            "11.0.0.0",
            "9.255.255.255",
            "128.0.0.0",
            "126.255.255.255",
            "192.88.98.255",
            "1.0.0.0",
        ),
    ]
).map(IPv4Address)


def forms(inner: IPv4Address) -> list[IPv6Address]:
    """IPv6 addresses that mean this IPv4 one, or lead to it."""
    number = int(inner)
    return [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0x64FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80 | 1),
        IPv6Address(0x20010000 << 96 | int(IPv4Address("8.8.8.8")) << 64 | number ^ 0xFFFFFFFF),
        IPv6Address(number),
        IPv6Address(0xFFFF << 48 | number),
        IPv6Address(0x64FF9B0001 << 80 | number),
        IPv6Address((0x20010DB9 << 96) | 0x5EFE << 32 | number),
        IPv6Address((0x26064700 << 96) | 0x02005EFE << 32 | number),
    ]


@given(INNER)
def test_private_addresses_are_refused_in_every_notation(inner: IPv4Address) -> None:
    assert not public(inner)
    assert not any(public(form) for form in forms(inner))


@given(PUBLIC)
def test_public_addresses_are_accepted_plain_and_translated(inner: IPv4Address) -> None:
    assert public(inner)
    mapped, nat64, *_ = forms(inner)
    assert public(mapped) and public(nat64)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "::7f00:1",
            "2001:db8::1",
        ),
        *(
            "100::1",
            "100:0:0:1::1",
            "64:ff9b:1::1",
            "5f00::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "1fff::1",
            "::808:808",
        ),
        *(
            "2001::1",
            "2001:0:808:808::1",
            "2001:2::1",
            "2001:5::1",
            "2001:10::1",
            "2001:40::1",
            "2001:1ff::1",
            "2001:1::4",
        ),
        *("200::1", "a000::1", "::ffff:0:808:808", "2002:7f00:1::1", "2002:c000:8::1", "64:ff9b::c000:8"),
    ],
)
def test_ipv6_addresses_that_are_not_public(text: str) -> None:
    assert not public(IPv6Address(text))
    assert refusal("name", [text], []) is not None
    assert refusal("name", [text], [f"{text}/128"]) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2606:4700::1111",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "3ffe::1",
            "2620:4f:8000::1",
            "3fff:1000::1",
        ),
        *(
            "2001:1::1",
            "2001:1::3",
            "2001:3::1",
            "2001:4:112::1",
            "2001:20::1",
            "2001:2f::1",
            "2001:3f::1",
            "2002:808:808::1",
        ),
    ],
)
def test_ipv6_addresses_that_are_public(text: str) -> None:
    assert public(IPv6Address(text))


@given(INNER, PUBLIC)
def test_one_address_that_is_not_public_rules_out_a_name(inner: IPv4Address, other: IPv4Address) -> None:
    both = [str(other), str(inner)]
    assert refusal("hook.example", [str(other)], []) is None
    assert refusal("hook.example", both, []) is not None
    assert refusal("hook.example", both, ["Hook.Example."]) is None
    assert refusal("hook.example", both, ["example", "other.example"]) is not None
    assert refusal("hook.example", both, [str(inner)]) is None
    assert refusal("hook.example", both, ["0.0.0.0/0"]) is None


def test_an_ipv6_scope_does_not_make_an_address_public() -> None:
    assert refusal("name", ["fe80::1%lo"], []) is not None
    assert IPv6Address("2606:4700::1111") not in IPv6Network("fe80::/10")
    assert refusal("name", ["2606:4700::1111"], []) is None
