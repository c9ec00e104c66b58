"""One endpoint's page: reads what its parts are made of, and renders them."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from tidegate.console import alarm_meters, endpoint_parts
from tidegate.console.activity import RecentActivity, read_activity
from tidegate.console.endpoint_card import CardReader, Cards, ShownCard, render_card
from tidegate.console.live_stream import Snapshot
from tidegate.console.rendering import TEMPLATES
from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.history import History
from tidegate.gateway.dependencies import Gateway
from tidegate.monitoring import alarm_data
from tidegate.ports.store import JournalLine, Tx
from tidegate.reconcile.reads import read_all
from tidegate.rollout import history as histories
from tidegate.service import endpoints, history
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.views import alarms_of, endpoint_view
from tidegate.serving.contract.catalogue import RuntimeKind

PARTS = ("headline", "rollout", "actions", "fleets", "alarms", "journal")
"""Those of the core."""
SHOWN_LINES = 80
"""Lines of the journal on the page."""
ROLLOUT_LINES = 400
"""Lines that the picture of a rollout is made of."""


@dataclass(frozen=True)
class _EndpointContent:
    """Content of the store on one endpoint."""

    endpoint: Endpoint
    document: Mapping[str, Any]
    alarms: list[Alarm]
    latest: list[JournalLine]
    """Newest first."""
    of_rollout: list[JournalLine]
    history: History
    of_cards: list[Any]
    """What each card found."""


async def read_page(gateway: Gateway, cards: Cards, name: str, may_operate: bool) -> dict[str, Any]:
    """Everything that the page shows, and the records that it was made of (``record``, ``past``); commands only for
    those who may give them. ``cards``: of features. Raises NotFound."""
    context, now = gateway.context, gateway.context.clock.now()
    found = await context.store.read(lambda tx: _find(gateway, cards, tx, name))
    endpoint, reader = found.endpoint, CardReader(found.endpoint, now, may_operate)
    shown = [await card.read(gateway, one, reader) for card, one in zip(cards, found.of_cards, strict=True)]
    return {
        "name": name,
        "record": endpoint,
        "past": found.history,
        "config": None if endpoint.serving is None else endpoint.serving.config_name,
        "captures": any(one.capture is not None for one in _list_variants(endpoint)),
        "headline": endpoint_parts.headline(found.document),
        "rollout": endpoint_parts.rollout_view(endpoint, found.document, found.of_rollout, now),
        "actions": await _actions(gateway, found) if may_operate else [],
        "numbers": {entry.version.config_name: entry.number for entry in found.history.entries},
        "fleets": endpoint_parts.fleet_views(found.document, await _activities(gateway, found.document, now)),
        "alarms": await _alarm_rows(gateway, found, now),
        "cards": [ShownCard(card, one, render_card(card, one)) for card, one in zip(cards, shown, strict=True)],
        "journal": endpoint_parts.timeline(found.latest),
        "asynchronous": _is_asynchronous(endpoint),
        "multi_model": is_multi_model(endpoint),
        "chats": _chats(endpoint),
    }


async def read_printed(gateway: Gateway, page: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Titles and sections that features have on the card to print."""
    reader, sections = CardReader(page["record"], gateway.context.clock.now()), []
    for one in page["cards"]:
        if one.card.printed_title:
            printed = await one.card.read_print(gateway, one.shown, reader)
            if printed is not None:
                sections.append((one.card.printed_title, render_card(one.card, printed, "printed")))
    return sections


async def snapshot(gateway: Gateway, cards: Cards, name: str, may_operate: bool) -> Snapshot:
    context = await read_page(gateway, [card for card in cards if card.live], name, may_operate)
    parts: Any = TEMPLATES.get_template("endpoint_parts.html").module
    of_core = {part: str(getattr(parts, part)(context)) for part in PARTS}
    return Snapshot(of_core | {one.card.name: str(one.html) for one in context["cards"]})


def _find(gateway: Gateway, cards: Cards, tx: Tx, name: str) -> _EndpointContent:
    endpoint = endpoints.get_endpoint(tx, name).body
    seen = gateway.context.observed(name)
    rollout, alarms = endpoint.rollout or endpoint.last, alarms_of(tx, endpoint)
    since = None if rollout is None else rollout.started_at
    document = endpoint_view(endpoint, seen, alarms)
    latest = tx.journal(kind=ENDPOINT.name, name=name, limit=SHOWN_LINES, newest_first=True, bodies=False)
    of_rollout = (
        []
        if since is None
        else tx.journal(kind=ENDPOINT.name, name=name, since=since, limit=ROLLOUT_LINES, bodies=False)
    )
    of_cards = [card.find(tx, endpoint, seen) for card in cards]
    return _EndpointContent(endpoint, document, alarms, latest, of_rollout, history.read(tx, name), of_cards)


async def _actions(gateway: Gateway, found: _EndpointContent) -> list[endpoint_parts.Action]:
    """The commands that are possible now; going back needs the former version's model data."""
    back = endpoint_parts.former_version(found.endpoint, found.history)
    if back is not None:
        sizes = await asyncio.to_thread(gateway.artifacts.sizes) if gateway.artifacts is not None else {}
        back = None if histories.missing_artifacts(back, dict.fromkeys(sizes, True)) else back
    return endpoint_parts.actions(found.endpoint, back)


async def _activities(
    gateway: Gateway, document: Mapping[str, Any], now: datetime
) -> dict[tuple[str | None, str], RecentActivity]:
    metrics, second = gateway.context.metrics, int(now.timestamp())
    return {
        (fleet["config"], fleet["variant"]): await read_activity(
            metrics, document["name"], [fleet["variant"]], second, fleet["config"]
        )
        for fleet in document["fleets"]
    }


async def _alarm_rows(gateway: Gateway, found: _EndpointContent, now: datetime) -> list[dict[str, Any]]:
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


def _list_variants(endpoint: Endpoint) -> tuple[VariantSpec, ...]:
    version = endpoint.serving or (endpoint.rollout.new if endpoint.rollout else None)
    return () if version is None else version.variants


def _is_asynchronous(endpoint: Endpoint) -> bool:
    return any(variant.asynchronous is not None for variant in _list_variants(endpoint))


def is_multi_model(endpoint: Endpoint) -> bool:
    """Return whether the endpoint is a multi-model endpoint, whose pages have one of its models."""
    return any(variant.model.multi_model for variant in _list_variants(endpoint))


async def has_many_models(gateway: Gateway, name: str) -> bool:
    """Return whether an endpoint is multi-model. It may be gone, since its earlier pages can still be read."""

    def work(tx: Tx) -> bool:
        saved = tx.get(ENDPOINT, name)
        return saved is not None and is_multi_model(saved.body)

    return await gateway.context.store.read(work)


def _chats(endpoint: Endpoint) -> bool:
    """Return whether a version generates text by a built-in runtime."""
    images = [container.image for variant in _list_variants(endpoint) for container in variant.model.containers]
    return any(
        re.fullmatch(known.pattern, image) for image in images for known in RuntimeKind.GGUF.descriptor.images
    )
