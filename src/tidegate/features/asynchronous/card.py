"""The queue of an asynchronous endpoint on its page."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tidegate.console.endpoint_card import CardReader, EndpointCard
from tidegate.console.endpoint_parts import Action
from tidegate.console.endpoint_rows import BAD
from tidegate.console.figures import format_age
from tidegate.console.page_context import PageContext
from tidegate.domain.asynchronous import Backlog, OutcomeKind
from tidegate.domain.endpoint import Endpoint
from tidegate.features.asynchronous.service import async_config
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.queue import QueueRow

EMPTY = "empty-queue"
READ = 200
"""Of the latest requests, those among which failed ones are looked for."""
SHOWN_FAILURES = 5


class QueueCard(EndpointCard):
    name = "queue"
    title = "Queue"
    line = "tidegate queue show {}"
    document = "queue"

    async def read(self, gateway: Gateway, found: None, reader: CardReader) -> Mapping[str, Any] | None:
        queue, name = gateway.context.queue, reader.endpoint.name
        if queue is None or async_config(reader.endpoint) is None:
            return None
        backlog = (await queue.backlogs()).get(name, Backlog())
        view = queue_view(backlog, await queue.rows(name, READ), reader.now)
        return {"queue": view, "emptying": empty_queue(name, view) if reader.may_operate else None}

    def actions(self, endpoint: Endpoint) -> Sequence[Action]:
        return [] if async_config(endpoint) is None else [_make_action(endpoint.name, "", "")]


def empty_queue(name: str, queue: Mapping[str, Any]) -> Action | None:
    """Taking out of the queue what waits there and is shown; None while nothing waits."""
    waiting, newest = queue["waiting"], queue["newest"]
    if not waiting or newest is None:
        return None
    about = (
        f"{waiting:,} waiting requests of {name} fail, with the usual failure notification. Requests in progress and"
        " later ones are not affected."
    )
    return _make_action(name, json.dumps({"through": newest}), about)


def _make_action(name: str, body: str, about: str) -> Action:
    return Action(EMPTY, "Empty the queue", "queue/empty", body, about, f"tidegate queue show {name} --empty", BAD)


def make_cards(context: PageContext) -> Sequence[EndpointCard]:
    return [QueueCard()]


def queue_view(backlog: Backlog, latest: Sequence[QueueRow], now: datetime) -> dict[str, Any]:
    """``latest``: requests, newest first. Finished ones are kept for an hour."""
    ended = [row for row in latest if row.outcome is not None]
    failed = [row for row in ended if row.outcome is not None and row.outcome.end is not OutcomeKind.COMPLETED]
    return {
        "waiting": backlog.waiting,
        "working": backlog.working,
        "oldest": _age(backlog.oldest, now),
        "looked_at": len(latest),
        "ended": len(ended),
        "failed": len(failed),
        "newest": latest[0].item.accepted_at if latest else None,
        "failures": [_failure(row, now) for row in failed[:SHOWN_FAILURES]],
    }


def _failure(row: QueueRow, now: datetime) -> dict[str, str]:
    assert row.outcome is not None
    return {
        "id": row.item.id,
        "end": str(row.outcome.end).lower(),
        "age": _age(row.outcome.at, now),
        "reason": row.outcome.reason or "no reason is known",
        "where": row.item.failure or "",
    }


def _age(at: float | None, now: datetime) -> str:
    return format_age(None if at is None else datetime.fromtimestamp(at, UTC).isoformat(), now)
