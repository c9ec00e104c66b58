"""One endpoint's page: reads what its parts are made of, and renders them."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidegate.console import alarm_meters, endpoint_parts
from tidegate.console.activity import Activity, read_activity
from tidegate.console.live_stream import Snapshot
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.alarm import Alarm
from tidegate.domain.asynchronous import Backlog
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.evidence import EvidenceRecord
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.history import History
from tidegate.features.asynchronous import queue_rows
from tidegate.features.autoscaling import rows as scaling_rows
from tidegate.features.autoscaling.scalable_records import ActivityRecord
from tidegate.features.autoscaling.views import scaling_targets
from tidegate.features.evidence.service import find_evidence
from tidegate.gateway.dependencies import Gateway
from tidegate.monitoring import alarm_data
from tidegate.ports.store import JournalLine, Tx
from tidegate.reconcile.alarm_reads import read_all
from tidegate.rollout import history as histories
from tidegate.service import activities, endpoints, history
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.views import alarms_of, endpoint_view
from tidegate.serving.contract.catalogue import RuntimeKind

PARTS = ("headline", "rollout", "actions", "fleets", "alarms", "evidence", "scaling", "queue", "journal")
SHOWN_LINES = 80
"""Lines of the journal on the page."""
ROLLOUT_LINES = 400
"""Lines that the picture of a rollout is made of."""


@dataclass(frozen=True)
class Found:
    """What the store has of an endpoint."""

    endpoint: Endpoint
    document: Mapping[str, Any]
    alarms: list[Alarm]
    evidence: EvidenceRecord | None
    latest: list[JournalLine]
    """Newest first."""
    of_rollout: list[JournalLine]
    history: History
    scaled: list[ActivityRecord]
    """Newest first; none where nothing is scaled."""


async def read_page(gateway: Gateway, name: str, may_operate: bool) -> dict[str, Any]:
    """Everything that the page shows; commands only for those who may give them. Raises NotFound."""
    context, now = gateway.context, gateway.context.clock.now()
    found = await context.store.read(lambda tx: _find(gateway, tx, name))
    endpoint = found.endpoint
    rollout = endpoint.rollout or endpoint.last
    queue = await _read_queue(gateway, endpoint, now)
    compared = found.evidence is not None and rollout is not None and found.evidence.rollout == rollout.id
    return {
        "name": name,
        "headline": endpoint_parts.headline(found.document),
        "rollout": endpoint_parts.rollout_view(endpoint, found.document, found.of_rollout, now),
        "actions": await _actions(gateway, found) if may_operate else [],
        "fleets": endpoint_parts.fleet_views(found.document, await _activities(gateway, found.document, now)),
        "alarms": await _alarm_rows(gateway, found, now),
        "evidence": found.evidence if compared else None,
        "compared": alarm_meters.evidence_rows(found.evidence) if compared and found.evidence else [],
        "decides": alarm_meters.describe_action(rollout.plan.evidence if rollout else None),
        "scaling": scaling_rows.target_rows(found.document["scaling"]),
        "scaled": scaling_rows.activity_rows(found.scaled),
        "journal": endpoint_parts.timeline(found.latest),
        "asynchronous": _is_asynchronous(endpoint),
        "queue": queue,
        "emptying": endpoint_parts.emptying(name, queue) if may_operate and queue is not None else None,
        "multi_model": is_multi_model(endpoint),
        "chats": _chats(endpoint),
    }


async def snapshot(gateway: Gateway, name: str, may_operate: bool) -> Snapshot:
    context = await read_page(gateway, name, may_operate)
    parts: Any = TEMPLATES.get_template("endpoint_parts.html").module
    return Snapshot({part: str(getattr(parts, part)(context)) for part in PARTS})


def _find(gateway: Gateway, tx: Tx, name: str) -> Found:
    endpoint = endpoints.get_endpoint(tx, name).body
    seen = gateway.context.observed(name)
    rollout, alarms = endpoint.rollout or endpoint.last, alarms_of(tx, endpoint)
    since = None if rollout is None else rollout.started_at
    document = {**endpoint_view(endpoint, seen, alarms), "scaling": scaling_targets(tx, endpoint, seen)}
    latest = tx.journal(kind=ENDPOINT.name, name=name, limit=SHOWN_LINES, newest_first=True, bodies=False)
    of_rollout = (
        []
        if since is None
        else tx.journal(kind=ENDPOINT.name, name=name, since=since, limit=ROLLOUT_LINES, bodies=False)
    )
    scaled = activities.latest(tx, f"{name}/", scaling_rows.READ) if document["scaling"] else []
    past, evidence = history.read(tx, name), find_evidence(tx, name)
    return Found(endpoint, document, alarms, evidence, latest, of_rollout, past, scaled)


async def _actions(gateway: Gateway, found: Found) -> list[endpoint_parts.Action]:
    """The commands that are possible now; going back needs the former version's model data."""
    back = endpoint_parts.former_version(found.endpoint, found.history)
    if back is not None:
        sizes = await asyncio.to_thread(gateway.artifacts.sizes) if gateway.artifacts is not None else {}
        back = None if histories.missing_artifacts(back, dict.fromkeys(sizes, True)) else back
    return endpoint_parts.actions(found.endpoint, back)


async def _activities(
    gateway: Gateway, document: Mapping[str, Any], now: datetime
) -> dict[tuple[str | None, str], Activity]:
    metrics, second = gateway.context.metrics, int(now.timestamp())
    return {
        (fleet["config"], fleet["variant"]): await read_activity(
            metrics, document["name"], [fleet["variant"]], second, fleet["config"]
        )
        for fleet in document["fleets"]
    }


async def _alarm_rows(gateway: Gateway, found: Found, now: datetime) -> list[dict[str, Any]]:
    rows = []
    for alarm in found.alarms:
        data = await read_all(gateway.context.metrics, alarm_data.needed(alarm, now))
        rows.append(alarm_meters.alarm_row(alarm, alarm_data.points(alarm, data, now)))
    deployment = found.endpoint.rollout.deployment if found.endpoint.rollout else found.endpoint.deployment
    there = {alarm.name for alarm in found.alarms}
    named = deployment.alarms if deployment else ()
    last, serving = found.endpoint.last, found.endpoint.serving
    if last is not None and serving is not None and found.endpoint.rollout is None:
        # Alarms of a version that was rolled back are not shown, and protect nothing that serves.
        gone = last.new.config_name if last.new.config_name != serving.config_name else ""
        named = tuple(name for name in named if not gone or not name.startswith(f"{gone}-"))
    return rows + [alarm_meters.missing_row(name) for name in named if name not in there]


async def _read_queue(gateway: Gateway, endpoint: Endpoint, now: datetime) -> dict[str, Any] | None:
    """What waits for an asynchronous endpoint; None for another."""
    queue = gateway.context.queue
    if queue is None or not _is_asynchronous(endpoint):
        return None
    backlog = (await queue.backlogs()).get(endpoint.name, Backlog())
    return queue_rows.queue_view(backlog, await queue.rows(endpoint.name, queue_rows.READ), now)


def _running(endpoint: Endpoint) -> tuple[VariantSpec, ...]:
    version = endpoint.serving or (endpoint.rollout.new if endpoint.rollout else None)
    return () if version is None else version.variants


def _is_asynchronous(endpoint: Endpoint) -> bool:
    return any(variant.asynchronous is not None for variant in _running(endpoint))


def is_multi_model(endpoint: Endpoint) -> bool:
    """Whether its pages have one of its models."""
    return any(variant.model.multi_model for variant in _running(endpoint))


async def has_many_models(gateway: Gateway, name: str) -> bool:
    """Of an endpoint that may be gone, whose earlier pages can still be read."""

    def work(tx: Tx) -> bool:
        saved = tx.get(ENDPOINT, name)
        return saved is not None and is_multi_model(saved.body)

    return await gateway.context.store.read(work)


def _chats(endpoint: Endpoint) -> bool:
    """Whether a version generates text by a built-in runtime."""
    images = [container.image for variant in _running(endpoint) for container in variant.model.containers]
    return any(
        re.fullmatch(known.pattern, image) for image in images for known in RuntimeKind.GGUF.descriptor.images
    )
