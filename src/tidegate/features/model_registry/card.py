"""Card on an endpoint's page that shows where its versions came from."""

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.console.endpoint_card import CardPlace, EndpointCard
from tidegate.console.page_context import PageContext
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.features.model_registry.endpoint import EXTENSION
from tidegate.ports.store import Tx


class RegistryCard(EndpointCard):
    name = "registry"
    title = "Model registry"
    place = CardPlace.SIDE
    printed_title = "Model registry"

    def find(self, tx: Tx, endpoint: Endpoint, seen: Observation | None) -> Mapping[str, Any] | None:
        return EXTENSION.describe(EXTENSION.find(tx, endpoint.name).get(endpoint.name), endpoint, seen)


def make_cards(context: PageContext) -> Sequence[EndpointCard]:
    return [RegistryCard()]
