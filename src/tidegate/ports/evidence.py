"""Measurements of the fleets of a target."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tidegate.domain.metric import CollectionRound
from tidegate.domain.observation import Observation


class EvidenceSource(Protocol):
    async def collect(self, now: int) -> CollectionRound:
        """Everything new that is over by ``now`` (epoch seconds), one record per fleet and second, and over which
        span the requests of each endpoint were counted without a hole. Called once a second. Counts that are late
        come with a later call; what was lost for good shortens the span. Raises TidegateError."""
        ...

    def refresh(self, look: Observation) -> Observation:
        """An earlier look with the load that is known by now: what is in flight and queued, for decisions on size."""
        ...

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        """Return JSON data for each replica of a multi-model endpoint, with at most ``most`` of the models that the
        replica has loaded. It is empty if a target cannot report them."""
        ...
