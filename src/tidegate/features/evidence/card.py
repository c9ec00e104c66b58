"""The comparison of an endpoint's versions on its page."""

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.console.endpoint_card import CardPlace, CardReader, EndpointCard
from tidegate.console.page_context import PageContext
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.evidence import EvidenceRecord
from tidegate.domain.observation import Observation
from tidegate.features.evidence.rows import describe_action, evidence_rows, harm_rows
from tidegate.features.evidence.service import find_evidence
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.store import Tx


class EvidenceCard(EndpointCard):
    name = "evidence"
    title = "Evidence"
    place = CardPlace.ALARMS
    printed_title = "Evidence of the last rollout"

    def find(self, tx: Tx, endpoint: Endpoint, seen: Observation | None) -> EvidenceRecord | None:
        """Return the evidence of the endpoint's last rollout; None: it compared nothing."""
        found, rollout = find_evidence(tx, endpoint.name), endpoint.rollout or endpoint.last
        return found if found is not None and rollout is not None and found.rollout == rollout.id else None

    async def read(
        self, gateway: Gateway, found: EvidenceRecord | None, reader: CardReader
    ) -> Mapping[str, Any] | None:
        if found is None:
            return None
        rollout = reader.endpoint.rollout or reader.endpoint.last
        return {
            "verdict": found.verdict,
            "compared": evidence_rows(found),
            "harms": harm_rows(found),
            "decides": describe_action(rollout.plan.evidence if rollout else None),
        }

    async def read_print(
        self, gateway: Gateway, shown: Mapping[str, Any] | None, reader: CardReader
    ) -> Mapping[str, Any] | None:
        return shown or {"compared": []}


def make_cards(context: PageContext) -> Sequence[EndpointCard]:
    return [EvidenceCard()]
