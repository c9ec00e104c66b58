"""To which machines webhooks go. Pure.

Whoever may create endpoints names the receivers, and the server sends from inside its own network. So that nobody
reaches through it what only this machine or its neighbours should reach (a metadata service, a database, the
controller itself), an address that is not public is refused unless the server's owner has listed it.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses that stand for an IPv4 address in their last four bytes."""


def refusal(host: str, addresses: Sequence[str], allowed: Sequence[str]) -> str | None:
    """Why nothing is sent to ``host``, which has these addresses; None: it may be. ``allowed`` are names, addresses
    and networks (``10.0.0.0/8``). One address that may not be used rules out all of them: a name that is sometimes
    public and sometimes not is nobody's honest receiver."""
    if host.lower().rstrip(".") in {one.lower().rstrip(".") for one in allowed}:
        return None
    networks = [network for network in map(_network, allowed) if network is not None]
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        if not public(address) and not any(address in network for network in networks):
            return (
                f"{host} is {text}, which is not public; the server's owner may list it in TIDEGATE_WEBHOOK_HOSTS"
            )
    return None


def public(address: Address) -> bool:
    """Whether the address is one of the internet's, also where it carries another one within."""
    if isinstance(address, IPv6Address):
        within = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            return public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address.ipv4_mapped is not None:
            return public(address.ipv4_mapped)
        if address.is_site_local or not all(public(one) for one in within if one is not None):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
