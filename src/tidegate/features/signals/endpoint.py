"""The signals of an endpoint that cannot be read, as a section of its status document."""

from collections.abc import Mapping

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.features.signals.kinds import SIGNAL_REPORT, SignalReport
from tidegate.ports.store import Tx
from tidegate.service.endpoint_extension import EndpointExtension


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
