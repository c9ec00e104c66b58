"""The ``Evidence`` of a target whose replicas are tidegate's workers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tidegate.domain.metric import CollectionRound
from tidegate.domain.observation import Observation
from tidegate.features.multi_model.listing import list_models
from tidegate.targets.collection.collector import Collector
from tidegate.targets.collection.sources import WorkerFleets


class RefreshedFleets(WorkerFleets, Protocol):
    def refresh(self, look: Observation) -> Observation:
        """An earlier look with the router's present load."""
        ...


@dataclass(frozen=True)
class WorkerEvidence:
    target: RefreshedFleets
    collector: Collector

    async def collect(self, now: int) -> CollectionRound:
        return await self.collector.collect(now)

    def refresh(self, look: Observation) -> Observation:
        return self.target.refresh(look)

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return await list_models(self.target.serving(), endpoint, most)
