"""Refuses at deployment signals that cannot be read because of the server's settings, and shows which cannot."""

from collections.abc import Mapping

from tidegate.domain.alarm import Signal
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid
from tidegate.domain.observation import Observation
from tidegate.features.signals.kinds import SIGNAL_REPORT, SignalReport
from tidegate.features.signals.reader import SignalAccess, find_access, parse_target
from tidegate.host.address_policy import parse_address
from tidegate.host.service_addresses import refusal
from tidegate.ports.store import Tx
from tidegate.service.endpoint_extension import EndpointExtension
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


# --- the signals of an endpoint that cannot be read, as a section of its status document ---


class _EndpointSignals(EndpointExtension):
    section = "unread_signals"

    def find(self, tx: Tx, endpoint: str | None = None) -> Mapping[str, SignalReport]:
        if endpoint is None:
            return {saved.name: saved.body for saved in tx.find(SIGNAL_REPORT).items}
        saved = tx.get(SIGNAL_REPORT, endpoint)
        return {} if saved is None else {endpoint: saved.body}

    def describe(
        self, found: SignalReport | None, endpoint: Endpoint | None, seen: Observation | None
    ) -> list[dict[str, str]]:
        unread = {} if found is None else found.unread
        return [{"alarm": alarm, "reason": reason} for alarm, reason in sorted(unread.items())]


EXTENSION = _EndpointSignals()
