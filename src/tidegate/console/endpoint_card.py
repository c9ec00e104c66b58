"""Cards that features add to the page of each endpoint, and to its card to print: the hook ``endpoint_cards``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from markupsafe import Markup

from tidegate.console.endpoint_parts import Action
from tidegate.console.page_context import PageContext
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.gateway.dependencies import Gateway
from tidegate.host.features import features
from tidegate.ports.store import Tx


class CardPlace(StrEnum):
    """Place of a card on the page."""

    ALARMS = "alarms"
    """In the card of the alarms, below them. The part is there also while it is empty."""
    MAIN = "main"
    SIDE = "side"


@dataclass(frozen=True)
class CardReader:
    """Endpoint, time and permission for which a card is read."""

    endpoint: Endpoint
    now: datetime
    may_operate: bool = False


class EndpointCard:
    """One part of the page. ``<name>_card.html`` of the feature's templates has its macro ``card``, and ``printed``
    where the card to print has a section of it; each is given what ``read`` or ``read_print`` returned."""

    name = ""
    """The name of the part, unique among all parts of the page."""
    title = ""
    place = CardPlace.MAIN
    printed_title = ""
    """The title of its section on the card to print; empty: it has none."""
    live = True
    """Whether it is read, and sent, again each second while somebody looks."""
    line = ""
    """The command that shows the same, with ``{}`` for the endpoint's name; empty: none."""
    document = ""
    """Below the endpoint's native address: the same as JSON."""

    def find(self, tx: Tx, endpoint: Endpoint, seen: Observation | None) -> Any:
        """Return what it needs of the store: in the one transaction of the whole page."""
        return None

    async def read(self, gateway: Gateway, found: Any, reader: CardReader) -> Mapping[str, Any] | None:
        """Return what the macro shows: what ``find`` found, unless the card needs more. None: there is nothing to
        show."""
        shown: Mapping[str, Any] | None = found
        return shown

    async def read_print(
        self, gateway: Gateway, shown: Mapping[str, Any] | None, reader: CardReader
    ) -> Mapping[str, Any] | None:
        """Return what the macro ``printed`` shows. ``shown``: of ``read``. None: there is no section."""
        return shown

    def actions(self, endpoint: Endpoint) -> Sequence[Action]:
        """Return what the command palette offers of it to those who may operate."""
        return ()


Cards = Sequence[EndpointCard]


@dataclass(frozen=True)
class ShownCard:
    """A card as the page has it. ``shown``: what was read. ``html`` is empty while there is nothing to show."""

    card: EndpointCard
    shown: Mapping[str, Any] | None
    html: Markup


def make_cards(context: PageContext) -> Cards:
    """The cards of the features that are on, made once per server."""

    def make() -> Cards:
        return [card for _, make_own in features().hooks("endpoint_cards") for card in make_own(context)]

    return context.share("endpoint cards", make)


def render_card(card: EndpointCard, shown: Mapping[str, Any] | None, macro: str = "card") -> Markup:
    if shown is None:
        return Markup("")
    module: Any = TEMPLATES.get_template(f"{card.name}_card.html").module
    return Markup(getattr(module, macro)(shown))
