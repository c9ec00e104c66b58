"""The ``Evidence`` of a target whose replicas are tidegate's workers."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.metric import CollectionRound
from tidegate.domain.observation import Observation
from tidegate.ports.router import ServerAddress
from tidegate.targets.collection import worker_http
from tidegate.targets.collection.collector import Collector
from tidegate.targets.collection.sources import ServingReplica, WorkerFleets

PATIENCE = 5.0
"""Seconds that a replica may take: a list of 10,000 models is some megabytes."""


class _RefreshedFleets(WorkerFleets, Protocol):
    def refresh(self, look: Observation) -> Observation:
        """An earlier look with the router's present load."""
        ...


@dataclass(frozen=True)
class WorkerEvidence:
    target: _RefreshedFleets
    collector: Collector

    async def collect(self, now: int) -> CollectionRound:
        return await self.collector.collect(now)

    def refresh(self, look: Observation) -> Observation:
        return self.target.refresh(look)

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return await list_models(self.target.serving(), endpoint, most)


async def list_models(serving: Iterable[ServingReplica], endpoint: str, most: int) -> list[dict[str, object]]:
    """List the loaded models of an endpoint: one entry for each replica. That of a multi-model one has the ``most``
    most used models, or no ``models`` if it does not answer, because it is leaving or busy; that of any other has the
    ``signature`` of its model, and is left out if it does not answer."""
    replicas = [one for one in serving if one.fleet.id.endpoint == endpoint]
    found = await asyncio.gather(*(_ask(one.fleet, one.id, one.socket, most) for one in replicas))
    known = zip(replicas, found, strict=True)
    return [page for one, page in known if one.fleet.variant.model.multi_model or "signature" in page]


async def _ask(spec: FleetSpec, replica: str, socket: ServerAddress, most: int) -> dict[str, object]:
    answer = await worker_http.get(socket, "/_tidegate/models", PATIENCE)
    try:
        page = (
            msgspec.json.decode(answer[1], type=prepare_type(dict[str, object]))
            if answer and answer[0] == 200
            else None
        )
    except msgspec.DecodeError:
        page = None
    head: dict[str, object] = {"replica": replica, "variant": spec.id.variant, "config": spec.config_name}
    models = page.get("models") if page is not None else None
    if page is not None and isinstance(models, list):
        return {**head, **page, "models": models[:most]}
    if page is not None and "signature" in page and not spec.variant.model.multi_model:
        return {**head, "signature": page["signature"]}
    return head
