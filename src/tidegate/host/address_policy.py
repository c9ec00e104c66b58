"""Which hosts that users name may be sent to: receivers of webhooks, and services that are models. Pure.

Anyone who may create endpoints names them, and the server sends from inside its own network. Against server-side
request forgery (to a metadata service, a database, the controller itself), an address that is not public is refused
unless the server's owner has listed it.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REACHABLE = """
0.0.0.0/0       192.0.0.9/32    192.0.0.10/32
2000::/3        64:ff9b::/96    ::ffff:0:0/96
2001:1::1/128   2001:1::2/128   2001:1::3/128   2001:3::/32   2001:4:112::/48   2001:20::/28   2001:30::/28
"""
_NOT_REACHABLE = """
0.0.0.0/8       10.0.0.0/8      100.64.0.0/10   127.0.0.0/8     169.254.0.0/16  172.16.0.0/12   192.0.0.0/24
192.0.2.0/24    192.88.99.0/24  192.168.0.0/16  198.18.0.0/15   198.51.100.0/24 203.0.113.0/24  224.0.0.0/4
240.0.0.0/4
::/0            2001::/23       2001:db8::/32   3fff::/20
"""
# IANA's special-purpose address registries (RFC 6890 and what updated it, to 2025), by "Globally Reachable", with
# multicast. The longest prefix decides. Of IPv6, only 2000::/3 has been given out. Python's own is_global depends on
# its version: 3.11 calls 192.0.0.8 public.
_BY_LENGTH = sorted(
    [(ip_network(text), True) for text in _REACHABLE.split()]
    + [(ip_network(text), False) for text in _NOT_REACHABLE.split()],
    key=lambda entry: -entry[0].prefixlen,
)

_TRANSLATED = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""IPv4-mapped addresses, and those that a NAT64 translates: the last four bytes are an IPv4 address."""
_SIX_TO_FOUR = IPv6Network("2002::/16")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""The first half of an interface identifier whose second half is an IPv4 address (RFC 5214)."""


_METADATA = """
169.254.0.0/16  fe80::/10       fd00:ec2::/32   fd20:ce::/32    100.100.100.200 192.0.0.192     168.63.129.16
"""
_METADATA_NETWORKS = tuple(map(ip_network, _METADATA.split()))
"""Link-local addresses, and those of metadata services elsewhere: AWS, Google, Alibaba, Oracle, Azure."""
_METADATA_NAMES = frozenset(
    [
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "instance-data",
        "instance-data.ec2.internal",
    ]
)


def refusal(host: str, addresses: Sequence[str], allowed: Sequence[str]) -> str | None:
    """Why nothing may be sent to ``host``, which resolves to ``addresses``; None: it may. ``allowed`` are names,
    addresses and networks (``10.0.0.0/8``). One address that is refused refuses the host: no honest receiver has a
    name that is public only sometimes."""
    if is_named(host, allowed):
        return None
    networks = networks_of(allowed)
    for text in addresses:
        address = parse_address(text)
        if not public(address) and not any(address in network for network in networks):
            return (
                f"{host} is {text}, which is not public; the server's owner may list it in TIDEGATE_WEBHOOK_HOSTS"
            )
    return None


def metadata_refusal(host: str, addresses: Sequence[str]) -> str | None:
    """Explain why nothing may ever be sent to ``host``, which resolves to ``addresses``: credentials of this machine
    could come from there. None: it is no metadata service."""
    if host.lower().rstrip(".") in _METADATA_NAMES:
        return f"{host} is a metadata service, which gives away credentials: it is never asked"
    for text in addresses:
        address = parse_address(text)
        if any(
            one in network for one in (address, *embedded_addresses(address)) for network in _METADATA_NETWORKS
        ):
            what = host if host == text else f"{host} is {text}, which"
            return (
                f"{what} is a link-local or metadata address, which may give away credentials: it is never asked"
            )
    return None


def parse_address(text: str) -> Address:
    """Parse an address, which may have a zone."""
    return ip_address(text.partition("%")[0])


def is_named(host: str, allowed: Sequence[str]) -> bool:
    """Whether a host is one of ``allowed`` by its name."""
    return host.lower().rstrip(".") in {one.lower().rstrip(".") for one in allowed}


def networks_of(allowed: Sequence[str]) -> list[Network]:
    """Return the addresses and networks among ``allowed``."""
    return [network for network in map(_network, allowed) if network is not None]


def public(address: Address) -> bool:
    """Whether the address is globally reachable, and so is any IPv4 address embedded in it."""
    if not all(public(inner) for inner in embedded_addresses(address)):
        return False
    return next(reachable for network, reachable in _BY_LENGTH if address in network)


def embedded_addresses(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    if any(address in network for network in _TRANSLATED) or number >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(number & 0xFFFF_FFFF)
    if address in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & 0xFFFF_FFFF)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
