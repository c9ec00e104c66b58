"""Which models the replicas of a multi-model endpoint have loaded now."""

import asyncio
from collections.abc import Iterable

import msgspec

from tidegate.domain.fleet import FleetSpec
from tidegate.ports.router import ServerAddress
from tidegate.targets.collection import worker_http
from tidegate.targets.collection.sources import ServingReplica

PATIENCE = 5.0
"""Seconds that a replica may take: a list of 10,000 models is some megabytes."""


async def list_models(serving: Iterable[ServingReplica], endpoint: str, most: int) -> list[dict[str, object]]:
    """One entry for each replica of a multi-model endpoint, with the ``most`` most used models of each. A replica
    that does not answer, because it is leaving or busy, has no ``models``."""
    asked = [
        _ask(one.fleet, one.id, one.socket, most)
        for one in serving
        if one.fleet.id.endpoint == endpoint and one.fleet.variant.model.multi_model
    ]
    return list(await asyncio.gather(*asked))


async def _ask(spec: FleetSpec, replica: str, socket: ServerAddress, most: int) -> dict[str, object]:
    answer = await worker_http.get(socket, "/_tidegate/models", PATIENCE)
    try:
        page = msgspec.json.decode(answer[1], type=dict[str, object]) if answer and answer[0] == 200 else None
    except msgspec.DecodeError:
        page = None
    head: dict[str, object] = {"replica": replica, "variant": spec.id.variant, "config": spec.config_name}
    models = page.get("models") if page is not None else None
    return {**head, **page, "models": models[:most]} if page is not None and isinstance(models, list) else head
