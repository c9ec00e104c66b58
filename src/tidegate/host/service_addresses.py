"""Which addresses of services may be asked: those that are models, and those that alarms read signals from."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tidegate.domain.errors import Invalid, Transient
from tidegate.host.address_policy import is_named, metadata_refusal, networks_of, parse_address, public

_PORTS = {"http": 80, "https": 443}
RESOLVE_TIMEOUT = 5.0
"""Seconds that DNS may take."""
_OWNER = "the server's owner may list it in TIDEGATE_SERVICE_HOSTS"


@dataclass(frozen=True)
class ServiceAddress:
    """A base address of a service. ``path``: before the paths of requests, without a slash at its end."""

    url: str
    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"


def parse_addresses(urls: str) -> list[ServiceAddress]:
    """Parse the checked addresses of a service, with commas between them."""
    return [parse_service_address(url) for url in urls.split(",")]


async def resolve(base: ServiceAddress, allowed: Sequence[str] | None) -> list[str]:
    """Find the IP addresses of a host, in the order to try them. ``allowed``: as in ``refusal``. Raises Invalid for a
    host that must not be asked, and Transient where DNS has no answer."""
    if refused := refusal(base.host, (), allowed):
        raise Invalid(refused)
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(base.host, base.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        why = str(getattr(error, "strerror", "") or error) or f"no answer within {RESOLVE_TIMEOUT:g} s"
        raise Transient(f"{base.host} cannot be resolved: {why}") from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    if refused := refusal(base.host, addresses, allowed):
        raise Invalid(refused)
    return addresses


def parse_service_address(url: str) -> ServiceAddress:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return ServiceAddress(
        url,
        parts.scheme == "https",
        parts.hostname,
        parts.port or _PORTS[parts.scheme],
        parts.path.rstrip("/"),
    )


def refusal(host: str, addresses: Sequence[str], allowed: Sequence[str] | None) -> str | None:
    """Why a host, which resolves to ``addresses``, is not asked; None: it is. ``allowed``: names, addresses and
    networks; empty: public addresses; None: any. Metadata addresses are refused whatever is allowed, and one address
    that is refused refuses the host."""
    if why := metadata_refusal(host, addresses):
        return why
    if allowed is None or is_named(host, allowed):
        return None
    networks = networks_of(allowed)
    for text in addresses:
        address = parse_address(text)
        if allowed and not any(address in network for network in networks):
            return f"{_shown(host, text)} is no host that this server may ask; {_OWNER}"
        if not allowed and not public(address):
            return f"{_shown(host, text)} is not public; {_OWNER}"
    return None


def _shown(host: str, address: str) -> str:
    return host if host == address else f"{host} is {address}, which"
