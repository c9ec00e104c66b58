"""The signals of an endpoint's alarms on its page."""

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.console.endpoint_card import CardPlace, CardReader, EndpointCard
from tidegate.console.page_context import PageContext
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.features.signals.check import EXTENSION, EndpointSignals
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.store import Tx


class SignalsCard(EndpointCard):
    name = "signals"
    title = "Signals"
    place = CardPlace.ALARMS
    printed_title = "Signals"

    def find(self, tx: Tx, endpoint: Endpoint, seen: Observation | None) -> EndpointSignals | None:
        return EXTENSION.find(tx, endpoint.name).get(endpoint.name)

    async def read(
        self, gateway: Gateway, found: EndpointSignals | None, reader: CardReader
    ) -> Mapping[str, Any] | None:
        measured = await EXTENSION.measure(gateway.context.metrics, found, reader.now)
        signals = EXTENSION.describe(measured, reader.endpoint, None)
        return {"signals": signals} if signals else None


def make_cards(context: PageContext) -> Sequence[EndpointCard]:
    return [SignalsCard()]
