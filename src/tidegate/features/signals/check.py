"""Refuses at deployment signals that cannot be read because of the server's settings."""

from tidegate.domain.alarm import Signal
from tidegate.domain.errors import Invalid
from tidegate.features.signals.reader import SignalAccess, find_access, parse_target
from tidegate.host.address_policy import parse_address
from tidegate.host.service_addresses import refusal
from tidegate.serving.runtimes.upstream_headers import UpstreamHeaders
from tidegate.settings import Settings


def check_signal(signal: Signal, settings: Settings) -> None:
    """Raises Invalid for an address that must not be asked, or a secret that is not there."""
    access = find_access(settings)
    if why := _refuse_host(signal, access):
        raise Invalid(f"the signal at {signal.url} must not be read: {why}")
    try:
        UpstreamHeaders(signal.headers, access.secrets)
    except Invalid as error:
        raise Invalid(f"headers of the signal at {signal.url}: {error.message}") from None


def _refuse_host(signal: Signal, access: SignalAccess) -> str | None:
    """A name is resolved when it is read, since only then its addresses count."""
    host = parse_target(signal).base.host
    try:
        parse_address(host)
    except ValueError:
        return refusal(host, (), access.allowed)
    return refusal(host, (host,), access.allowed)
