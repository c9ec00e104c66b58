"""Which addresses of services may be asked. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tidegate.host.address_policy import is_named, metadata_refusal, networks_of, parse_address, public

_PORTS = {"http": 80, "https": 443}
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
    return [_parse(url) for url in urls.split(",")]


def _parse(url: str) -> ServiceAddress:
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
