"""Refuses at deployment signals that cannot be read because of the server's settings, and shows what was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tidegate.domain.alarm import Alarm, Signal
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import Sample
from tidegate.domain.observation import Observation
from tidegate.features.signals.kinds import SIGNAL_REPORT
from tidegate.features.signals.reader import SignalAccess, find_access, parse_target
from tidegate.host.address_policy import parse_address
from tidegate.host.service_addresses import refusal
from tidegate.monitoring.alarm_data import series_of
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Tx
from tidegate.service.endpoint_extension import EndpointExtension
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.views import alarms_of
from tidegate.serving.runtimes.upstream_headers import UpstreamHeaders
from tidegate.settings import Settings


def check_signal(signal: Signal, settings: Settings) -> None:
    """Raises Invalid for an address that must not be asked, or a secret that is not there."""
    access = find_access(settings)
    if why := _refuse_host(signal, access):
        raise Invalid(f"{signal.url} must not be read: {why}")
    try:
        UpstreamHeaders(signal.headers, access.secrets)
    except Invalid as error:
        raise Invalid(f"headers for {signal.url}: {error.message}") from None


def _refuse_host(signal: Signal, access: SignalAccess) -> str | None:
    """A name is resolved when it is read, since only then its addresses count."""
    host = parse_target(signal).base.host
    try:
        parse_address(host)
    except ValueError:
        return refusal(host, (), access.allowed)
    return refusal(host, (host,), access.allowed)


# --- the signals of an endpoint, as a section of its status document ---


RECENT = 300
"""Seconds in which the last reading of a signal is looked for."""


@dataclass(frozen=True)
class EndpointSignals:
    """``unread``: name of the alarm -> why its signal cannot be read. ``readings``: name of the alarm -> the last
    one, of those that were read lately."""

    unread: Mapping[str, str]
    alarms: tuple[Alarm, ...] = ()
    readings: Mapping[str, Sample] = field(default_factory=dict)


class _EndpointSignals(EndpointExtension):
    section = "signals"

    def find(self, tx: Tx, endpoint: str | None = None) -> Mapping[str, EndpointSignals]:
        """Return the signals of one endpoint, or those of all endpoints that cannot be read."""
        if endpoint is None:
            return {saved.name: EndpointSignals(saved.body.unread) for saved in tx.find(SIGNAL_REPORT).items}
        report, saved = tx.get(SIGNAL_REPORT, endpoint), tx.get(ENDPOINT, endpoint)
        named = [] if saved is None else alarms_of(tx, saved.body)
        watched = tuple(alarm for alarm in named if alarm.signal is not None)
        return {endpoint: EndpointSignals({} if report is None else report.body.unread, watched)}

    async def measure(
        self, metrics: Metrics, found: EndpointSignals | None, now: datetime
    ) -> EndpointSignals | None:
        if found is None:
            return None
        end, readings = int(now.timestamp()) + 1, dict[str, Sample]()
        for alarm in found.alarms:
            if samples := await metrics.read(series_of(alarm), end - RECENT, end, 1):
                readings[alarm.name] = samples[max(samples)]
        return replace(found, readings=readings)

    def describe(
        self, found: EndpointSignals | None, endpoint: Endpoint | None, seen: Observation | None
    ) -> list[dict[str, Any]]:
        if found is None:
            return []
        signals = {alarm.name: alarm.signal for alarm in found.alarms}
        return [
            _describe(name, signals.get(name), found.readings.get(name), found.unread.get(name))
            for name in sorted({*signals, *found.unread})
        ]


def _describe(alarm: str, signal: Signal | None, last: Sample | None, reason: str | None) -> dict[str, Any]:
    return {
        "alarm": alarm,
        "source": None if signal is None else f"{signal.query or signal.value} at {signal.url}",
        "value": None if last is None else last.total / last.count,
        "at": None if last is None else datetime.fromtimestamp(last.at, UTC).isoformat(),
        "reason": reason,
    }


EXTENSION = _EndpointSignals()
